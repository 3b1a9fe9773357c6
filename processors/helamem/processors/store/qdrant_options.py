"""What the settings of collections are in the client's words, and whether those that are there are kept like that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qdrant_client import models

from helamem.processors.store.qdrant_settings import QdrantSettings, Quantization
from helamem.schemas.errors import ConfigurationError

OVERSAMPLING = 2.0
"""Of quantised vectors so many times more are looked at; what is returned is scored by the vectors themselves."""
_QUANTIZED: dict[Quantization, models.QuantizationConfig | None] = {
    "none": None,
    "scalar": models.ScalarQuantization(
        scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=0.99, memory=models.Memory.PINNED)
    ),
    "binary": models.BinaryQuantization(binary=models.BinaryQuantizationConfig(memory=models.Memory.PINNED)),
}


def options_of(settings: QdrantSettings, *, with_vectors: bool) -> dict[str, Any]:
    """Return what `create_collection` takes."""
    memory = models.Memory.COLD if settings.payload_on_disk else models.Memory.CACHED
    return {
        "replication_factor": settings.replication,
        "write_consistency_factor": settings.confirmations,
        "payload": models.PayloadStorageParams(memory=memory),
        "quantization_config": _QUANTIZED[settings.quantization] if with_vectors else None,
    }


def search_of(settings: QdrantSettings) -> models.QuantizationSearchParams | None:
    """Return how a quantised collection is searched: scores are always those of the vectors themselves."""
    if settings.quantization == "none":
        return None
    return models.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING)


def check_kept(name: str, config: models.CollectionConfig, settings: QdrantSettings, *, with_vectors: bool) -> None:
    """Refuse a collection that is kept otherwise; what the server does not tell is not looked at.

    Raises:
        ConfigurationError: Names the setting, what the collection has and what is configured.
    """
    for setting, there, wanted in _compared(config, settings, with_vectors=with_vectors):
        if there != wanted:
            raise ConfigurationError(
                f"the collection {name} has {setting} {there}, and {wanted} is configured; configure what it has "
                f"(HELAMEM_QDRANT_{setting.upper()}), or name another prefix and replay the log into that"
            )


def _compared(
    config: models.CollectionConfig, settings: QdrantSettings, *, with_vectors: bool
) -> Iterator[tuple[str, object, object]]:
    params = config.params
    if params.replication_factor is None:  # the client's local mode tells nothing
        return
    yield "replication", params.replication_factor, settings.replication
    yield "write_consistency", params.write_consistency_factor, settings.confirmations
    if params.payload is not None and params.payload.memory is not None:
        yield "payload_on_disk", params.payload.memory is models.Memory.COLD, settings.payload_on_disk
    if with_vectors:
        yield "quantization", _name_of(config.quantization_config), settings.quantization


def _name_of(found: object) -> str:
    if found is None:
        return "none"
    if isinstance(found, models.ScalarQuantization):
        return "scalar"
    return "binary" if isinstance(found, models.BinaryQuantization) else type(found).__name__
