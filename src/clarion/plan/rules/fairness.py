"""Deficit round robin: tenants with unequal work share one planner by cost.

M. Shreedhar and G. Varghese, "Efficient Fair Queueing Using Deficit Round Robin", 1995. Cost here is deliveries planned.
"""

from collections.abc import Container, Iterable


class DeficitRoundRobin:
    """Chooses whose turn it is. Each visit adds `quantum * weight` to a tenant's credit; work is paid from it."""

    def __init__(self, quantum: int) -> None:
        self._quantum = quantum
        self._credit: dict[str, float] = {}
        self._ring: list[str] = []

    def sync(self, active: Iterable[str]) -> None:
        """Keep exactly the tenants with work; one that left loses its credit, so idling saves nothing up."""
        now = set(active)
        self._ring = [tenant for tenant in self._ring if tenant in now]
        self._credit = {tenant: credit for tenant, credit in self._credit.items() if tenant in now}
        for tenant in sorted(now - set(self._ring)):
            self._ring.append(tenant)

    def next(self, able: Container[str]) -> str | None:
        """Return the tenant to serve among those whose work can go on now, or None when there is none.

        Who is not able keeps place and credit, and is not credited for the visit.
        """
        if not any(tenant in able for tenant in self._ring):
            return None
        while True:
            tenant = self._ring[0]
            if tenant not in able:
                self._ring.append(self._ring.pop(0))
                continue
            if self._credit.get(tenant, 0.0) <= 0:
                self._credit[tenant] = self._credit.get(tenant, 0.0) + self._quantum
            # Served in the visit that made it solvent: credited now and served a round later, a tenant of small costs
            # would get half the share of one deep in debt, which is credited at every visit.
            if self._credit[tenant] > 0:
                return tenant
            self._ring.append(self._ring.pop(0))

    def pay(self, tenant: str, cost: int) -> None:
        """Charge a tenant for work done; in debt, it waits until its credit is positive again."""
        self._credit[tenant] = self._credit.get(tenant, 0.0) - cost
        if self._credit[tenant] <= 0 and self._ring and self._ring[0] == tenant:
            self._ring.append(self._ring.pop(0))
