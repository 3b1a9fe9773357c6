"""The evidence rule: a statement that a model wrote is taken only where the turns that it cites contain it.

What is looked at is the words themselves, so no instruction that a message smuggles in can widen it:

- each cited turn is one of those that the model was shown;
- a trait is about a speaker and cites their own words; agent knowledge cites an agent's; a fact about somebody who
  speaks in the cluster cites their words, or names who said it;
- each date stands in a cited turn, or is the day of one, or what a relative date in one comes to; none is relative;
- each name and each number stands in a cited turn, speakers included;
- at least half of the other words stand there too, endings aside.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Literal, get_args

from helamem.processors.consolidation.dates import mentions
from helamem.processors.consolidation.llm.days import Day, is_supported, supported, taken_out
from helamem.processors.consolidation.llm.drafts import Draft
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
_BEGINS = re.compile(r"(?:^|[.!?])\W*$")
"""What stands before the first word of a sentence."""


def refusal(draft: Draft, turns: Mapping[str, Turn]) -> Rule | None:
    """Return why a statement is not taken, or None where it is.

    Args:
        draft: The statement.
        turns: What the model was shown, by the ids under which it was.
    """
    cited = [turns[id_] for id_ in draft.evidence if id_ in turns]
    dates, rest = taken_out(draft.text)
    words = _Words(f"{turn.speaker}. {turn.text}" for turn in cited)
    holds: dict[Rule, Callable[[], bool]] = {
        "unknown-evidence": lambda: len(cited) == len(draft.evidence),
        "speaker": lambda: _speaks(draft, cited, list(turns.values())),
        "relative-date": lambda: not any(True for _ in mentions(draft.text, _ANY_DAY)),
        "date": lambda: _dates_stand(dates, cited),
        "name": lambda: words.have_names(rest) and words.have_all(draft.subject),
        "number": lambda: words.have_numbers(rest),
        "words": lambda: words.have_half(rest),
    }
    return next((rule for rule in RULES if not holds[rule]()), None)


def _speaks(draft: Draft, cited: Sequence[Turn], shown: Sequence[Turn]) -> bool:
    subject = draft.subject.casefold()
    if draft.kind == "user-trait":
        own = [turn for turn in cited if turn.speaker.casefold() == subject]
        return any(turn.role == "user" and _names(draft.text, turn.speaker) for turn in own)
    if draft.kind == "agent-knowledge":
        return any(turn.role == "agent" for turn in cited)
    # The subject is what the model says it is; what counts is whom the statement names.
    named = {turn.speaker for turn in shown if _names(draft.text, turn.speaker)}
    named |= {turn.speaker for turn in shown if turn.speaker.casefold() == subject}
    return not named or any(turn.speaker in named for turn in cited)


def _names(text: str, speaker: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(speaker)}(?!\w)", text, re.IGNORECASE) is not None


def _dates_stand(dates: Iterable[Day], cited: Sequence[Turn]) -> bool:
    known = {day for turn in cited for day in supported(turn.text, from_ms(turn.time_ms).date())}
    return all(is_supported(one, known) for one in dates)


class _Words:
    """The words of cited turns."""

    def __init__(self, texts: Iterable[str]) -> None:
        said = " ".join(texts)
        self._words = {token.casefold() for token in _tokens(said)}
        self._stems = {_stem(word) for word in self._words}
        self._numbers = _digits(said) | {_NUMBERS[word] for word in self._words if word in _NUMBERS}

    def have_all(self, text: str) -> bool:
        """Return whether each word of a text is there, endings aside."""
        return all(self._has(word) or word in _OPENING for word in map(str.casefold, _tokens(text)))

    def have_names(self, text: str) -> bool:
        """Return whether each word with a capital letter is there; the first of a sentence may be an everyday one."""
        for match in _TOKEN.finditer(text):
            token = _bare(match[0])
            word, before = token.casefold(), text[: match.start()]
            if token == token.lower() or word in self._words:
                continue
            if word in _OPENING and _BEGINS.search(before):
                continue
            return False
        return True

    def have_numbers(self, text: str) -> bool:
        """Return whether each number is there, in digits or as a word; the word "one" is as often no number."""
        words = {word for word in map(str.casefold, _tokens(text)) if word in _NUMBERS and word != "one"}
        return (_digits(text) | {_NUMBERS[word] for word in words}) <= self._numbers

    def have_half(self, text: str) -> bool:
        """Return whether at least half of the words that say something are there."""
        said = {w for w in map(str.casefold, _tokens(text)) if len(w) > _SHORT and w not in _PLAIN}
        return sum(self._has(word) for word in said) >= _HALF * len(said)

    def _has(self, word: str) -> bool:
        return word in self._words or _stem(word) in self._stems


def _tokens(text: str) -> Iterable[str]:
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
