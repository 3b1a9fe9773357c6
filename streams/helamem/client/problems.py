"""Why a gateway did not do what it was asked: each error says in one sentence what was wrong, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from helamem.client.answers import ProblemField
from helamem.schemas.errors import BadInput, Conflict, HelamemError, NotFound, RetryLater


class ProblemError(HelamemError):
    """A gateway said no.

    Args:
        detail: Its sentence.
        status: Of HTTP.
        kind: What is wrong, for programs: the last part of the problem's type, such as `not-found`.
        fields: What is wrong with which fields of the request.
    """

    def __init__(self, detail: str, *, status: int, kind: str, fields: Sequence[ProblemField] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.fields = tuple(fields)


class InvalidError(ProblemError, BadInput):
    """What was sent is wrong; the same again would be too."""


class MissingError(ProblemError, NotFound):
    """What was named is not there."""


class ConflictError(ProblemError, Conflict):
    """What was sent contradicts what is there."""


class DeniedError(ProblemError):
    """The key is missing, in force no longer, or not for this."""


class WaitError(ProblemError, RetryLater):
    """The gateway cannot answer now, or was asked too often: try the same again."""


class UnreachableError(RetryLater):
    """Nobody answered."""


_OF_STATUS: dict[int, type[ProblemError]] = {
    HTTPStatus.UNAUTHORIZED: DeniedError,
    HTTPStatus.FORBIDDEN: DeniedError,
    HTTPStatus.NOT_FOUND: MissingError,
    HTTPStatus.CONFLICT: ConflictError,
    HTTPStatus.TOO_MANY_REQUESTS: WaitError,
    HTTPStatus.BAD_GATEWAY: WaitError,
    HTTPStatus.SERVICE_UNAVAILABLE: WaitError,
    HTTPStatus.GATEWAY_TIMEOUT: WaitError,
}


def problem_class(status: int) -> type[ProblemError]:
    """Return which error a status is."""
    invalid = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    return _OF_STATUS.get(status, InvalidError if invalid else ProblemError)
