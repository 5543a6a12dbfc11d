"""The header fields of limits and quotas: `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10), lists
of strings with parameters (RFC 9651)."""

from collections.abc import Sequence
from functools import lru_cache

from clarion.domain.errors import QuotaStatus
from clarion.domain.limits_processes import REQUEST_POLICIES_KEPT_MAX


def rate_limit_fields(requests: QuotaStatus | None, events: QuotaStatus | None) -> Sequence[tuple[bytes, bytes]]:
    """Return the fields of the limit on requests and of the quota of events that a request counted for. Of each policy
    they say the size, in requests or events (`q`, `qu`), the seconds in which it becomes whole (`w`), what remains (`r`),
    and the seconds until it is whole, or until a refused request fits (`t`)."""
    if events is None:
        if requests is None:
            return ()
        limit, remaining, reset_s, window_s = requests
        return (
            _policy(limit, window_s),
            (b"ratelimit", b'"requests";r=%d;t=%d' % (remaining, reset_s)),
        )
    limit, remaining, reset_s, window_s = events
    policy = b'"events";q=%d;qu="events";w=%d' % (limit, window_s)
    state = b'"events";r=%d;t=%d' % (remaining, reset_s)
    if requests is None:
        return (b"ratelimit-policy", policy), (b"ratelimit", state)
    (policy_name, policy_of_requests), (state_name, state_of_requests) = rate_limit_fields(requests, None)
    return (policy_name, policy_of_requests + b", " + policy), (state_name, state_of_requests + b", " + state)


@lru_cache(REQUEST_POLICIES_KEPT_MAX)
def _policy(limit: int, window_s: int) -> tuple[bytes, bytes]:
    return b"ratelimit-policy", b'"requests";q=%d;w=%d' % (limit, window_s)
