"""Deficit round robin: tenants with unequal work share one planner by cost.

M. Shreedhar and G. Varghese, "Efficient Fair Queueing Using Deficit Round Robin", 1995. The cost here is the number of
planned deliveries.
"""

from collections.abc import Container, Iterable


class DeficitRoundRobin:
    """Chooses the next tenant. A visit adds `quantum` to the credit of a tenant that has none left; work is paid from
    it."""

    def __init__(self, quantum: int) -> None:
        self._quantum = quantum
        self._credit: dict[str, float] = {}
        self._ring: list[str] = []

    def sync(self, active: Iterable[str]) -> None:
        """Set the tenants with work; one that leaves loses its credit, so that an idle tenant saves nothing up."""
        now = set(active)
        self._ring = [tenant for tenant in self._ring if tenant in now]
        self._credit = {tenant: credit for tenant, credit in self._credit.items() if tenant in now}
        for tenant in sorted(now - set(self._ring)):
            self._ring.append(tenant)

    def next(self, able: Container[str]) -> str | None:
        """Return the next tenant to serve among those in `able`, or None when there is none. A tenant that is not able
        keeps its credit, and gets none for the visit.
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
