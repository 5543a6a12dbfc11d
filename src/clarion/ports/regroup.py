"""How a journal changes its number of partitions: a store moves its rows, and a placement says where each one belongs."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

from clarion.domain.errors import OperatorError
from clarion.ports.journal_cells import Cell, Wait
from clarion.ports.stage_store import StageStore, Timer
from clarion.ports.streams import Frame

PARTITIONS_STAY: Final = "The number of partitions cannot change"
LEFT_AS_IT_WAS: Final = ", or leave journal.partitions as it was"


class Placement(Protocol):
    """Where the rows of a journal of `before` partitions belong when it has `after` partitions.

    A store first passes all cells to `learn`, then all timers to `timers`, then everything else, each row once and with its
    partition before the change. A row whose owner is unknown belongs to every partition that may own it: only the owner's
    partition ever finds anything to do there. Raises `UnknownFrame` when only another build can read a row.
    """

    before: int
    after: int

    def learn(self, cells: Sequence[Cell]) -> None:
        """Note the owners that cells tell of."""
        ...

    def timers(self, timers: Iterable[Timer]) -> list[Timer]:
        """Return the timers in their places. One that belongs to several places has other ids there."""
        ...

    def cells(self, cells: Iterable[Cell]) -> list[Cell]:
        """Return the cells in their places. Two of them may meet in one place: see `merged`."""
        ...

    def merged(self, key: bytes, one: bytes, other: bytes) -> bytes:
        """Return the value of two cells that meet under one key."""
        ...

    def last_cells(self) -> list[Cell]:
        """Return the cells to add after all others."""
        ...

    def waits(self, waits: Iterable[Wait]) -> list[Wait]:
        """Return the waits in their places."""
        ...

    def partition_of(self, id_: bytes) -> int:
        """Return the partition of a notification or broadcast."""
        ...

    def frames(self, frame: Frame) -> list[Frame]:
        """Return the frames that hold an unread frame's events in their places."""
        ...


class RegroupingStore(StageStore, Protocol):
    """A stage store whose number of partitions can change."""

    async def check_alone(self) -> None:
        """Raise `OperatorError` while another process uses the journal or a lease is held."""
        ...

    async def regroup(self, placement: Placement, recorded: Mapping[int, int]) -> None:
        """Change the number of partitions from `placement.before` to `placement.after` and move every row to its place, all or
        nothing: frames that a group has not committed, with their open intents, timers, waits, cells and cursors. Frames of
        `outcomes` stay: all of them have to be recorded; `recorded` are the last ones that are, by partition. Raises
        `OperatorError` while another process uses the journal or a lease is held, when something is not recorded, and when
        the journal has another number of partitions; then nothing is changed.
        """
        ...


def check_ready(stored: int, placement: Placement, outcomes: Mapping[int, int], recorded: Mapping[int, int]) -> None:
    """Raise `OperatorError` when a journal does not have the number of partitions that a placement changes, or when `outcomes`,
    the newest by partition, are not all `recorded`."""
    if stored != placement.before:
        raise OperatorError(f"The journal has {stored} partitions now, not {placement.before}: start again.")
    if any(head > recorded.get(partition, 0) for partition, head in outcomes.items()):
        raise OperatorError("The number of partitions cannot change before everything is recorded: start again.")


def still_held(owner: str, otherwise: str = PARTITIONS_STAY) -> OperatorError:
    """Return the error of a change while a process holds a lease."""
    return OperatorError(
        f"{otherwise} while {owner} works: stop every process of the installation"
        f"{LEFT_AS_IT_WAS if otherwise == PARTITIONS_STAY else ''}; after a crash leases run out by themselves."
    )
