"""The rows of a group of steps as arrays, as the function `journal.commit_steps` takes them, and its answer."""

from collections.abc import Iterable, Sequence
from struct import pack
from typing import Any, Final

import msgspec
from msgspec.structs import astuple

from clarion.domain.errors import StaleLease
from clarion.domain.limits_processes import CAP_BLOCK_USERS
from clarion.journal.topics import urgency
from clarion.ports.journal_cells import CapWrite
from clarion.ports.stage_store import (
    Commit,
    Committed,
    IntentWrite,
    StageResult,
    StaleCaps,
    StaleCursor,
    StaleKey,
)
from clarion.stores.postgres.pool import columns
from clarion.stores.postgres.tenancy import ALL_TENANTS, NO_TENANT, SCOPE, Tenants
from clarion.stores.postgres.timeline import TIMELINE, UNKNOWN

Rows = list[tuple[Any, ...]]
GrownStream = tuple[str, int, int]
"""Topic, partition and newest offset of a stream, or the count of a marker."""

EMPTY_CAPS: Final = bytes(4 * CAP_BLOCK_USERS)
_WIDTHS: Final = (4, 4, 5, 4, 3, 6, 5, 3, 11, 7, 6, 3, 3, 3, 6)
"""The number of columns of each part, in the order of the function's parameters."""
_TENANT: Final = {6: 0, 7: 0, 8: 1, 10: 0, 12: 0, 13: 0, 14: 0}
"""The column of the tenant in the parts that have one."""
_GLOBALS: Final = 11
_PARAMETERS: Final = _GLOBALS + sum(_WIDTHS)
CALL: Final = (
    f"SELECT journal.commit_steps({', '.join(f'${n}' for n in range(1, _PARAMETERS + 1))})"
    f" WHERE {SCOPE} AND ${_PARAMETERS + 1} IN ('{UNKNOWN}', {TIMELINE})"
)
"""Its last value is the timeline; on another one it stores nothing and has no row."""


class StepAnswer(msgspec.Struct, frozen=True):
    """The answer to one step: its offsets, or what refused it."""

    offsets: list[int] = []
    after: int | None = None
    cancelled: list[str] = []
    refused: str = ""
    detail: str = ""
    stale: list[int] = []


class GroupAnswer(msgspec.Struct, frozen=True):
    """The answer to a group: one per step, and the streams and markers that grew."""

    steps: list[StepAnswer]
    grown: list[GrownStream]


class Grown(msgspec.Struct, frozen=True):
    """The payload of a wake-up; without streams, any may have grown."""

    origin: str
    grown: list[GrownStream] | None = None


decode_answer: Final = msgspec.json.Decoder(GroupAnswer).decode
decode_grown: Final = msgspec.json.Decoder(Grown).decode
decode_streams: Final = msgspec.json.Decoder(list[GrownStream]).decode


class Step:
    """One step as rows by part, with the size of its frames and timers in bytes."""

    def __init__(self, result: StageResult) -> None:
        self.result = result
        self.size = sum(len(one.payload) for one in result.frames) + sum(len(one.payload) for one in result.timers)
        accept, plan, broadcasts = result.accept_state, result.plan_state, result.broadcasts
        entries, below = _intents(result.progress.intents)
        self.parts: tuple[Rows, ...] = (
            _leases(result),
            [astuple(frame) for frame in result.frames],
            _positions(result.progress.commits),
            entries,
            below,
            [(*astuple(timer), urgency(timer.topic)) for timer in result.timers],
            [astuple(entry) for entry in accept.idempotency],
            [astuple(cancellation) for cancellation in accept.cancellations],
            [astuple(cursor) for cursor in broadcasts.cursors],
            [astuple(move)[1:] for move in broadcasts.moves],
            [row for write in plan.caps for row in _runs(write)],
            list({(cell.partition, cell.key): astuple(cell) for cell in plan.cells}.values()),
            [astuple(signal) for signal in plan.signals],
            [astuple(wait) for wait in plan.ended_waits],
            list({(wait.tenant, wait.key, wait.subject): astuple(wait) for wait in plan.waits}.values()),
        )

    def tenants(self) -> set[str] | None:
        """Return the tenants of the rows, None when the step reads or moves rows whose tenants it does not name."""
        if self.result.cancellations_after is not None or self.result.broadcasts.moves:
            return None
        return {row[column] for part, column in _TENANT.items() for row in self.parts[part]}

    def committed(self, answer: StepAnswer) -> Committed:
        """Return the result of the step, or raise its refusal."""
        if answer.refused == "lease":
            raise StaleLease(answer.detail)
        if answer.refused == "cursor":
            raise StaleCursor(answer.detail)
        if answer.refused == "caps":
            raise StaleCaps(answer.detail)
        if answer.refused == "key":
            entries = self.result.accept_state.idempotency
            raise StaleKey(frozenset((entries[at].tenant, entries[at].key) for at in answer.stale))
        if answer.after is None:
            return Committed(answer.offsets)
        return Committed(answer.offsets, (answer.after, [bytes.fromhex(one) for one in answer.cancelled]))


def arrays(steps: Sequence[Step]) -> list[Any]:
    """Return the number of steps, the bounds of their rows in each part, the sequence after which each reads
    cancellations, and all columns."""
    bounds: list[int] = []
    values: list[Any] = []
    for part, width in enumerate(_WIDTHS):
        rows: Rows = []
        bounds.append(0)
        for step in steps:
            rows += step.parts[part]
            bounds.append(len(rows))
        values += columns(rows, width)
    return [len(steps), bounds, [step.result.cancellations_after for step in steps], *values]


def tenants_of(steps: Sequence[Step]) -> Tenants:
    """Return the tenants of a group of steps."""
    found: set[str] = set()
    for step in steps:
        tenants = step.tenants()
        if tenants is None:
            return ALL_TENANTS
        found |= tenants
    return found or NO_TENANT


def _leases(result: StageResult) -> Rows:
    named = {commit.lease for commit in result.progress.commits}
    named.update(move.lease for move in result.broadcasts.moves)
    named.update(write.lease for write in result.progress.intents)
    if result.lease is not None:
        named.add(result.lease)
    return [astuple(lease) for lease in named]


def _positions(commits: Iterable[Commit]) -> Rows:
    newest: dict[tuple[str, int, str], Commit] = {}
    for commit in commits:
        place = commit.lease.group, commit.lease.partition, commit.topic
        if place not in newest or commit.offset >= newest[place].offset:
            newest[place] = commit
    return [
        (*place, commit.offset, msgspec.msgpack.encode(commit.numbers) if commit.numbers else None)
        for place, commit in newest.items()
    ]


def _intents(writes: Iterable[IntentWrite]) -> tuple[Rows, Rows]:
    """Return the entries that are open after all writes, and the number below which stored ones are removed."""
    entries: dict[tuple[str, int], dict[int, bytes]] = {}
    below: dict[tuple[str, int], int] = {}
    for write in writes:
        place = write.lease.group, write.lease.partition
        added = entries.get(place, {}) | {entry.number: entry.payload for entry in write.entries}
        entries[place] = {number: payload for number, payload in added.items() if number >= write.below}
        below[place] = max(write.below, below.get(place, 0))
    rows = [(*place, number, payload) for place, some in entries.items() for number, payload in some.items()]
    return rows, [(*place, number) for place, number in below.items() if number]


def _runs(write: CapWrite) -> Rows:
    """Return the changes of a block as runs of consecutive slots: (tenant, rule, block, first byte, read, new)."""
    place = write.tenant, write.rule, write.block
    if not write.changes:
        return [(*place, 0, b"", b"")]
    runs: list[list[tuple[int, int, int]]] = []
    for change in write.changes:
        if runs and change[0] == runs[-1][-1][0] + 1:
            runs[-1].append(change)
        else:
            runs.append([change])
    return [
        (
            *place,
            4 * run[0][0],
            pack(f"<{len(run)}I", *(read_s for _, read_s, _ in run)),
            pack(f"<{len(run)}I", *(new_s for _, _, new_s in run)),
        )
        for run in runs
    ]
