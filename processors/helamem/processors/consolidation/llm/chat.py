"""Any service that speaks `/v1/chat/completions` (extra `openai`): a question, an answer or a reason to come again."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec
import orjson
from msgspec import Struct

from helamem.processors.consolidation.llm.patience import Circuit, PatienceSettings, retry_after_s, wait_s
from helamem.processors.consolidation.llm.watch import Failure, Unwatched, Watch
from helamem.schemas.errors import ConfigurationError, Poison, RetryLater
from helamem.schemas.events import MAX_INTEGER

_MOST_BYTES = 4_000_000
"""Of an answer as a whole; whoever sends more speaks something else."""
_MOST_CHARACTERS = 150_000
"""Of what a model says: with its escapes in JSON it must fit into a record."""
_MAY_BE_THE_QUESTIONS_FAULT = {400, 403, 413, 422, 451}
_COMES_AGAIN = {408, 409, 425, 429}
"""Statuses below 500 that say "not now"."""
_LONGEST_VERSION = 256
_NOTHING = "(no answer)"
_ROUNDS = 2
"""In which a question was not answered and another one was, until its messages are taken to be the reason."""
_SUSPECTS = 10_000
"""Questions of which it is known that they were not answered."""
_PROBE = "Say yes."


class ChatSettings(Struct, frozen=True, kw_only=True):
    """Where a model is, and how it is asked."""

    base_url: str
    """Address of the service up to and including `/v1`."""
    model: str
    api_key: str | None = None
    """Sent as bearer token; never printed."""
    connect_timeout_s: float = 5.0
    timeout_s: float = 60.0
    """For a call as a whole."""
    max_tokens: int = 2048
    """Of an answer."""
    temperature: float = 0.0
    patience: PatienceSettings = PatienceSettings()

    def __repr__(self) -> str:
        return f"ChatSettings(base_url={self.base_url!r}, model={self.model!r})"


class Message(Struct, frozen=True):
    """One message of a chat with a model."""

    role: str
    content: str


class Completion(Struct, frozen=True, kw_only=True):
    """What a model answered."""

    text: str
    version: str | None
    """What the service called the model, where it said so."""
    tokens_in: int
    tokens_out: int
    """As the service counts them; where it does not, a quarter of the bytes."""


class _Said(Struct, frozen=True):
    content: str | None = None
    refusal: str | None = None


class _Choice(Struct, frozen=True):
    message: _Said


class _Usage(Struct, frozen=True):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Answer(Struct, frozen=True):
    choices: list[_Choice]
    model: str | None = None
    usage: _Usage | None = None


class _Failed(Exception):  # noqa: N818 - it leaves this module as one of ours
    """A call that may go better later."""

    def __init__(
        self, reason: str, failure: Failure, retry_after_s: float | None = None, *, at_once: bool = True
    ) -> None:
        super().__init__(reason)
        self.at_once = at_once
        self.may_cost = False
        """Whether the service may have worked at it, and bill that."""
        self.reason = reason
        self.failure: Failure = failure
        self.retry_after_s = retry_after_s


class _Refused(Exception):  # noqa: N818 - likewise
    """A call that the question or the set-up may be at fault for."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class ChatModel:
    """A model behind a service. It may be asked by several tasks at once.

    Args:
        settings: Where and how.
        watch: Told of calls.
        sleep: Waits for some seconds.
        clock: Seconds, from any beginning.
        random_: Numbers from 0 to 1.

    Raises:
        ConfigurationError: httpx is not installed, or the key is none.
    """

    def __init__(
        self,
        settings: ChatSettings,
        *,
        watch: Watch | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        random_: Callable[[], float] = random.random,
    ) -> None:
        try:
            import httpx  # noqa: PLC0415 - an extra
        except ImportError:
            raise ConfigurationError(
                f"the distiller openai:{settings.model} needs httpx; run: pip install 'helamem[openai]'"
            ) from None
        calls = logging.getLogger("httpx")  # it tells of each call with its address, to whoever listens to anything
        if calls.level == logging.NOTSET:
            calls.setLevel(logging.WARNING)
        self._settings = settings
        self._watch: Watch = watch or Unwatched()
        self._sleep = sleep
        self._clock = clock
        self._random = random_
        self._circuit = Circuit(settings.patience, lambda is_open: self._watch.circuit(is_open=is_open), clock)
        token = (settings.api_key or "").strip()  # a file of a secret ends with a line feed, as a rule
        if not (token.isascii() and token.isprintable()):
            raise ConfigurationError(
                f"the key of the distiller openai:{settings.model} holds characters that no key has; look at "
                "HELAMEM_DISTILLER_API_KEY"
            )
        key = {"authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.AsyncClient(
            base_url=settings.base_url.rstrip("/") + "/",
            headers={"content-type": "application/json"} | key,
            timeout=httpx.Timeout(settings.timeout_s, connect=settings.connect_timeout_s),
        )
        self._failures = (httpx.TransportError, TimeoutError)
        self._not_there = (httpx.ConnectError, httpx.ConnectTimeout)
        self._held_to_schema = True
        self._suspects: dict[bytes, int] = {}

    async def close(self) -> None:
        """Release the connections."""
        await self._client.aclose()

    async def ask(
        self,
        messages: Sequence[Message],
        schema: Mapping[str, Any],
        on_lost: Callable[[], bool] = lambda: True,
    ) -> Completion:
        """Return what the model answers; it is held to the schema where the service can do that.

        Args:
            messages: The question.
            schema: A JSON Schema.
            on_lost: Told of each call that the service may have worked at and did not answer; returns whether it may
                be asked again at once.

        Raises:
            RetryLater: The service is away, busy or failing, and stayed so for some tries; it is left alone; or it
                refuses any question, which a person has to set right, and nothing but hubs has to wait for.
            Poison: It refuses this question, or always fails at it, and takes others; the question is too long for the
                model, as a rule.
        """
        key = hashlib.sha256(orjson.dumps([msgspec.to_builtins(message) for message in messages])).digest()
        if key in self._suspects and self._circuit.is_open:
            await self._probe()  # what is suspected tells nothing of the service
        failures = 0
        while True:
            await self._wait_for_a_turn()
            try:
                answer = await self._ask(messages, schema)
            except _Failed as failed:
                failures += 1
                at_once = failed.at_once and (not failed.may_cost or on_lost())
                condemned = self._suspects.get(key, 0) >= _ROUNDS
                patience = self._settings.patience
                wait = max(wait_s(patience, failures, self._random), failed.retry_after_s or 0.0)
                if not at_once or condemned or failures >= patience.tries or wait > patience.longest_s:
                    if failed.failure not in ("refused", "rate-limited"):
                        await self._suspect(key, failed.reason)
                    raise RetryLater(f"the model service {failed.reason}") from None
                await self._sleep(wait)
            else:
                self._suspects.pop(key, None)
                return answer

    async def _suspect(self, key: bytes, reason: str) -> None:
        """Note that a question was not answered; where that happened before, see whether another one is.

        Raises:
            Poison: It happened so often while another one was answered that its messages are at fault.
        """
        if key not in self._suspects:
            if len(self._suspects) >= _SUSPECTS:
                self._suspects.clear()
            self._suspects[key] = 0
            return
        if self._suspects[key] < _ROUNDS:
            try:
                await self._probe()
            except RetryLater:
                return
            self._suspects[key] += 1
        if self._suspects[key] >= _ROUNDS:
            raise Poison(
                f"the model service {reason} whenever it is asked about the hub's messages, and answers others; see "
                "what it has against them, and redrive the hub",
                "data.cluster",
            )

    async def _probe(self) -> None:
        """Ask something harmless.

        Raises:
            RetryLater: That is not answered either.
        """
        try:
            await self._call([Message("user", _PROBE)], None)
        except _Refused as refusal:
            raise RetryLater(f"the model service {self._refuses(refusal.status).reason}") from None
        except _Failed as failed:
            raise RetryLater(f"the model service {failed.reason}") from None

    async def _wait_for_a_turn(self) -> None:
        """Wait while the service wants to be left alone for a moment; what takes longer is refused by the circuit."""
        for _ in range(self._settings.patience.tries):
            left_s = self._circuit.pause_s
            if left_s <= 0 or self._circuit.is_open or left_s > self._settings.patience.longest_s:
                return
            await self._sleep(left_s)

    async def _ask(self, messages: Sequence[Message], schema: Mapping[str, Any]) -> Completion:
        if self._held_to_schema:
            try:
                return await self._call(messages, schema)
            except _Refused:
                pass  # perhaps it only does not know `response_format`
        try:
            answer = await self._call(messages, None)
        except _Refused as refusal:
            status = refusal.status
        else:
            self._held_to_schema = False
            return answer
        try:
            await self._call([Message("user", _PROBE)], None)
        except _Refused:
            refused = self._refuses(status)
            self._circuit.failed(refused.reason, refused.retry_after_s)
            raise refused from None
        raise Poison(
            f"the model service refuses the hub's messages with {status}; if they are too long for the model, use one "
            "that takes more, and redrive the hub",
            "data.cluster",
        )

    def _refuses(self, status: int) -> _Failed:
        return _Failed(
            f"refuses the call with {status}; check HELAMEM_DISTILLER_BASE_URL, HELAMEM_DISTILLER_API_KEY and the "
            "model in HELAMEM_DISTILLER",
            "refused",
            2 * self._settings.patience.rest_s,
            at_once=False,
        )

    async def _call(self, messages: Sequence[Message], schema: Mapping[str, Any] | None) -> Completion:
        """Make one call and tell circuit and watch what came of it."""
        body: dict[str, Any] = {
            "model": self._settings.model,
            "messages": [msgspec.to_builtins(message) for message in messages],
            "temperature": self._settings.temperature,
            "max_tokens": self._settings.max_tokens,
        }
        if schema is not None:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "statements", "strict": True, "schema": schema},
            }
        self._circuit.enter()
        begin = self._clock()
        failure: Failure | None = None
        over = False
        try:
            status, header, content = await self._post(orjson.dumps(body))
            completion = self._completion(status, header, content, messages)
        except _Failed as failed:
            failure = failed.failure
            self._circuit.failed(failed.reason, failed.retry_after_s)
            over = True
            raise
        except _Refused:
            failure = "refused"
            self._circuit.succeeded()  # it is there, and answers
            over = True
            raise
        else:
            self._circuit.succeeded()
            over = True
            return completion
        finally:
            if not over:
                self._circuit.given_up()
            self._watch.called(self._clock() - begin, failure)

    async def _post(self, body: bytes) -> tuple[int, str | None, bytes]:
        """Return status, Retry-After and body of an answer; the time-out is for all of it, however it drips."""
        try:
            async with (
                asyncio.timeout(self._settings.timeout_s),
                self._client.stream("POST", "chat/completions", content=body) as response,
            ):
                content = bytearray()
                async for part in response.aiter_bytes():
                    content += part
                    if len(content) > _MOST_BYTES:
                        raise _Failed(f"answers with more than {_MOST_BYTES:,} bytes", "no-protocol")
                return response.status_code, response.headers.get("retry-after"), bytes(content)
        except self._failures as error:
            failed = _Failed(f"does not answer ({type(error).__name__})", "no-answer")
            failed.may_cost = not isinstance(error, self._not_there)
            raise failed from None

    def _completion(self, status: int, header: str | None, content: bytes, messages: Sequence[Message]) -> Completion:
        if status in _COMES_AGAIN or status >= 500:
            failure: Failure = "rate-limited" if status == 429 else "failing"
            raise _Failed(f"answers {status}", failure, retry_after_s(header))
        if status in _MAY_BE_THE_QUESTIONS_FAULT:
            raise _Refused(status)
        if status != 200:
            raise self._refuses(status)
        try:
            answer = msgspec.json.decode(content, type=_Answer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            answer = _Answer([])
        # Whatever stands in between may answer 200 with a page of its own; the question is not at fault for that.
        if not answer.choices:
            raise _Failed("answers with something else than a chat completion", "no-protocol")
        said = answer.choices[0].message
        text = (said.content or said.refusal or _NOTHING)[:_MOST_CHARACTERS]
        usage = answer.usage or _Usage()
        return Completion(
            text=text,
            version=answer.model[:_LONGEST_VERSION] if answer.model else None,
            tokens_in=_counted(usage.prompt_tokens) or _guessed(*(message.content for message in messages)),
            tokens_out=_counted(usage.completion_tokens) or _guessed(text),
        )


def _counted(tokens: int) -> int:
    """Return a count as it can be recorded."""
    return min(MAX_INTEGER, max(0, tokens))


def _guessed(*texts: str) -> int:
    """Return about how many tokens texts have: four bytes each."""
    return sum(len(text.encode(errors="replace")) for text in texts) // 4 + 1
