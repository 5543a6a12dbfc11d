"""The use of an account at a provider: weight, limits, circuit breaker, and treatment of ambiguous outcomes."""

from typing import Annotated, Literal, TypeAlias

import msgspec

from clarion.domain.limits_delivery import BREAKER_CALLS_MAX, BREAKER_WINDOW_MS_MAX, PACE_FIGURE_MAX

Rate = Annotated[float, msgspec.Meta(gt=0, le=1)]
Figure: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=PACE_FIGURE_MAX)] | None
Calls = Annotated[int, msgspec.Meta(ge=1, le=BREAKER_CALLS_MAX)]
Span = Annotated[int, msgspec.Meta(ge=1_000, le=BREAKER_WINDOW_MS_MAX)]

OnAmbiguous: TypeAlias = Literal["retry", "assume_sent", "stop"]
"""The treatment of an ambiguous attempt: another one (a possible duplicate), or none."""


OnOutage: TypeAlias = Literal["degrade", "wait"]
"""What a route does while no account of a channel can be called: continue with the next channel, or wait for this
one."""


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The provider's limits of an account, shared by all workers; None is no limit: `per_second` and
    `per_day` messages (days are UTC), `concurrent` calls under way, one message to a recipient every
    `recipient_interval_ms`."""

    per_second: Figure = None
    per_day: Figure = None
    concurrent: Figure = None
    recipient_interval_ms: Figure = None


class Breaker(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The circuit breaker of an account. Over `failure_rate` of at least `calls_min` calls within `window_ms`, it
    opens: the account is called by one probe at a time only, the first after `open_ms`, the next after growing pauses
    of at most `open_max_ms`. Over `degraded_rate` of at least `degraded_calls_min` calls within `degraded_window_ms`,
    other accounts are preferred."""

    failure_rate: Rate = 0.5
    calls_min: Calls = 20
    window_ms: Span = 30_000
    degraded_rate: Rate = 0.05
    degraded_calls_min: Calls = 200
    degraded_window_ms: Span = 300_000
    open_ms: Span = 5_000
    open_max_ms: Span = 60_000


class AccountRules(msgspec.Struct, frozen=True, omit_defaults=True):
    """The rules for the use of an account. Accounts of one priority share the load by `weight`; one of weight 0 is used
    only when there is no other. With `on_ambiguous` of None, the vendor's traits decide."""

    weight: int = 1
    limits: Limits = Limits()
    breaker: Breaker = Breaker()
    on_ambiguous: OnAmbiguous | None = None
