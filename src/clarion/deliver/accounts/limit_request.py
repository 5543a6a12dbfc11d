"""One account's part of a request to the shared count: the requested buckets and the draw from them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from clarion.deliver.accounts.local_limits import LocalLimits
from clarion.deliver.rules.pace import Draw, DrawRequest, Holds, draw
from clarion.deliver.rules.pace_calls import Calls
from clarion.domain.channel import Lane
from clarion.domain.content import Account
from clarion.domain.limits_delivery import PACE_LOCAL_DIVISOR
from clarion.domain.quota import Usage
from clarion.domain.resilience import Limits
from clarion.ports.quotas import BucketName

_FREE = Limits()


class CallDemand(NamedTuple):
    """Deliveries of one lane that would go through an account. `waited` says which were deferred before: first-time
    deliveries leave half of the burst to them, and they keep their place in the queue; empty, none was."""

    account: Account
    lane: Lane
    addresses: Sequence[str]
    waited: Sequence[bool] = ()


class LimitRequest(NamedTuple):
    """The request to the shared count for one account; `recipients` are the buckets of its recipients."""

    local: LocalLimits
    draw: DrawRequest
    recipients: list[BucketName]

    @property
    def names(self) -> list[BucketName]:
        """All buckets of the request."""
        return [*self.local.names, *self.recipients]

    def usages(self, drawn: Draw) -> list[Usage]:
        """Return the usage of these buckets after a draw."""
        return [
            *(drawn.usages[kind] for kind in self.local.kinds),
            *(Usage(0, free_ms) for free_ms in drawn.free_times),
        ]

    def draw_locally(self, used: Mapping[BucketName, Usage], now_ms: int, day: int) -> Draw:
        """Draw a part of each limit by the usage of this worker alone, and let `local` count its calls."""
        held = self.local.holds
        # Only the worker's own calls are known, so no row counts.
        usages = [Usage() if name.kind.startswith("calls") else used.get(name, Usage()) for name in self.names]
        own = self._replace(draw=self.draw._replace(limits=_share(self.local.limits)))
        drawn = draw_for(own, Holds(calls=Calls(held.calls.under_way)), usages, now_ms, day)
        self.local.holds = held._replace(calls=held.calls._replace(under_way=drawn.holds.calls.under_way))
        return drawn


def is_unlimited(account: Account) -> bool:
    """Return whether an account has no limit at all."""
    limits = account.rules.limits
    return limits is _FREE or limits == _FREE


def draw_for(asking: LimitRequest, holds: Holds, usages: Sequence[Usage], now_ms: int, day: int) -> Draw:
    """Return the draw from buckets with the given usages, on a day."""
    kinds = asking.local.kinds
    books = dict(zip(kinds, usages[: len(kinds)], strict=True))
    free_times = [usage.at_ms for usage in usages[len(kinds) :]]
    return draw(asking.draw._replace(day=day), holds, books, free_times, now_ms)


def _share(limits: Limits) -> Limits:
    """Return the limits of a worker that continues without the shared count."""
    return Limits(
        per_second=_part(limits.per_second),
        per_day=_part(limits.per_day),
        concurrent=_part(limits.concurrent),
        recipient_interval_ms=limits.recipient_interval_ms,
    )


def _part(figure: int | None) -> int | None:
    return None if figure is None else max(1, figure // PACE_LOCAL_DIVISOR)
