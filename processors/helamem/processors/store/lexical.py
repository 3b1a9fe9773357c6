"""BM25 term weights, the same for every adapter: they are computed here and not by a server."""

from __future__ import annotations

from qdrant_edge import Bm25, Bm25Config, SparseVector

from helamem.schemas.errors import ConfigurationError


class Lexical:
    """Turns texts into sparse vectors; the store multiplies them by inverse document frequencies.

    Args:
        language: Whose stop words and stems count, such as `english`.

    Raises:
        ConfigurationError: The language is not known.
    """

    def __init__(self, language: str) -> None:
        try:
            self._model = Bm25(Bm25Config(language=language))
        except ValueError as error:
            raise ConfigurationError(
                f"the keyword index knows no language {language!r}; name one such as english"
            ) from error

    def document(self, text: str) -> SparseVector:
        """Return the terms of a stored text, weighted by frequency and length; empty where it holds no word."""
        return self._model.embed_document(text)

    def query(self, text: str) -> SparseVector:
        """Return the terms of a query."""
        return self._model.embed_query(text)
