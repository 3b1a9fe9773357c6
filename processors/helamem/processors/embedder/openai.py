"""Any service that speaks the OpenAI protocol, `/v1/embeddings` (extra `openai`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import orjson
from msgspec import Struct
from numpy.typing import NDArray

from helamem.processors.embedder.port import TEXTS_PER_CALL, unit_rows
from helamem.schemas.errors import ConfigurationError, Poison, RetryLater

_MAY_BE_A_TEXTS_FAULT = {400, 413, 422}
"""What services answer to an input that is too long or otherwise not theirs, and some of them to a wrong model."""
_LONGEST_VERSION = 256
_HARMLESS = "text"
"""What any embedding model takes."""


class _Refused(Exception):  # noqa: N818 - it leaves this module as one of ours
    """The service refuses a call, which one of its texts or the set-up may be the cause of."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class _Item(Struct, frozen=True):
    index: int
    embedding: tuple[float, ...]


class _Answer(Struct, frozen=True):
    data: tuple[_Item, ...]
    model: str | None = None


class _Vector(NamedTuple):
    """One vector, with the name of the model that the answer came from."""

    place: int
    numbers: tuple[float, ...]
    version: str | None


class OpenAIEmbedder:
    """A remote embedding model.

    Args:
        base_url: Address of the service up to and including `/v1`.
        model: Name of the model there.
        dimension: Length of its vectors.
        api_key: Sent as bearer token where given; never printed.
        timeout_s: Seconds after which a call counts as failed.

    Raises:
        ConfigurationError: httpx is not installed.
    """

    quick = False

    def __init__(
        self, *, base_url: str, model: str, dimension: int, api_key: str | None = None, timeout_s: float = 30.0
    ) -> None:
        try:
            import httpx  # noqa: PLC0415 - an extra
        except ImportError:
            raise ConfigurationError("the embedder openai needs httpx; run: pip install 'helamem[openai]'") from None
        headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {api_key}"} if api_key else {})
        self._failures = (httpx.TransportError,)
        self._client = httpx.Client(base_url=base_url, headers=headers, timeout=timeout_s)
        self._model = model
        self.name = f"openai:{model}"
        self.dimension = dimension

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one unit vector per text, shape (n, dimension).

        Raises:
            RetryLater: The service is away, busy or failing (no answer, 429, 5xx, an answer that is none).
            Poison: The service refuses one of the texts and takes others; it is too long for the model, as a rule.
            ConfigurationError: The service refuses any call or answers with vectors of another length.
        """
        return self.answer(texts)[0]

    def answer(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], list[str | None]]:
        """Return what `embed` does, and for each text what the service called the model; with the same errors."""
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        versions: list[str | None] = [None] * len(texts)
        for start in range(0, len(texts), TEXTS_PER_CALL):
            part = list(texts[start : start + TEXTS_PER_CALL])
            for item in self._patient_call(part):
                if len(item.numbers) != self.dimension:
                    raise ConfigurationError(
                        f"the model {self._model!r} answers with {len(item.numbers)} numbers a text, "
                        f"not {self.dimension}; set the dimension to what it gives"
                    )
                vectors[start + item.place] = item.numbers
                versions[start + item.place] = item.version
        return unit_rows(vectors), versions

    def _patient_call(self, texts: list[str]) -> tuple[_Vector, ...]:
        """Call with all of the texts or, where that is refused, with fewer at once, down to one."""
        try:
            return self._call(texts)
        except _Refused as refusal:
            status = refusal.status
        if len(texts) > 1:
            middle = len(texts) // 2
            later = self._patient_call(texts[middle:])
            moved = (one._replace(place=middle + one.place) for one in later)
            return *self._patient_call(texts[:middle]), *moved
        try:
            self._call([_HARMLESS])
        except _Refused:
            raise self._refuses(status) from None
        raise Poison(
            f"the embedding service refuses this text of {len(texts[0]):,} characters with {status}; "
            "append it again in shorter pieces",
            "data.text",
        )

    def _refuses(self, status: int) -> ConfigurationError:
        return ConfigurationError(
            f"the embedding service refuses the call with {status}; check its address, key and model"
        )

    def _call(self, texts: list[str]) -> tuple[_Vector, ...]:
        try:
            response = self._client.post("/embeddings", content=orjson.dumps({"model": self._model, "input": texts}))
        except self._failures as error:
            raise RetryLater(f"the embedding service does not answer ({type(error).__name__})") from None
        if response.status_code == 429 or response.status_code >= 500:
            raise RetryLater(f"the embedding service answers {response.status_code}")
        if response.status_code in _MAY_BE_A_TEXTS_FAULT:
            raise _Refused(response.status_code)
        if response.status_code != 200:
            raise self._refuses(response.status_code)
        try:
            answer = msgspec.json.decode(response.content, type=_Answer)
        except msgspec.DecodeError:
            answer = _Answer(())
        # Whatever stands in between may answer 200 with a page of its own; no text is at fault for that.
        if sorted(item.index for item in answer.data) != list(range(len(texts))):
            raise RetryLater("the embedding service answers with something else than one vector for each text")
        version = answer.model[:_LONGEST_VERSION] if answer.model else None
        return tuple(_Vector(item.index, item.embedding, version) for item in answer.data)
