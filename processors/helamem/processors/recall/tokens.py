"""How many tokens a text costs in a prompt."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Protocol

import wordllama
from tokenizers import Tokenizer


class TokenCounter(Protocol):
    """Counts the tokens of a text."""

    def __call__(self, text: str) -> int:
        """Return the number of tokens."""
        ...


@cache
def _tokenizer() -> Tokenizer:
    folder = Path(wordllama.__file__).parent / "tokenizers"
    return Tokenizer.from_file(str(folder / "l2_supercat_tokenizer_config.json"))


def llama_tokens(text: str) -> int:
    """Return the number of tokens by the Llama 2 tokenizer, which comes inside the package wordllama."""
    return len(_tokenizer().encode(text, add_special_tokens=False).ids)
