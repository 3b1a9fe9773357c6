"""The evidence rule: a statement that a model wrote is taken only where the turns that it cites contain it.

What is looked at is the words themselves, so no instruction that a message smuggles in can widen it. What a statement
says with them is not understood: a small word that is left out or put in is not seen.

- each cited turn is one of those that the model was shown;
- a trait is about a speaker and rests on their own words; agent knowledge rests on an agent's; a fact that names
  somebody who speaks in the cluster rests on the words of those whom it names. What else is cited proves nothing:
- each date stands in a turn that counts, or is the day of one, or what a relative date in one comes to; none is
  relative;
- each name and each number stands in a turn that counts, speakers included;
- at least half of the other words stand there too, endings aside.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from typing import Literal, get_args

from msgspec import Struct

from helamem.processors.consolidation.dates import mentions
from helamem.processors.consolidation.llm.days import Day, is_supported, supported, taken_out
from helamem.processors.consolidation.llm.drafts import Draft
from helamem.processors.consolidation.llm.prompt import MOST_CHARACTERS
from helamem.processors.store.port import Turn
from helamem.schemas.times import from_ms

Rule = Literal["unknown-evidence", "speaker", "relative-date", "date", "name", "number", "words"]
RULES: tuple[Rule, ...] = get_args(Rule)
"""Why statements are refused."""
_ANY_DAY = date(2000, 1, 1)
_HALF = 0.5
_SHORT = 3
"""Words up to this length are not looked at, but as names and numbers."""
_TOKEN = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_NUMBERS = {
    word: str(number)
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen twenty".split()
    )
} | {"thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "seventy": "70", "eighty": "80", "ninety": "90"}
_NUMBERS |= {"dozen": "12", "hundred": "100", "thousand": "1000", "million": "1000000", "billion": "1000000000"}
_NUMBERS |= {plural: plural for plural in ("dozens", "hundreds", "thousands", "millions", "billions")}
_OPENING = frozenset(
    "the a an this that these those in on at by from since after before during when while with for to of as it he she "
    "they his her their its there both all some one".split()
)
"""What a sentence may begin with that is no name."""
_PLAIN = frozenset(
    "that this they them their there then than have has had having been being were does doing done will would could "
    "should with from into about which what when where while also because very more most some such only over says said "
    "say told tells tell states stated mentions mentioned according".split()
)
"""Words that say nothing by themselves, and those that say who says it."""
_ENDINGS = ("ings", "ing", "ies", "ied", "ed", "es", "ly", "s", "y", "e")
_ENDS = frozenset(".!?")
"""One of these stands before the first word of a sentence."""


class Shown:
    """The turns that a model was shown, each of which is looked at once, however often it is cited.

    Args:
        turns: By the ids under which they were shown.
    """

    def __init__(self, turns: Mapping[str, Turn]) -> None:
        self.turns = turns
        self._names = {turn.speaker: _words_of(turn.speaker) for turn in turns.values()}
        self._words: dict[str, _Words] = {}
        self._days: dict[str, frozenset[Day]] = {}

    def refusal(self, draft: Draft) -> Rule | None:
        """Return why a statement is not taken, or None where it is."""
        dates, rest = taken_out(draft.text)
        counting = self.counting(draft)
        words = _Words.of_all([self._words_in(id_) for id_ in counting])
        names = frozenset().union(*self._names.values())
        holds: dict[Rule, Callable[[], bool]] = {
            "unknown-evidence": lambda: all(id_ in self.turns for id_ in draft.evidence),
            "speaker": lambda: bool(counting),
            "relative-date": lambda: not any(True for _ in mentions(draft.text, _ANY_DAY)),
            "date": lambda: self._stand(dates, counting),
            "name": lambda: words.have_names(rest) and words.have_all(draft.subject),
            "number": lambda: words.have_numbers(rest),
            "words": lambda: words.have_half(rest, names),
        }
        return next((rule for rule in RULES if not holds[rule]()), None)

    def counting(self, draft: Draft) -> list[str]:
        """Return those of the turns cited whose words a statement may rest on, by whom it is about."""
        cited = [id_ for id_ in dict.fromkeys(draft.evidence) if id_ in self.turns]
        said = _words_of(draft.text)
        if draft.kind == "user-trait":
            subject = draft.subject.casefold()
            return [id_ for id_ in cited if self._is_own(self.turns[id_], subject, said)]
        if draft.kind == "agent-knowledge":
            return [id_ for id_ in cited if self.turns[id_].role == "agent"]
        # The subject is what the model says it is; what counts is whom the statement names.
        said |= _words_of(draft.subject)
        named = {speaker for speaker, name in self._names.items() if name & said}
        return [id_ for id_ in cited if not named or self.turns[id_].speaker in named]

    def has_all(self, id_: str, text: str) -> bool:
        """Return whether each word of a text stands in a turn, endings aside."""
        return self._words_in(id_).have_all(text)

    def _is_own(self, turn: Turn, subject: str, said: frozenset[str]) -> bool:
        is_theirs = turn.role == "user" and turn.speaker.casefold() == subject
        return is_theirs and bool(self._names[turn.speaker] & said)

    def _words_in(self, id_: str) -> _Words:
        if id_ not in self._words:
            turn = self.turns[id_]
            self._words[id_] = _Words.of(f"{turn.speaker}. {turn.text[:MOST_CHARACTERS]}")
        return self._words[id_]

    def _stand(self, dates: Sequence[Day], counting: Sequence[str]) -> bool:
        if not dates:
            return True
        for id_ in counting:
            if id_ not in self._days:
                turn = self.turns[id_]
                self._days[id_] = frozenset(supported(turn.text[:MOST_CHARACTERS], from_ms(turn.time_ms).date()))
        known = frozenset().union(*(self._days[id_] for id_ in counting))
        return all(is_supported(one, known) for one in dates)


class _Words(Struct, frozen=True):
    """The words of turns."""

    words: frozenset[str]
    stems: frozenset[str]
    numbers: frozenset[str]

    @classmethod
    def of(cls, said: str) -> _Words:
        """Return those of a text."""
        words = frozenset(token.casefold() for token in _tokens(said))
        numbers = _digits(said) | {_NUMBERS[word] for word in words if word in _NUMBERS}
        return cls(words, frozenset(_stem(word) for word in words), frozenset(numbers))

    @classmethod
    def of_all(cls, those: Sequence[_Words]) -> _Words:
        """Return those of several texts."""
        nothing: frozenset[str] = frozenset()
        return cls(
            nothing.union(*(one.words for one in those)),
            nothing.union(*(one.stems for one in those)),
            nothing.union(*(one.numbers for one in those)),
        )

    def have_all(self, text: str) -> bool:
        """Return whether each word of a text is there, endings aside."""
        return all(self._has(word) or word in _OPENING for word in map(str.casefold, _tokens(text)))

    def have_names(self, text: str) -> bool:
        """Return whether each word with a capital letter is there; the first of a sentence may be an everyday one."""
        end: int | None = None
        for match in _TOKEN.finditer(text):
            begins = end is None or not _ENDS.isdisjoint(text[end : match.start()])
            end = match.end()
            token = _bare(match[0])
            word = token.casefold()
            if token == token.lower() or word in self.words or (begins and word in _OPENING):
                continue
            return False
        return True

    def have_numbers(self, text: str) -> bool:
        """Return whether each number is there, in digits or as a word; the word "one" is as often no number."""
        words = {word for word in map(str.casefold, _tokens(text)) if word in _NUMBERS and word != "one"}
        return (_digits(text) | {_NUMBERS[word] for word in words}) <= self.numbers

    def have_half(self, text: str, names: frozenset[str]) -> bool:
        """Return whether at least half of the words that say something are there; who speaks says nothing."""
        said = {w for w in map(str.casefold, _tokens(text)) if len(w) > _SHORT and w not in _PLAIN and w not in names}
        return sum(self._has(word) for word in said) >= _HALF * len(said)

    def _has(self, word: str) -> bool:
        return word in self.words or _stem(word) in self.stems


def _words_of(text: str) -> frozenset[str]:
    """Return the words of a text that may stand for somebody; a name of nothing else keeps its other words."""
    words = frozenset(token.casefold() for token in _tokens(text))
    return frozenset(word for word in words if word not in _OPENING) or words


def _tokens(text: str) -> Iterator[str]:
    return (_bare(token) for token in _TOKEN.findall(text))


def _bare(token: str) -> str:
    """Return a word without the ending of whose something is."""
    return re.sub(r"['’]s$", "", token, flags=re.IGNORECASE) or token


def _digits(text: str) -> set[str]:
    """Return the numbers in a text, 1,500 and 1500 alike."""
    return {number.replace(",", "") for number in _NUMBER.findall(text)}


def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _SHORT:
            word = word[: -len(ending)]
            break
    return word[:-1] if len(word) > _SHORT and word[-1] == word[-2] else word
