"""Cap claims of one planning step: taken from gathered blocks, written with the step's commit."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from clarion.domain.limits_processes import CAP_BLOCK_USERS
from clarion.plan.rules.caps import arrival_after, free_at
from clarion.plan.rules.need import MissingFacts, Need
from clarion.plan.rules.request_facts import CapRule
from clarion.ports.journal_cells import CapWrite

Blocks = dict[int, memoryview]
"""Blocks of cap times (`I`, a slot for each of `CAP_BLOCK_USERS` users) by their number."""
CAPS: Final = "caps"
"""Kind of needs by (tenant, rule id, number of the block)."""
_Full = tuple[CapRule, int]
"""A cap without room, and the time from which it has room (seconds since 1970)."""


_Change = tuple[int, int, int]
"""Slot in a block, the arrival time as read, and the new one."""


_Mark = dict[tuple[str, bytes], dict[int, dict[int, _Change]]]


class _CapTimes:
    """The times of one cap of one tenant: the blocks as read, and this step's changes to them."""

    __slots__ = ("_key", "blocks", "changed")

    def __init__(self, key: tuple[str, bytes], blocks: Blocks) -> None:
        self._key = key
        self.blocks = blocks
        self.changed: dict[int, dict[int, _Change]] = {}

    def arrival(self, ordinal: int) -> int:
        """Return a user's arrival time, this step's changes included. Raises `MissingFacts` when its block was not
        gathered."""
        number, slot = divmod(ordinal, CAP_BLOCK_USERS)
        changed = self.changed.get(number)
        if changed is not None and slot in changed:
            return changed[slot][2]
        try:
            return self.blocks[number][slot]
        except KeyError:
            raise self._raise_missing((number,)) from None

    def set(self, ordinal: int, arrival_s: int) -> None:
        """Change a user's arrival time."""
        number, slot = divmod(ordinal, CAP_BLOCK_USERS)
        changed = self.changed.get(number)
        if changed is None:
            changed = self.changed[number] = {}
        read = changed[slot][1] if slot in changed else self.blocks[number][slot]
        changed[slot] = (slot, read, arrival_s)

    def check_gathered(self, ordinals: Sequence[int]) -> None:
        """Check that the times of users, given in ascending order, were gathered. Raises `MissingFacts`."""
        missing = [number for number, _ in _by_block(ordinals) if number not in self.blocks]
        if missing:
            raise self._raise_missing(missing)

    def _raise_missing(self, numbers: Iterable[int]) -> MissingFacts:
        return MissingFacts(Need({CAPS: [(*self._key, number) for number in numbers]}))

    def arrivals(self, ordinals: Sequence[int]) -> list[int]:
        """Return the arrival times of users, given in ascending order, whose blocks were gathered."""
        found: list[int] = []
        for number, group in _by_block(ordinals):
            if number in self.changed:
                found += map(self.arrival, group)
                continue
            block, first = self.blocks[number], group[0] % CAP_BLOCK_USERS
            if group[-1] - group[0] == len(group) - 1:
                found += block[first : first + len(group)].tolist()
            else:
                found += [block[ordinal % CAP_BLOCK_USERS] for ordinal in group]
        return found

    def set_all(self, ordinals: Sequence[int], before: Sequence[int], after: Sequence[int]) -> None:
        """Change the arrival times of users, given in ascending order."""
        at = 0
        for number, group in _by_block(ordinals):
            end = at + len(group)
            if number in self.changed:
                for ordinal, arrival_s in zip(group, after[at:end], strict=True):
                    self.set(ordinal, arrival_s)
            else:
                slots = [ordinal % CAP_BLOCK_USERS for ordinal in group]
                changes = zip(slots, before[at:end], after[at:end], strict=True)
                self.changed[number] = dict(zip(slots, changes, strict=True))
            at = end


def _by_block(ordinals: Sequence[int]) -> Iterator[tuple[int, Sequence[int]]]:
    """Yield the users of each block, with the block's number; users are given in ascending order."""
    at = 0
    while at < len(ordinals):
        number = ordinals[at] // CAP_BLOCK_USERS
        end = bisect_left(ordinals, (number + 1) * CAP_BLOCK_USERS, at)
        yield number, ordinals[at:end]
        at = end


class Claims:
    """The cap claims of one step, at a time (Unix ms). Other steps do not see a claim until it is written. Claims of a
    decision that turns out to miss facts are discarded with it."""

    def __init__(self, blocks: Mapping[tuple[str, bytes], Blocks], now_ms: int) -> None:
        self._blocks = blocks
        self._now_s = now_ms // 1000
        self._rooms: dict[str, TenantRoom] = {}

    def blocks(self, tenant: str, rule: bytes) -> Blocks:
        """Return the gathered blocks of a cap."""
        return self._blocks.get((tenant, rule), {})

    def of(self, tenant: str) -> "TenantRoom":
        """Return the room under a tenant's caps."""
        room = self._rooms.get(tenant)
        if room is None:
            room = self._rooms[tenant] = TenantRoom(self, tenant, self._now_s)
        return room

    def mark(self) -> _Mark:
        """Return the claims so far, for `undo`."""
        return {
            (tenant, rule): {number: dict(changed) for number, changed in sheet.changed.items()}
            for tenant, room in self._rooms.items()
            for rule, sheet in room.sheets.items()
        }

    def undo(self, mark: _Mark) -> None:
        """Drop the claims made since a mark."""
        for tenant, room in self._rooms.items():
            for rule, sheet in room.sheets.items():
                sheet.changed = mark.get((tenant, rule), {})

    def writes(self) -> list[CapWrite]:
        """Return the writes for the step's commit."""
        return [
            CapWrite(tenant, rule, number, tuple(changed.values()))
            for tenant, room in self._rooms.items()
            for rule, sheet in room.sheets.items()
            for number, changed in sheet.changed.items()
        ]


class TenantRoom:
    """Room under the caps of one tenant. A look-up of a user whose block was not gathered raises `MissingFacts`."""

    __slots__ = ("_claims", "_now_s", "_tenant", "sheets")

    def __init__(self, claims: Claims, tenant: str, now_s: int) -> None:
        self._claims = claims
        self._tenant = tenant
        self._now_s = now_s
        self.sheets: dict[bytes, _CapTimes] = {}

    def sheet(self, cap: CapRule) -> _CapTimes:
        """Return the times of a cap."""
        sheet = self.sheets.get(cap.rule)
        if sheet is None:
            sheet = self.sheets[cap.rule] = _CapTimes(
                (self._tenant, cap.rule), self._claims.blocks(self._tenant, cap.rule)
            )
        return sheet

    def free_at(self, ordinal: int, cap: CapRule) -> int:
        """Return the time (seconds since 1970) from which a user has room under a cap."""
        return free_at(self.sheet(cap).arrival(ordinal), cap.limit, cap.gap_s)

    def claim(self, ordinal: int, caps: Sequence[CapRule]) -> _Full | None:
        """Count one more under all caps and return None, or count nothing and return the cap without room that is full
        for longest."""
        now_s = self._now_s
        full: _Full | None = None
        found = []
        for cap in caps:
            sheet = self.sheet(cap)
            arrival_s = sheet.arrival(ordinal)
            found.append((sheet, arrival_s, cap.gap_s))
            free_s = arrival_s - (cap.limit - 1) * cap.gap_s
            if free_s > now_s and (full is None or free_s > full[1]):
                full = cap, free_s
        if full is None:
            for sheet, arrival_s, gap_s in found:
                sheet.set(ordinal, (arrival_s if arrival_s > now_s else now_s) + gap_s)
        return full

    def claim_all(self, ordinals: Sequence[int], caps: Sequence[CapRule]) -> dict[int, _Full]:
        """Claim for each of the users, given in ascending order, as `claim` does; return those without room."""
        full: dict[int, _Full] = {}
        read: list[list[int]] = []
        for cap in caps:
            sheet = self.sheet(cap)
            sheet.check_gathered(ordinals)
            arrivals = sheet.arrivals(ordinals)
            read.append(arrivals)
            if arrivals and max(arrivals) > self._now_s + (cap.limit - 1) * cap.gap_s:
                self._fill(full, cap, ordinals, arrivals)
        going = [ordinal for ordinal in ordinals if ordinal not in full] if full else ordinals
        for cap, arrivals in zip(caps, read, strict=True):
            sheet = self.sheet(cap)
            before = sheet.arrivals(going) if full else arrivals
            if max(before, default=0) <= self._now_s:
                after = [self._now_s + cap.gap_s] * len(before)
            else:
                after = [arrival_after(arrival_s, self._now_s, cap.gap_s) for arrival_s in before]
            sheet.set_all(going, before, after)
        return full

    def _fill(self, full: dict[int, _Full], cap: CapRule, ordinals: Sequence[int], arrivals: Sequence[int]) -> None:
        """Add the users without room under a cap to `full`."""
        for ordinal, arrival_s in zip(ordinals, arrivals, strict=True):
            free_s = free_at(arrival_s, cap.limit, cap.gap_s)
            if free_s > self._now_s and (ordinal not in full or free_s > full[ordinal][1]):
                full[ordinal] = cap, free_s
