"""Quotas: how much one tenant, or one of its keys, may bring through the door."""

from typing import Annotated, Final, NamedTuple

import msgspec

from clarion.domain.errors import InvalidField
from clarion.domain.limits_deciding import QUOTA_FIGURE_MAX

TENANT: Final = ""
"""Stands for a key id where a quota is the tenant's as a whole."""

Figure = Annotated[int, msgspec.Meta(ge=1, le=QUOTA_FIGURE_MAX)] | None


class Quota(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of a tenant or key; None is no limit. An event is one recipient of a notification, or one broadcast.

    `burst` events at once and `rate_per_s` a second after them (a `burst` of None is one second's worth); `daily` events
    between two midnights, UTC; `audience_max` recipients of one notification or broadcast.
    """

    rate_per_s: Figure = None
    burst: Figure = None
    daily: Figure = None
    audience_max: Figure = None


class Usage(NamedTuple):
    """What is used of a bucket at `at_ms` (a clock that never goes back), in thousandths of an event. A bucket that
    starts afresh every day says in `period` which day this was, counted from 1970."""

    used_m: int = 0
    at_ms: int = 0
    period: int = 0


def check_quota(quota: Quota) -> Quota:
    """Return a quota that makes sense. Raises `InvalidField`."""
    if quota.burst is not None and quota.rate_per_s is None:
        raise InvalidField("needs rate_per_s beside it", field="burst")
    return quota
