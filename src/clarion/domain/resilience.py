"""How an account at a provider is used: its share, its limits, when it counts as down, and what an unknown end means."""

from typing import Annotated, Literal, TypeAlias

import msgspec

from clarion.domain.limits_resilience import BREAKER_CALLS_MAX, BREAKER_WINDOW_MS_MAX, PACE_FIGURE_MAX

Rate = Annotated[float, msgspec.Meta(gt=0, le=1)]
Figure: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=PACE_FIGURE_MAX)] | None
Calls = Annotated[int, msgspec.Meta(ge=1, le=BREAKER_CALLS_MAX)]
Span = Annotated[int, msgspec.Meta(ge=1_000, le=BREAKER_WINDOW_MS_MAX)]

OnAmbiguous: TypeAlias = Literal["retry", "assume_sent", "stop"]
"""What follows an attempt that may have been made: another one (a possible duplicate), or none."""


OnOutage: TypeAlias = Literal["degrade", "wait"]
"""What a route does while no account of a channel can be called: go on to the next channel, or wait for this one."""


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the provider lets this account do; None is no limit. All workers together keep to it: `per_second` and
    `per_day` messages (days are UTC), `concurrent` calls under way, one message to a recipient every
    `recipient_interval_ms`."""

    per_second: Figure = None
    per_day: Figure = None
    concurrent: Figure = None
    recipient_interval_ms: Figure = None


class Breaker(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """When an account counts as down. Over `failure_rate` of at least `calls_min` calls within `window_ms`, it is not called
    any more but for one probe at a time, the first after `open_ms` and then ever later, `open_max_ms` at most. Over
    `degraded_rate` of at least `degraded_calls_min` calls within `degraded_window_ms`, other accounts come first."""

    failure_rate: Rate = 0.5
    calls_min: Calls = 20
    window_ms: Span = 30_000
    degraded_rate: Rate = 0.05
    degraded_calls_min: Calls = 200
    degraded_window_ms: Span = 300_000
    open_ms: Span = 5_000
    open_max_ms: Span = 60_000


class AccountRules(msgspec.Struct, frozen=True, omit_defaults=True):
    """How an account is used. Accounts of one priority share the load by `weight`; one of weight 0 is used only when
    there is no other. `on_ambiguous` of None is as the vendor's traits say."""

    weight: int = 1
    limits: Limits = Limits()
    breaker: Breaker = Breaker()
    on_ambiguous: OnAmbiguous | None = None
