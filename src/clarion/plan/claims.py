"""Caps claimed by one step of planning: read in few queries, decided in memory, written with the step's append."""

from collections.abc import Iterable, Sequence

from clarion.domain.limits import CAP_BLOCK_USERS, CAP_BLOCKS_MAX
from clarion.plan.rules.caps import free_at, taken
from clarion.plan.rules.setting import CapRule
from clarion.ports.journal import CapWrite, Journal

_TIME_BYTES = 4
_Blocks = dict[int, memoryview]
_Full = tuple[CapRule, int]
"""A cap without room, and from when on it has some (seconds since 1970)."""


class CapTimes:
    """Blocks of cap times this process has read. They may be old: the store refuses what was decided on a time that
    has changed, and `forget` then makes the next step read again."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._blocks: dict[tuple[str, bytes], _Blocks] = {}

    def claims(self, now_ms: int) -> "Claims":
        """Return the claims of one step at a time (Unix ms)."""
        if sum(map(len, self._blocks.values())) > CAP_BLOCKS_MAX:
            self.forget()
        return Claims(self._journal, self._blocks, now_ms // 1000)

    def forget(self) -> None:
        """Read every block again."""
        self._blocks.clear()


class _Sheet:
    """The times of one cap of one tenant: blocks as they were read, and what this step changes in them."""

    __slots__ = ("blocks", "changed")

    def __init__(self, blocks: _Blocks) -> None:
        self.blocks = blocks
        self.changed: dict[int, dict[int, tuple[int, int]]] = {}

    def arrival(self, ordinal: int) -> int:
        """Return a user's arrival time as this step leaves it."""
        number, slot = divmod(ordinal, CAP_BLOCK_USERS)
        changed = self.changed.get(number)
        if changed is not None and slot in changed:
            return changed[slot][1]
        return self.blocks[number][slot]

    def set(self, ordinal: int, arrival_s: int) -> None:
        """Change a user's arrival time."""
        number, slot = divmod(ordinal, CAP_BLOCK_USERS)
        changed = self.changed.get(number)
        if changed is None:
            changed = self.changed[number] = {}
        read = changed[slot][0] if slot in changed else self.blocks[number][slot]
        changed[slot] = (read, arrival_s)


class Claims:
    """What one step takes. Nothing is taken for others until `keep`, after the append is durable."""

    def __init__(self, journal: Journal, blocks: dict[tuple[str, bytes], _Blocks], now_s: int) -> None:
        self._journal = journal
        self._blocks = blocks
        self._now_s = now_s
        self._sheets: dict[tuple[str, bytes], _Sheet] = {}

    def load(self, tenant: str, cap: CapRule, ordinals: Iterable[int]) -> None:
        """Read the blocks of users that are not known yet, in one query."""
        blocks = self.sheet(tenant, cap).blocks
        missing = {ordinal // CAP_BLOCK_USERS for ordinal in ordinals} - blocks.keys()
        if not missing:
            return
        found = self._journal.caps(tenant, cap.rule, sorted(missing))
        for number in missing:
            block = bytearray(found.get(number) or CAP_BLOCK_USERS * _TIME_BYTES)
            blocks[number] = memoryview(block).cast("I")

    def sheet(self, tenant: str, cap: CapRule) -> _Sheet:
        """Return the times of a cap."""
        key = (tenant, cap.rule)
        sheet = self._sheets.get(key)
        if sheet is None:
            sheet = self._sheets[key] = _Sheet(self._blocks.setdefault(key, {}))
        return sheet

    def of(self, tenant: str) -> "TenantRoom":
        """Return the room under a tenant's caps."""
        return TenantRoom(self, tenant, self._now_s)

    def writes(self) -> list[CapWrite]:
        """Return what has to be written with the step's append."""
        return [
            CapWrite(tenant, rule, number, tuple((slot, *times) for slot, times in changed.items()))
            for (tenant, rule), sheet in self._sheets.items()
            for number, changed in sheet.changed.items()
        ]

    def keep(self) -> None:
        """Take over what was written, so that the next step need not read it."""
        for sheet in self._sheets.values():
            for number, changed in sheet.changed.items():
                block = sheet.blocks[number]
                for slot, (_, arrival_s) in changed.items():
                    block[slot] = arrival_s


class TenantRoom:
    """Room under the caps of one tenant. Blocks of the users asked about have been loaded."""

    __slots__ = ("_claims", "_now_s", "_tenant")

    def __init__(self, claims: Claims, tenant: str, now_s: int) -> None:
        self._claims = claims
        self._tenant = tenant
        self._now_s = now_s

    def free_at(self, ordinal: int, cap: CapRule) -> int:
        """Return from when on (seconds since 1970) a user has room under a cap."""
        return free_at(self._claims.sheet(self._tenant, cap).arrival(ordinal), cap.limit, cap.gap_s)

    def claim(self, ordinal: int, caps: Sequence[CapRule]) -> _Full | None:
        """Count one more under all caps, or under none when one has no room: the one that has none for longest."""
        now_s = self._now_s
        full: _Full | None = None
        found = []
        for cap in caps:
            sheet = self._claims.sheet(self._tenant, cap)
            arrival_s = sheet.arrival(ordinal)
            found.append((sheet, arrival_s, cap.gap_s))
            free_s = free_at(arrival_s, cap.limit, cap.gap_s)
            if free_s > now_s and (full is None or free_s > full[1]):
                full = cap, free_s
        if full is None:
            for sheet, arrival_s, gap_s in found:
                sheet.set(ordinal, taken(arrival_s, now_s, gap_s))
        return full

    def claim_all(self, ordinals: Sequence[int], caps: Sequence[CapRule]) -> dict[int, _Full]:
        """Count one more for each of the users who have room; return the others with the cap that has none for longest."""
        for cap in caps:
            self._claims.load(self._tenant, cap, ordinals)
        if len(caps) != 1:
            return {ordinal: full for ordinal in ordinals if (full := self.claim(ordinal, caps)) is not None}
        (cap,) = caps
        sheet, now_s, gap_s = self._claims.sheet(self._tenant, cap), self._now_s, cap.gap_s
        limit_s = now_s + (cap.limit - 1) * gap_s
        found: dict[int, _Full] = {}
        number = -1
        for ordinal in ordinals:
            if ordinal // CAP_BLOCK_USERS != number:
                number = ordinal // CAP_BLOCK_USERS
                block, changed = sheet.blocks[number], sheet.changed.setdefault(number, {})
            slot = ordinal % CAP_BLOCK_USERS
            read, arrival_s = changed[slot] if slot in changed else (block[slot], block[slot])
            if arrival_s > limit_s:
                found[ordinal] = cap, free_at(arrival_s, cap.limit, gap_s)
            else:
                changed[slot] = (read, (arrival_s if arrival_s > now_s else now_s) + gap_s)
        return found
