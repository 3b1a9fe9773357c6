"""The distiller that asks a model, records what it answered, and takes of that what the messages contain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, NamedTuple

import orjson
from msgspec import Struct
from msgspec.structs import replace

from helamem.processors.answers import Answered, Question, hash_of
from helamem.processors.consolidation.distiller import Cluster, HubsWait, Statement
from helamem.processors.consolidation.extractive import ExtractiveDistiller
from helamem.processors.consolidation.llm.chat import ChatModel, ChatSettings, Completion, Message
from helamem.processors.consolidation.llm.drafts import Draft, Unreadable, read, schema
from helamem.processors.consolidation.llm.evidence import Rule, Shown
from helamem.processors.consolidation.llm.keyed import Keyed, keyed
from helamem.processors.consolidation.llm.prompt import VERSION, Named, instructions, named, quoted, repair
from helamem.processors.consolidation.llm.spending import Budget, Ledger, Tokens
from helamem.processors.consolidation.llm.watch import Unwatched, Watch
from helamem.schemas.errors import Poison, RetryLater
from helamem.schemas.ids import tenant_of

WhenSpent = Literal["quote", "wait"]
_REPEATED = 8000
"""Characters of an unreadable answer that are shown to the model once more."""
_BYTES_PER_TOKEN = 3
_REMEMBERED = 10_000
"""Questions that were counted as over the cap."""
_UNWATCHED = Unwatched()


class _Ask(Struct, frozen=True, kw_only=True):
    """One question, and the messages in which the model gets it."""

    question: Question
    messages: tuple[Message, ...]


class _Answer(Struct, frozen=True):
    """The answer in force."""

    text: str
    fresh: bool
    """Whether it was asked for now: what comes of it is counted once, however often a batch is taken again."""


class _Judged(NamedTuple):
    """A statement, why it is not taken, and what it claims that can change."""

    draft: Draft
    refusal: Rule | None
    keyed: Keyed | None


class LlmDistiller:
    """Asks a model for statements.

    A question is model, instructions, form, parameters and messages; each is asked once, and its answer stands in the
    record before it is used. An answer of another form is sent back once.

    Args:
        model: What is asked.
        settings: That it was made with.
        answers: Where answers are recorded.
        budget: What tenants may spend.
        concurrency: Most questions at a time.
        when_spent: What becomes of a hub whose tenant has spent what it may: `quote` has it distilled without a model,
            `wait` leaves it in the backlog, with all that stands behind it, until the next day.
        watch: Told what happens.
    """

    costly = True

    def __init__(
        self,
        model: ChatModel,
        settings: ChatSettings,
        answers: Ledger,
        budget: Budget,
        *,
        concurrency: int = 4,
        when_spent: WhenSpent = "quote",
        watch: Watch | None = None,
    ) -> None:
        self.name = f"openai:{settings.model}:{VERSION}"
        self._model = model
        self._settings = settings
        self._answers = answers
        self._budget = budget
        self._slots = asyncio.Semaphore(concurrency)
        self._when_spent = when_spent
        self._watch: Watch = watch or Unwatched()
        self._schema = schema()
        self._system = instructions()
        parameters = {"temperature": settings.temperature, "max_tokens": settings.max_tokens}
        self._prompt = orjson.dumps([self._system, self._schema, parameters], option=orjson.OPT_SORT_KEYS).decode()
        self._quoting = ExtractiveDistiller()
        self._over_cap: set[str] = set()

    async def distill(self, clusters: Sequence[Cluster]) -> list[list[Statement]]:
        """Return the statements of each cluster; see `Distiller.distill`.

        The strongest hubs are asked for first. What one of them fails with does not stop the others: their answers are
        recorded, so nobody asks for them again when the batch comes back.

        Raises:
            HubsWait: The service is away or refuses every call, or a tenant that waits has spent what it may.
            RetryLater: The record is away.
            Poison: The model's answer to a cluster cannot be read, or it refuses the cluster.
        """
        order = sorted(range(len(clusters)), key=lambda at: (-clusters[at].strength, at))
        done = await asyncio.gather(*(self._one(clusters[at]) for at in order), return_exceptions=True)
        for kind in (RetryLater, BaseException):
            for result in done:
                if isinstance(result, kind):
                    raise result
        found = {at: result for at, result in zip(order, done, strict=True) if not isinstance(result, BaseException)}
        return [found[at] for at in range(len(clusters))]

    async def _one(self, cluster: Cluster) -> list[Statement]:
        if not cluster.turns:
            return []
        async with self._slots:
            turns = named(cluster)
            ask = self._first(cluster.space, quoted(turns))
            answer = await self._answer(cluster.space, ask)
            if answer is None:
                return await self._quoted(cluster, ask.question.id)
            try:
                drafts = self._read(answer)
            except Unreadable as complaint:
                ask = self._again(ask, answer.text, str(complaint))
                answer = await self._answer(cluster.space, ask)
                if answer is None:
                    return await self._quoted(cluster, ask.question.id)
                try:
                    drafts = self._read(answer)
                except Unreadable as second:
                    raise Poison(
                        f"{self._settings.model} was asked twice and its answer cannot be read: {second}; use another "
                        "model, temperature or number of tokens, and redrive the hub",
                        "data.cluster",
                    ) from None
        # The loop has more to do, such as recalls, than to look at long answers about long messages.
        judged = await asyncio.to_thread(_judged, drafts, turns)
        return self._taken(judged, turns, ask.question.id, self._watch if answer.fresh else _UNWATCHED)

    def _read(self, answer: _Answer) -> Sequence[Draft]:
        try:
            return read(answer.text)
        except Unreadable:
            if answer.fresh:
                self._watch.unreadable()
            raise

    def _taken(self, judged: Sequence[_Judged], turns: Named, answer: str, watch: Watch) -> list[Statement]:
        """Return the statements that pass the evidence rule, each once."""
        taken: dict[tuple[str, str], Statement] = {}
        for draft, rule, known in judged:
            if rule is not None:
                watch.refused(rule)
                continue
            cited = {id_: turns[id_] for id_ in draft.evidence}
            evidence = tuple(sorted(cited.values(), key=lambda turn: (turn.time_ms, turn.id)))
            statement = Statement(
                kind=draft.kind,
                text=draft.text,
                subject=known.claim.subject if known else draft.subject,
                valid_from_ms=known.since_ms if known else evidence[-1].time_ms,
                evidence=evidence,
                key=known.claim.key if known else "",
                value=known.claim.value if known else "",
                confidence=draft.confidence,
                answer=answer,
            )
            taken.setdefault((draft.kind, draft.text), statement)
        watch.accepted(len(taken))
        return list(taken.values())

    async def _quoted(self, cluster: Cluster, question: str) -> list[Statement]:
        """Return what the extractive distiller makes of a cluster whose tenant has spent what it may."""
        if question not in self._over_cap:
            if len(self._over_cap) >= _REMEMBERED:
                self._over_cap.clear()
            self._over_cap.add(question)
            self._watch.over_cap()
        if self._when_spent == "wait":
            tenant = tenant_of(cluster.space)
            raise HubsWait(
                f"{tenant} has spent what it may today on distilling (HELAMEM_DISTILLER_CAP_…); its hubs wait until "
                "the next day, UTC"
            )
        (statements,) = await self._quoting.distill([cluster])
        return [replace(one, distiller=self._quoting.name) for one in statements]

    async def _answer(self, space: str, ask: _Ask) -> _Answer | None:
        """Return the answer in force to a question, or None where its tenant may not ask any more today."""
        known = await self._answers.find([ask.question])
        fresh = ask.question not in known
        if fresh:
            tenant = tenant_of(space)
            most = Tokens(_most_tokens(ask.messages), self._settings.max_tokens)
            if not await self._budget.reserve(tenant, most):
                return None
            try:
                completion = await self._ask(ask.messages, partial(self._lost, tenant, most))
                took = Tokens(completion.tokens_in, completion.tokens_out)
                self._watch.spent(took.tokens_in, took.tokens_out, self._budget.prices.of(took))
                answered = Answered(
                    content=completion.text.encode(errors="replace"),
                    version=completion.version,
                    tenant=tenant,
                    tokens_in=took.tokens_in,
                    tokens_out=took.tokens_out,
                )
                known = await self._answers.record({ask.question: answered})
            finally:
                self._budget.release(tenant, most)
        return _Answer(known[ask.question].decode(), fresh)

    def _lost(self, tenant: str, most: Tokens) -> bool:
        """Count a call that was not answered, and return whether it may be asked again without looking at the cap."""
        self._budget.lose(tenant, most)
        return not self._budget.is_bounded

    async def _ask(self, messages: Sequence[Message], on_lost: Callable[[], bool]) -> Completion:
        try:
            return await self._model.ask(messages, self._schema, on_lost)
        except RetryLater as error:
            raise HubsWait(str(error)) from None

    def _first(self, space: str, messages: str) -> _Ask:
        """Return the question of a space: it pays for its own answers, and no other one's words come to it by them."""
        text = orjson.dumps([space, messages]).decode()
        return self._asked(text, self._prompt, (Message("system", self._system), Message("user", messages)))

    def _again(self, first: _Ask, answer: str, complaint: str) -> _Ask:
        """Return the question whether the model can say it in the form that was asked for."""
        wanted = repair(complaint)
        shown = answer[:_REPEATED]
        return self._asked(
            orjson.dumps([first.question.input_hash, shown, complaint]).decode(),
            orjson.dumps([self._prompt, wanted]).decode(),
            (*first.messages, Message("assistant", shown), Message("user", wanted)),
        )

    def _asked(self, text: str, prompt: str, messages: tuple[Message, ...]) -> _Ask:
        question = Question(
            kind="distillation",
            model=f"openai:{self._settings.model}",
            prompt_hash=hash_of(prompt),
            input_hash=hash_of(text),
        )
        return _Ask(question=question, messages=messages)


def _judged(drafts: Sequence[Draft], turns: Named) -> list[_Judged]:
    """Return each statement with why it is not taken, or with what it claims."""
    shown = Shown(turns)
    rules = [shown.refusal(draft) for draft in drafts]
    return [_Judged(one, rule, None if rule else keyed(one, shown)) for one, rule in zip(drafts, rules, strict=True)]


def least_tokens(settings: ChatSettings) -> Tokens:
    """Return what the shortest question is counted as before it is asked."""
    return Tokens(_most_tokens([Message("system", instructions())]), settings.max_tokens)


def _most_tokens(messages: Sequence[Message]) -> int:
    return sum(len(message.content.encode(errors="replace")) for message in messages) // _BYTES_PER_TOKEN
