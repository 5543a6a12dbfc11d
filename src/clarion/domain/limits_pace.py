"""Named bounds of how fast accounts at providers are used. Times in the unit of the name."""

from typing import Final

PACE_BURST_MS: Final = 500
"""How much of `per_second` may go at once: half a second's worth, at least one message. So in no second more go than one and
a half times the figure."""
PACE_AHEAD_MS: Final = 50
"""How much of `per_second` a worker takes ahead, while half of the burst is left."""
PACE_DAY_AHEAD_MAX: Final = 100
"""Messages of `per_day` a worker takes ahead; those it has not used when it dies are lost to the account that day."""
PACE_DAY_AHEAD_DIVISOR: Final = 100
"""Of what is left of the day no more than this part is taken ahead."""
PACE_URGENT_SHARE: Final = 0.2
"""What the lanes normal and bulk leave of the burst to critical and high."""
PACE_PROMISED_SHARE: Final = 0.5
"""What deliveries that come for the first time leave of the burst to those that were told to come again."""
PACE_CALLS_FRESH_MS: Final = 200
"""How long a worker reuses calls of `concurrent` that ended before it looks whether others wait for them."""
PACE_SPARE_DIVISOR: Final = 16
"""A worker with no call under way may go on holding up to this part of `concurrent`."""
PACE_CALLS_SPAN_MS: Final = 60_000
PACE_CALLS_SPANS: Final = 4
"""Calls under way are counted for three to four spans after their worker was last heard of: so long those of a dead worker
are missing. Longer than any call takes, so that none is forgotten while it lasts."""
PACE_CALL_MS_DEFAULT: Final = 250
PACE_CALL_MS_MIN: Final = 10
PACE_CALL_MS_MAX: Final = 60_000
"""How long calls are thought to take, before one ended and at most."""
PACE_TURN_MS: Final = 2_000
"""How long, after it was told to come again, a quarter of `concurrent` is kept for a worker that got none."""
PACE_TURN_DIVISOR: Final = 4
PACE_ALONE_MS: Final = 1_000
"""How long a worker goes on alone before it asks a store again that failed."""
PACE_ALONE_DIVISOR: Final = 4
"""Alone, a worker keeps to this part of each limit."""
PACE_ALONE_LOG_MS: Final = 60_000
PACE_ALONE_BUCKETS_MAX: Final = 100_000
"""Recipients a worker that goes on alone remembers."""
PACE_ACCOUNTS_MAX: Final = 10_000
"""Accounts with limits a process keeps ready."""
PACE_SWEEP_MS: Final = 1_000
"""How often recipients that may be written to again are cleared away, one of 256 parts at a time."""
PACE_LOOK_MIN: Final = 16
"""Recipients of a batch that are looked up at least, though `per_second` has room for fewer."""
