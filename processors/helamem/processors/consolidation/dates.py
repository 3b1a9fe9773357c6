"""Relative dates in English speech, made absolute from the day on which they were said.

A date that is vague by itself stays vague: "last week" becomes the week's first and last day, "last month" a month.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date, timedelta

from msgspec import Struct

_NUMBERS = {
    word: number
    for number, words in enumerate(
        ("zero", "one a an", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
    )
    for word in words.split()
} | {"a couple of": 2, "couple of": 2}
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_NUMBER = r"(?P<n>\d{1,3}|a couple of|couple of|" + "|".join(w for w in _NUMBERS if " " not in w) + ")"
_UNIT = r"(?P<unit>day|week|month|year)s?"
_WEEKDAY = r"(?P<weekday>" + "|".join(_WEEKDAYS) + ")"


class Mention(Struct, frozen=True, kw_only=True):
    """A relative date in a text."""

    start: int
    end: int
    """Characters `text[start:end]` are the words."""
    first: date
    last: date
    """The days that they mean, both included."""

    @property
    def absolute(self) -> str:
        """The days in ISO form: a day, a month, a year, or first/last."""
        if self.first == self.last:
            return self.first.isoformat()
        if self.first.day == 1 and self.last == _end_of_month(self.first):
            return self.first.isoformat()[:7]
        if (self.first.month, self.first.day, self.last.month, self.last.day) == (1, 1, 12, 31):
            return str(self.first.year)
        return f"{self.first.isoformat()}/{self.last.isoformat()}"


Rule = Callable[[re.Match[str], date], tuple[date, date]]


def _end_of_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1) - timedelta(days=1)


def _add_months(day: date, months: int) -> date:
    total = day.year * 12 + day.month - 1 + months
    first = date(total // 12, total % 12 + 1, 1)
    return first.replace(day=min(day.day, _end_of_month(first).day))


def _days(offset: int) -> Rule:
    return lambda match, said: (said + timedelta(days=offset),) * 2


def _number(match: re.Match[str]) -> int:
    text = match["n"].lower()
    return int(text) if text.isdigit() else _NUMBERS[text]


def _span(unit: str, day: date) -> tuple[date, date]:
    """Return the whole week (Monday to Sunday), month or year around a day."""
    if unit == "week":
        monday = day - timedelta(days=day.weekday())
        return monday, monday + timedelta(days=6)
    if unit == "month":
        return day.replace(day=1), _end_of_month(day)
    return day.replace(month=1, day=1), day.replace(month=12, day=31)


def _shift(day: date, unit: str, count: int) -> date:
    if unit == "day":
        return day + timedelta(days=count)
    if unit == "week":
        return day + timedelta(weeks=count)
    return _add_months(day, count * (12 if unit == "year" else 1))


def _counted(direction: int) -> Rule:
    """Return the rule of "three days ago" and "in two weeks": days and weeks give a day, longer units their span."""

    def rule(match: re.Match[str], said: date) -> tuple[date, date]:
        unit = match["unit"].lower()
        day = _shift(said, unit, direction * _number(match))
        return (day, day) if unit in ("day", "week") else _span(unit, day)

    return rule


def _neighbour_unit(match: re.Match[str], said: date) -> tuple[date, date]:
    """Return the span of "last week", "this month", "next year"."""
    unit = match["unit"].lower()
    return _span(unit, _shift(said, unit, {"last": -1, "past": -1, "this": 0, "next": 1}[match["which"].lower()]))


def _weekday(match: re.Match[str], said: date) -> tuple[date, date]:
    """Return the day of "last Friday" (the newest one before today), "next Friday" and "this Friday" (the one to come).

    "Next" is said both of the coming day and of the one in the week after; here it is the one in the week after,
    unless the coming one already lies there.
    """
    target = _WEEKDAYS.index(match["weekday"].lower())
    which = match["which"].lower()
    if which == "last":
        day = said - timedelta(days=(said.weekday() - target - 1) % 7 + 1)
    elif which == "this":
        day = said + timedelta(days=(target - said.weekday()) % 7)
    else:
        day = said - timedelta(days=said.weekday()) + timedelta(days=7 + target)
    return day, day


def _weekend(match: re.Match[str], said: date) -> tuple[date, date]:
    """Return Saturday and Sunday of "last weekend", "this weekend", "next weekend"."""
    saturday = said - timedelta(days=said.weekday()) + timedelta(days=5)
    saturday += timedelta(weeks={"last": -1, "past": -1, "this": 0, "next": 1}[match["which"].lower()])
    return saturday, saturday + timedelta(days=1)


_RULES: tuple[tuple[re.Pattern[str], Rule], ...] = tuple(
    # "The last week of May" is not relative.
    (re.compile(rf"\b(?:{pattern})\b(?:['’]s\b)?(?! of\b)", re.IGNORECASE), rule)
    for pattern, rule in (
        (r"(?:the )?day before yesterday", _days(-2)),
        (r"(?:the )?day after tomorrow", _days(2)),
        (r"yesterday(?: (?:morning|afternoon|evening|night))?", _days(-1)),
        (r"last night", _days(-1)),
        (r"tomorrow(?: (?:morning|afternoon|evening|night))?", _days(1)),
        (r"today|tonight|this (?:morning|afternoon|evening)", _days(0)),
        (rf"{_NUMBER} {_UNIT} ago", _counted(-1)),
        # "Do it in four days" says how long, not when.
        (rf"(?<!do it )(?<!did it )(?<!done )(?<!finished )in {_NUMBER} {_UNIT}(?:' time)?", _counted(1)),
        (rf"(?P<which>last|next|this) {_WEEKDAY}", _weekday),
        (r"(?P<which>last|past|next|this) weekend", _weekend),
        (r"(?P<which>last|past|next|this) (?P<unit>week|month|year)", _neighbour_unit),
    )
)


def mentions(text: str, said: date) -> Iterator[Mention]:
    """Yield the relative dates of a text that was said on day `said`, in order and without overlaps."""
    found: list[Mention] = []
    for pattern, rule in _RULES:
        for match in pattern.finditer(text):
            try:
                first, last = rule(match, said)
            except (OverflowError, ValueError):
                continue  # a date outside the calendar, such as "999 years ago" said in the year 500
            found.append(Mention(start=match.start(), end=match.end(), first=first, last=last))
    end = 0
    for mention in sorted(found, key=lambda m: (m.start, -m.end)):
        if mention.start >= end:
            end = mention.end
            yield mention


def with_absolute_dates(text: str, said: date) -> str:
    """Return a text with the absolute date in brackets behind each relative one."""
    parts, end = [], 0
    for mention in mentions(text, said):
        parts += [text[end : mention.end], f" [{mention.absolute}]"]
        end = mention.end
    return "".join([*parts, text[end:]])
