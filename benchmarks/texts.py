"""Texts of natural length without any data set: the sentences of the bundled conversation, put together anew."""

from __future__ import annotations

import json
import random
import re
from importlib.resources import files

_DEMO = "helamem.streams.demo"
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_SPLICED_WORDS = 6
"""Fewest words of a sentence that is cut in two."""
_FURTHER = (0, 0, 0, 1, 1, 2)
"""How many whole sentences follow the spliced one; the mean length is that of the conversation."""


class Texts:
    """Makes the same distinct text for the same number, and questions about what was said.

    A text begins with the head of one sentence and the tail of another. Every pair of them comes once before any
    comes again, and then with another short sentence in front.
    """

    def __init__(self) -> None:
        folder = files(_DEMO)
        lines = folder.joinpath("conversation.jsonl").read_text(encoding="utf-8").splitlines()
        said = [json.loads(line)["text"] for line in lines]
        self._sentences = list(dict.fromkeys(part for text in said for part in _SENTENCE_END.split(text)))
        words = [sentence.split() for sentence in self._sentences]
        halves = [(part[: len(part) // 2], part[len(part) // 2 :]) for part in words if len(part) >= _SPLICED_WORDS]
        self._heads = list(dict.fromkeys(" ".join(head) for head, _ in halves))
        self._tails = list(dict.fromkeys(" ".join(tail) for _, tail in halves))
        self._short = ["", *(" ".join(part) for part in words if len(part) < _SPLICED_WORDS)]
        asked = json.loads(folder.joinpath("questions.json").read_text(encoding="utf-8"))
        self._questions = [question["query"] for question in asked["questions"]]
        self._stride = 7919  # a prime that divides neither number of halves: neighbours in number are strangers

    def short(self, number: int) -> str:
        """Return a message of one sentence, about 60 characters."""
        pairs = len(self._heads) * len(self._tails)
        head, tail = divmod(number * self._stride % pairs, len(self._tails))
        before = self._short[number // pairs % len(self._short)]
        return f"{before} {self._heads[head]} {self._tails[tail]}".lstrip()

    def message(self, number: int) -> str:
        """Return a message of one to three sentences."""
        drawn = random.Random(number)
        further = drawn.choices(self._sentences, k=drawn.choice(_FURTHER))
        return " ".join((self.short(number), *further))

    def question(self, number: int) -> str:
        """Return a question; there are a few hundred at most, and they come again in turn."""
        return str(self._questions[number % len(self._questions)])
