"""One account's share of a look at the shared count: what is asked for, of which buckets, and what is drawn from them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from clarion.deliver.accounts.gauge import Gauge
from clarion.deliver.rules.pace import Ask, Drawn, Holds, draw
from clarion.deliver.rules.pace_calls import Calls
from clarion.domain.channel import Lane
from clarion.domain.content import Account
from clarion.domain.limits_pace import PACE_ALONE_DIVISOR
from clarion.domain.quota import Usage
from clarion.domain.resilience import Limits
from clarion.ports.quotas import BucketName

_FREE = Limits()


class Wanted(NamedTuple):
    """Deliveries of one lane that would go through an account. `waited` says which were put off before: others leave them
    half of the burst, and they are not sent to the end of the queue again; empty, none was."""

    account: Account
    lane: Lane
    addresses: Sequence[str]
    waited: Sequence[bool] = ()


class Asking(NamedTuple):
    """What is asked of the shared count for the account of a gauge; `recipients` are the buckets of its recipients."""

    gauge: Gauge
    ask: Ask
    recipients: list[BucketName]

    @property
    def names(self) -> list[BucketName]:
        """All buckets that it takes."""
        return [*self.gauge.names, *self.recipients]

    def usages(self, drawn: Drawn) -> list[Usage]:
        """Return what is used of these buckets after a draw."""
        return [*(drawn.books[kind] for kind in self.gauge.kinds), *(Usage(0, free_ms) for free_ms in drawn.frees)]

    def alone(self, used: Mapping[BucketName, Usage], now_ms: int, day: int) -> Drawn:
        """Draw a part of each limit by what one worker has used on its own, and let the gauge count its calls."""
        held = self.gauge.holds
        # Of calls only its own are known, so no row counts.
        usages = [Usage() if name.kind.startswith("calls") else used.get(name, Usage()) for name in self.names]
        mine = self._replace(ask=self.ask._replace(limits=_share(self.gauge.limits)))
        drawn = draw_for(mine, Holds(calls=Calls(held.calls.under_way)), usages, now_ms, day)
        self.gauge.holds = held._replace(calls=held.calls._replace(under_way=drawn.holds.calls.under_way))
        return drawn


def is_free(account: Account) -> bool:
    """Return whether an account has no limit at all."""
    limits = account.rules.limits
    return limits is _FREE or limits == _FREE


def draw_for(asking: Asking, holds: Holds, usages: Sequence[Usage], now_ms: int, day: int) -> Drawn:
    """Draw from buckets as they stand now, on a day."""
    kinds = asking.gauge.kinds
    books = dict(zip(kinds, usages[: len(kinds)], strict=True))
    frees = [usage.at_ms for usage in usages[len(kinds) :]]
    return draw(asking.ask._replace(day=day), holds, books, frees, now_ms)


def _share(limits: Limits) -> Limits:
    """Return the limits of a worker that goes on alone."""
    return Limits(
        per_second=_part(limits.per_second),
        per_day=_part(limits.per_day),
        concurrent=_part(limits.concurrent),
        recipient_interval_ms=limits.recipient_interval_ms,
    )


def _part(figure: int | None) -> int | None:
    return None if figure is None else max(1, figure // PACE_ALONE_DIVISOR)
