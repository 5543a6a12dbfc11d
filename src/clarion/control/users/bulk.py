"""Bulk import: newline-delimited JSON of any size, cut into lines, decoded and checked in batches. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from clarion.control.users.rules import Known, Places, UserBody, check_user
from clarion.domain.depth import too_deep
from clarion.domain.errors import InvalidField, TooLarge
from clarion.domain.json_values import check_values
from clarion.domain.limits import BULK_ERRORS_MAX, BULK_LINE_BYTES_MAX, BULK_LINE_VALUES_MAX
from clarion.domain.user import UserWrite
from clarion.ports.web import invalid_field


class BulkLine(UserBody, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One line: a user with its id."""

    id: str


class LineError(msgspec.Struct, frozen=True):
    """The reason that a line was not stored. Lines count from 1."""

    line: int
    field: str | None
    reason: str


class Report(msgspec.Struct):
    """The result of an import. `errors` holds the first `BULK_ERRORS_MAX`; `failed` counts all."""

    received: int = 0
    stored: int = 0
    failed: int = 0
    errors: list[LineError] = []

    def refuse(self, errors: Sequence[LineError]) -> None:
        """Count lines that were not stored."""
        self.failed += len(errors)
        self.errors.extend(errors[: BULK_ERRORS_MAX - len(self.errors)])


_DECODER: Final = msgspec.json.Decoder(BulkLine)
_BLANK: Final = b" \t\r\n"

Line = tuple[int, bytes]
"""Number and text of a line."""


class LineCutter:
    """Cuts a stream of pieces into numbered lines, and holds at most one line over the bound."""

    def __init__(self) -> None:
        self._rest = b""
        self._number = 0

    def feed(self, piece: bytes) -> list[Line]:
        """Return the lines that a piece completes; blank ones are counted and left out."""
        *whole, self._rest = (self._rest + piece).split(b"\n")
        # A line without an end is cut to just over the bound, so that it is refused at its end.
        self._rest = self._rest[: BULK_LINE_BYTES_MAX + 1]
        return self._numbered(whole)

    def end(self) -> list[Line]:
        """Return the last line if it had no line end."""
        rest, self._rest = self._rest, b""
        return self._numbered([rest])

    def _numbered(self, lines: Sequence[bytes]) -> list[Line]:
        first = self._number + 1
        self._number += len(lines)
        return [(first + index, line) for index, line in enumerate(lines) if line.strip(_BLANK)]


def decode(lines: Iterable[Line]) -> tuple[list[tuple[int, BulkLine]], list[LineError]]:
    """Return the lines that decode as users, and the errors of the other lines."""
    good = []
    errors = []
    for number, line in lines:
        try:
            if len(line) > BULK_LINE_BYTES_MAX:
                raise InvalidField(f"is longer than {BULK_LINE_BYTES_MAX} bytes")
            check_values(line, BULK_LINE_VALUES_MAX, "line")
            if too_deep(line):
                raise InvalidField("is nested too deeply")
            good.append((number, _DECODER.decode(line)))
        except msgspec.ValidationError as error:
            problem = invalid_field(error)
            errors.append(LineError(number, problem.field, problem.detail))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            errors.append(LineError(number, None, f"is not JSON: {error}"))
        except (InvalidField, TooLarge) as error:
            errors.append(LineError(number, None, error.detail))
    return good, errors


def check(
    lines: Iterable[tuple[int, BulkLine]], places: Places, known: Known
) -> tuple[list[UserWrite], list[LineError]]:
    """Return the users to store, and the errors of the other lines."""
    good = []
    errors = []
    for number, line in lines:
        try:
            good.append(check_user(line.id, line, places, known))
        except InvalidField as error:
            errors.append(LineError(number, error.field, error.detail))
    return good, errors
