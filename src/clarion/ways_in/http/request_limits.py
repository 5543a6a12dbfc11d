"""Limits on requests, in the memory of one API process: of a key and of all keys of a tenant, of a user and of all users of a
tenant, and of a peer on one public route. Requests that are refused for them cost nothing."""

from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import NamedTuple, NoReturn

from clarion.domain.errors import QuotaStatus, RequestLimited, StoreUnavailable
from clarion.domain.limits_processes import NETWORK_PEERS, REQUEST_RATES_KEPT_MAX, REVISION_CHECK_MS
from clarion.domain.quota import TENANT, Quota
from clarion.domain.request_rate import RequestRate, is_whole, seconds
from clarion.edge.bounded_table import BoundedTable
from clarion.ports.web import Caller
from clarion.ways_in.http.settings import Limits

QuotasOf = Callable[[str], Awaitable[Mapping[str, Quota]]]
"""Returns the quotas of a tenant's keys by key id, and its own under an empty one."""

_FRESH_NS = REVISION_CHECK_MS * 1_000_000


class RateTable:
    """The limit of one kind of owner, None without one, and what each owner has used of it. `owner` is the kind as shown in
    refusals."""

    def __init__(self, owner: str, per_s: int, burst: int) -> None:
        self.owner = owner
        self.rate = RequestRate(per_s, burst) if per_s else None
        self.used = BoundedTable[int](REQUEST_RATES_KEPT_MAX, is_whole)

    def refund(self, name: Hashable, cost: int) -> None:
        """Take back the charge of a request."""
        whole_ns = self.used.entries.get(name)
        if whole_ns is not None and self.rate is not None:
            self.used.entries[name] = whole_ns - min(cost, self.rate.burst) * self.rate.gap_ns

    def refuse(self, name: Hashable, rate: RequestRate, now_ns: int, cost: int) -> NoReturn:
        """Raise `RequestLimited` for a request that does not fit."""
        whole_ns = self.used.entries.get(name, 0)
        settled_ns = rate.settled(whole_ns, now_ns)
        if settled_ns < whole_ns:
            self.used.put(name, settled_ns, now_ns)
        retry_after_s = seconds(rate.wait_ns(settled_ns, now_ns, cost))
        raise RequestLimited(
            f"the limit of {self.owner} is {rate.per_s} requests a second, {rate.burst} at once",
            retry_after_s=retry_after_s,
            request_status=QuotaStatus(rate.burst, 0, retry_after_s, rate.window_s),
        )


class TenantRates(NamedTuple):
    """The limits that the operator has set for a tenant, and for keys of it, as read before `until_ns`."""

    until_ns: int
    tenant: RequestRate | None
    keys: Mapping[str, RequestRate]


class RequestLimits:
    """The limits on requests of an API process."""

    def __init__(self, limits: Limits, quotas: QuotasOf, now_ns: Callable[[], int]) -> None:
        """`now_ns` is a clock that never goes back."""
        self._quotas = quotas
        self._now_ns = now_ns
        self._key = RateTable("this key", limits.key_per_s, limits.key_burst)
        self._tenant = RateTable("this tenant", limits.tenant_per_s, limits.tenant_burst)
        self._user = RateTable("this user", limits.user_per_s, limits.user_burst)
        # Users of a tenant must not use up the limit of its keys.
        self._users = RateTable("all users of this tenant", limits.tenant_per_s, limits.tenant_burst)
        per_s, burst = limits.public_per_s, limits.public_burst
        self._peer = RateTable("this address", per_s, burst)
        self._network = RateTable("this network", NETWORK_PEERS * per_s, NETWORK_PEERS * burst)
        self._rates: dict[str, TenantRates] = {}

    async def charge_caller(self, caller: Caller) -> QuotaStatus | None:
        """Charge a request with a credential, and return the limit with the least room; None without a limit. Raises
        `RequestLimited`."""
        tenant, now_ns = caller.tenant, self._now_ns()
        if not tenant:  # the operator
            return _charge(now_ns, self._key, caller.actor.id, self._key.rate)
        rates = self._rates.get(tenant)
        if rates is None or rates.until_ns <= now_ns:
            rates = await self._read(tenant, rates, now_ns)
        if caller.user_id is not None:
            name, whole = (tenant, caller.user_id), self._users
            return _charge(now_ns, self._user, name, self._user.rate, whole, tenant, rates.tenant or whole.rate)
        name, rate, whole = (tenant, caller.actor.id), rates.keys.get(caller.actor.id), self._tenant
        return _charge(now_ns, self._key, name, rate or self._key.rate, whole, tenant, rates.tenant or whole.rate)

    def charge_peer(self, path: str, peers: tuple[str, ...], cost: int = 1) -> QuotaStatus | None:
        """Charge a request to a public route by its path, as `charge_caller` does; it counts as `cost` requests. `peers`
        are those of `peers_of`."""
        now_ns, own, whole = self._now_ns(), self._peer, self._network
        if len(peers) == 1:
            return _charge(now_ns, own, (path, peers[0]), own.rate, cost=cost)
        return _charge(now_ns, own, (path, peers[0]), own.rate, whole, (path, peers[1]), whole.rate, cost=cost)

    def refund_peer(self, path: str, peers: tuple[str, ...], cost: int) -> None:
        """Take back the charge of a request to a public route."""
        for table, peer in zip((self._peer, self._network), peers, strict=False):
            table.refund((path, peer), cost)

    async def _read(self, tenant: str, before: TenantRates | None, now_ns: int) -> TenantRates:
        """Return the limits of a tenant, those before if they cannot be read."""
        try:
            quotas = await self._quotas(tenant)
        except StoreUnavailable:
            return before or TenantRates(0, None, {})
        rates = {key_id: rate for key_id, quota in quotas.items() if (rate := _rate_of(quota)) is not None}
        if len(self._rates) >= REQUEST_RATES_KEPT_MAX:
            self._rates.clear()
        found = self._rates[tenant] = TenantRates(now_ns + _FRESH_NS, rates.pop(TENANT, None), rates)
        return found


def _rate_of(quota: Quota) -> RequestRate | None:
    per_s = quota.requests_per_s
    return None if per_s is None else RequestRate(per_s, quota.requests_burst or per_s)


def _charge(
    now_ns: int,
    own: RateTable,
    name: Hashable,
    rate: RequestRate | None,
    whole: RateTable | None = None,
    whole_name: Hashable = None,
    whole_rate: RequestRate | None = None,
    *,
    cost: int = 1,
) -> QuotaStatus | None:
    """Charge a request to the limit of its owner, and to one that owners share: to both or to none."""
    if whole is None or whole_rate is None:
        if rate is None:
            return None
        own_ns = rate.charged(own.used.entries.get(name, 0), now_ns, cost) or own.refuse(name, rate, now_ns, cost)
        own.used.put(name, own_ns, now_ns)
        return rate.status(own_ns - now_ns)
    charged_ns = whole_rate.charged(whole.used.entries.get(whole_name, 0), now_ns, cost)
    whole_ns = charged_ns or whole.refuse(whole_name, whole_rate, now_ns, cost)
    shown = whole_rate.status(whole_ns - now_ns)
    if rate is not None:
        own_ns = rate.charged(own.used.entries.get(name, 0), now_ns, cost) or own.refuse(name, rate, now_ns, cost)
        own.used.put(name, own_ns, now_ns)
        own_shown = rate.status(own_ns - now_ns)
        if own_shown.remaining <= shown.remaining:
            shown = own_shown
    whole.used.put(whole_name, whole_ns, now_ns)
    return shown
