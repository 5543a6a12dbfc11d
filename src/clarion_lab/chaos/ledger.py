"""The client's ledger: one fsynced line before a request is sent and one for its response.

Its lines survive a crash of the harness, and they never claim more than the client knew: a missing response is
`unknown`, never a failure.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec

Result = Literal["ok", "refused", "unknown"]
SETTLED: Final = frozenset({"ok", "refused"})


class RequestLine(msgspec.Struct, frozen=True, tag="asked"):
    """A request about to be sent. `key` is its idempotency key; `deliveries` is, item by item, the number of deliveries
    that each of its notifications must have; `attempt` counts from 1."""

    key: str
    kind: str
    deliveries: list[int]
    attempt: int
    at_ms: int


class AnswerLine(msgspec.Struct, frozen=True, tag="answered"):
    """The response: an id per item when `ok` (None for a refused item)."""

    key: str
    result: Result
    ids: list[str | None]
    at_ms: int
    detail: str = ""


Line = RequestLine | AnswerLine
_DECODER: Final = msgspec.json.Decoder(Line)


class Ledger:
    """Appends lines durably; each call returns when the line is on disk."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, line: Line) -> None:
        """Append a line and fsync it."""
        os.write(self._file, msgspec.json.encode(line) + b"\n")
        os.fdatasync(self._file)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def read(path: Path) -> Iterator[Line]:
    """Yield the lines of a ledger without a last line that a crash of the harness cut short."""
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield _DECODER.decode(line)


class Account(msgspec.Struct, frozen=True):
    """The totals of a ledger: deliveries owed by notification id, the ids in responses by key, keys never settled, and
    keys whose responses named different ids."""

    owed: dict[str, int]
    ids: dict[str, list[str | None]]
    refused: int
    unsettled: list[str]
    contradictions: list[str]


def add_up(lines: Iterator[Line]) -> Account:
    """Return the totals of the lines."""
    asked: dict[str, RequestLine] = {}
    settled: dict[str, list[str | None]] = {}
    contradictions: list[str] = []
    refused: set[str] = set()
    for line in lines:
        if isinstance(line, RequestLine):
            asked.setdefault(line.key, line)
        elif line.result == "ok":
            if settled.setdefault(line.key, line.ids) != line.ids:
                contradictions.append(line.key)
        elif line.result == "refused":
            refused.add(line.key)
    owed: dict[str, int] = {}
    for key, ids in settled.items():
        for id_, deliveries in zip(ids, asked[key].deliveries, strict=True):
            if id_ is not None:
                owed[id_] = deliveries
    unsettled = [key for key in asked if key not in settled and key not in refused]
    return Account(owed, settled, len(refused), unsettled, contradictions)
