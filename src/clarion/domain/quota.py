"""Quotas: how many events one tenant, or one of its keys, may send through the API."""

from typing import Annotated, Final, NamedTuple

import msgspec

from clarion.domain.errors import InvalidField
from clarion.domain.limits import QUOTA_FIGURE_MAX, REQUESTS_BURST_MAX, REQUESTS_PER_S_MAX

TENANT: Final = ""
"""The key id of a quota of the tenant as a whole."""

Figure = Annotated[int, msgspec.Meta(ge=1, le=QUOTA_FIGURE_MAX)] | None


PerSecond = Annotated[int, msgspec.Meta(ge=1, le=REQUESTS_PER_S_MAX)] | None
Burst = Annotated[int, msgspec.Meta(ge=1, le=REQUESTS_BURST_MAX)] | None


class Quota(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of a tenant or key; None is no limit. An event is one recipient of a notification, or one broadcast.

    `burst` events at once and `rate_per_s` a second after them (a `burst` of None is one second's worth); `daily` events
    between two midnights, UTC; `audience_max` recipients of one notification or broadcast. `requests_per_s` and
    `requests_burst` limit requests in the same way, in each API process; None is the limit of the installation.
    """

    rate_per_s: Figure = None
    burst: Figure = None
    daily: Figure = None
    audience_max: Figure = None
    requests_per_s: PerSecond = None
    requests_burst: Burst = None


class Usage(NamedTuple):
    """The usage of a bucket at `at_ms` (a clock that never goes back), in thousandths of an event. `period` is the day
    of a daily bucket, counted from 1970."""

    used_m: int = 0
    at_ms: int = 0
    period: int = 0


def check_quota(quota: Quota) -> Quota:
    """Return a valid quota. Raises `InvalidField` for a burst without its rate."""
    if quota.burst is not None and quota.rate_per_s is None:
        raise InvalidField("needs rate_per_s", field="burst")
    if quota.requests_burst is not None and quota.requests_per_s is None:
        raise InvalidField("needs requests_per_s", field="requests_burst")
    return quota
