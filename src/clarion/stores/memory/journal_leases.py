"""Leases of the reference implementation, on monotonic time."""

from collections.abc import Collection, Iterable

import msgspec

from clarion.domain.errors import StaleLease
from clarion.domain.limits_processes import LEASE_TTL_MS_MAX
from clarion.ports.clock import Clock
from clarion.ports.regroup import still_held
from clarion.ports.stage_store import Lease


class _Holding(msgspec.Struct):
    lease: Lease
    expires_monotonic_ms: int


class MemoryLeases:
    """The leases by group and partition; expired ones stay, so that fences keep growing."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._holdings: dict[tuple[str, int], _Holding] = {}

    def acquire(self, group: str, partition: int, owner: str, ttl_ms: int) -> Lease | None:
        """Return a lease that was free, expired or the owner's own, with its fence increased by one; None while another
        owner holds it."""
        expires_ms = self._expiry(ttl_ms)
        holding = self._holdings.get((group, partition))
        if holding is not None and holding.lease.owner != owner and self._holds(holding.lease):
            return None
        lease = Lease(group, partition, owner, 1 if holding is None else holding.lease.fence + 1)
        self._holdings[group, partition] = _Holding(lease, expires_ms)
        return lease

    def renew(self, leases: Iterable[Lease], ttl_ms: int) -> list[Lease]:
        """Extend leases that are still held and return them."""
        expires_ms = self._expiry(ttl_ms)
        held = [lease for lease in leases if self._holds(lease)]
        for lease in held:
            self._holdings[lease.group, lease.partition].expires_monotonic_ms = expires_ms
        return held

    def release(self, leases: Iterable[Lease]) -> None:
        """Expire leases at once."""
        for lease in leases:
            if self._holds(lease):
                self._holdings[lease.group, lease.partition].expires_monotonic_ms = 0

    def vacate(self, owners: Collection[str]) -> int:
        """Expire the leases of these owners at once and return how many had not expired yet."""
        running = [one for one in self._holdings.values() if one.lease.owner in owners and self._holds(one.lease)]
        for holding in running:
            holding.expires_monotonic_ms = 0
        return len(running)

    def check(self, leases: Iterable[Lease]) -> None:
        """Raise `StaleLease` unless every lease is held and has not expired."""
        for lease in leases:
            if not self._holds(lease):
                raise StaleLease(f"{lease.owner} no longer holds {lease.group}/{lease.partition} (fence {lease.fence})")

    def owners(self) -> set[str]:
        """Return the owners of leases that are held."""
        return {one.lease.owner for one in self._holdings.values() if self._holds(one.lease)}

    def groups(self) -> frozenset[str]:
        """Return the groups of which a lease is held."""
        return frozenset(one.lease.group for one in self._holdings.values() if self._holds(one.lease))

    def check_free(self) -> None:
        """Raise `OperatorError` while a lease is held."""
        for holding in self._holdings.values():
            if self._holds(holding.lease):
                raise still_held(holding.lease.owner)

    def _holds(self, lease: Lease) -> bool:
        holding = self._holdings.get((lease.group, lease.partition))
        return (
            holding is not None and holding.lease == lease and self._clock.monotonic_ms() < holding.expires_monotonic_ms
        )

    def _expiry(self, ttl_ms: int) -> int:
        if not 0 < ttl_ms <= LEASE_TTL_MS_MAX:
            raise ValueError(f"a lease runs 1 to {LEASE_TTL_MS_MAX} ms, not {ttl_ms}")
        return self._clock.monotonic_ms() + ttl_ms
