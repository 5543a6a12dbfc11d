"""Caps claimed by one step of planning: read in few queries, decided in memory, written with the step's append."""

from collections.abc import Container, Iterable, Sequence

from clarion.domain.limits import CAP_BLOCK_USERS, CAP_BLOCKS_MAX
from clarion.plan.rules.caps import free_at, taken
from clarion.plan.rules.setting import CapRule
from clarion.ports.journal import CapWrite, Journal

_TIME_BYTES = 4
_NO_BLOCK = memoryview(bytes(CAP_BLOCK_USERS * _TIME_BYTES)).cast("I")
_NOTHING: dict[int, tuple[int, int]] = {}
_Place = tuple[str, bytes, int]


class CapTimes:
    """Blocks of cap times this process has read. They may be old: the store refuses what was decided on a time that
    has changed, and `forget` then makes the next step read again."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._blocks: dict[_Place, memoryview] = {}

    def claims(self, now_ms: int) -> "Claims":
        """Return the claims of one step at a time (Unix ms)."""
        if len(self._blocks) > CAP_BLOCKS_MAX:
            self._blocks.clear()
        return Claims(self._journal, self._blocks, now_ms // 1000)

    def forget(self) -> None:
        """Read every block again."""
        self._blocks.clear()


class Claims:
    """What one step takes. Nothing is taken for others until `keep`, after the append is durable."""

    def __init__(self, journal: Journal, blocks: dict[_Place, memoryview], now_s: int) -> None:
        self._journal = journal
        self._blocks = blocks
        self._now_s = now_s
        self._changed: dict[_Place, dict[int, tuple[int, int]]] = {}

    def load(self, tenant: str, cap: CapRule, ordinals: Iterable[int]) -> None:
        """Read the blocks of users that are not known yet, in one query."""
        numbers = {ordinal // CAP_BLOCK_USERS for ordinal in ordinals}
        missing = [number for number in numbers if (tenant, cap.rule, number) not in self._blocks]
        if not missing:
            return
        found = self._journal.caps(tenant, cap.rule, missing)
        for number in missing:
            block = bytearray(found.get(number) or CAP_BLOCK_USERS * _TIME_BYTES)
            self._blocks[tenant, cap.rule, number] = memoryview(block).cast("I")

    def of(self, tenant: str) -> "TenantRoom":
        """Return the room under a tenant's caps."""
        return TenantRoom(self, tenant, self._now_s)

    def arrival(self, tenant: str, rule: bytes, ordinal: int) -> int:
        """Return a user's arrival time as this step leaves it."""
        number, slot = divmod(ordinal, CAP_BLOCK_USERS)
        place = (tenant, rule, number)
        changed = self._changed.get(place)
        if changed is not None and slot in changed:
            return changed[slot][1]
        return self._blocks[place][slot]

    def change(self, tenant: str, rule: bytes, ordinal: int, arrival_s: int) -> None:
        """Set a user's arrival time."""
        number, slot = divmod(ordinal, CAP_BLOCK_USERS)
        place = (tenant, rule, number)
        changed = self._changed.setdefault(place, {})
        read = changed[slot][0] if slot in changed else self._blocks[place][slot]
        changed[slot] = (read, arrival_s)

    def admit(self, tenant: str, caps: Sequence[CapRule], ordinals: Sequence[int]) -> dict[int, tuple[CapRule, int]]:
        """Count one more for each of the users who have room under all caps; return the others with the cap that has no
        room for longest, and from when on it has (seconds since 1970)."""
        full: dict[int, tuple[CapRule, int]] = {}
        times = [(cap, self._arrivals(tenant, cap, ordinals)) for cap in caps]
        for cap, arrivals in times:
            limit_s = self._now_s + (cap.limit - 1) * cap.gap_s
            for ordinal, arrival_s in zip(ordinals, arrivals, strict=True):
                if arrival_s > limit_s:
                    free_s = free_at(arrival_s, cap.limit, cap.gap_s)
                    if ordinal not in full or free_s > full[ordinal][1]:
                        full[ordinal] = cap, free_s
        for cap, arrivals in times:
            self._count(tenant, cap, ordinals, arrivals, full)
        return full

    def _arrivals(self, tenant: str, cap: CapRule, ordinals: Sequence[int]) -> list[int]:
        """Return the arrival times of users as this step leaves them."""
        self.load(tenant, cap, ordinals)
        arrivals = []
        number, block, changed = -1, _NO_BLOCK, _NOTHING
        for ordinal in ordinals:
            if ordinal // CAP_BLOCK_USERS != number:
                number = ordinal // CAP_BLOCK_USERS
                place = (tenant, cap.rule, number)
                block, changed = self._blocks[place], self._changed.get(place, _NOTHING)
            slot = ordinal % CAP_BLOCK_USERS
            arrivals.append(changed[slot][1] if slot in changed else block[slot])
        return arrivals

    def _count(
        self, tenant: str, cap: CapRule, ordinals: Sequence[int], arrivals: Sequence[int], full: Container[int]
    ) -> None:
        """Count one more for everyone who is not full."""
        now_s, gap_s = self._now_s, cap.gap_s
        number = -1
        for ordinal, arrival_s in zip(ordinals, arrivals, strict=True):
            if ordinal in full:
                continue
            if ordinal // CAP_BLOCK_USERS != number:
                number = ordinal // CAP_BLOCK_USERS
                changed = self._changed.setdefault((tenant, cap.rule, number), {})
            slot = ordinal % CAP_BLOCK_USERS
            read = changed[slot][0] if slot in changed else arrival_s
            changed[slot] = (read, taken(arrival_s, now_s, gap_s))

    def writes(self) -> list[CapWrite]:
        """Return what has to be written with the step's append."""
        return [
            CapWrite(*place, tuple((slot, *times) for slot, times in changed.items()))
            for place, changed in self._changed.items()
        ]

    def keep(self) -> None:
        """Take over what was written, so that the next step need not read it."""
        for place, changed in self._changed.items():
            block = self._blocks.get(place)
            if block is not None:
                for slot, (_, arrival_s) in changed.items():
                    block[slot] = arrival_s


class TenantRoom:
    """Room under the caps of one tenant."""

    def __init__(self, claims: Claims, tenant: str, now_s: int) -> None:
        self._claims = claims
        self._tenant = tenant
        self._now_s = now_s

    def free_at(self, ordinal: int, cap: CapRule) -> int:
        """Return from when on (seconds since 1970) a user has room under a cap."""
        return free_at(self._claims.arrival(self._tenant, cap.rule, ordinal), cap.limit, cap.gap_s)

    def take(self, ordinal: int, cap: CapRule) -> None:
        """Count one more."""
        arrival_s = taken(self._claims.arrival(self._tenant, cap.rule, ordinal), self._now_s, cap.gap_s)
        self._claims.change(self._tenant, cap.rule, ordinal, arrival_s)
