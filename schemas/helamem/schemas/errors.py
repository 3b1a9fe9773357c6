"""The error tree: what may be retried, what never will work, and what a person must set right."""

from __future__ import annotations


class HelamemError(Exception):
    """Base of every error that helamem raises on purpose; its text is one sentence for a stranger."""


class RetryLater(HelamemError):  # noqa: N818 - it says what to do
    """Something that is away now and may be back: try the same again."""


class Poison(HelamemError):  # noqa: N818 - the usual name for such a record
    """A record that can never be processed as it is.

    Args:
        reason: What is wrong with it, without its content.
        field: The field at fault, as a JSON path without the leading `$.`, or None.
    """

    def __init__(self, reason: str, field: str | None = None) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.reason = reason
        self.field = field


class MissingRecord(HelamemError):  # noqa: N818 - it says what is wrong with the log
    """The log lacks what a model answered, and a replay asks no model; what was done so far is not the whole."""


class BadInput(HelamemError):  # noqa: N818 - the user may be at fault, not the program
    """What a caller passed in is wrong; nothing was done."""


class NotFound(BadInput):
    """What a caller named is not there."""


class Conflict(BadInput):
    """What a caller gives contradicts what is there."""


class ConfigurationError(HelamemError):
    """The set-up contradicts itself, the log or the store; a person has to decide."""
