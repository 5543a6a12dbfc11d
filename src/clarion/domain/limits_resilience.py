"""Named bounds of providers and resilience. Sizes in bytes, times in the unit of the name."""

from typing import Final

PACE_FIGURE_MAX: Final = 1_000_000_000
BREAKER_CALLS_MAX: Final = 1_000_000
BREAKER_WINDOW_MS_MAX: Final = 3_600_000
ACCOUNT_WEIGHT_MAX: Final = 1_000
ACCOUNTS_PER_CHANNEL_MAX: Final = 32
"""Accounts of one channel of a tenant that a delivery is tried on."""
RETRY_PAUSES_MAX: Final = 32
"""Steps of a retry schedule."""
AGE_MS_MAX: Final = 30 * 24 * 3600 * 1000
"""The longest a delivery may be tried for."""
FALLBACK_TRIES_MAX: Final = 3
"""Failed passes after which a route goes on to its next channel instead of waiting for this one."""
PARK_MS_MIN: Final = 1_000
PARK_MS_MAX: Final = 5 * 60 * 1000
"""How long a delivery may be put off in one go when no account can take it."""
PARK_GROWTH: Final = 20
"""What has waited longer than so many times those five minutes is put off for that share of its wait."""
PARK_URGENT_MS_MAX: Final = 30 * 1000
"""The same in the lanes critical and high."""
OVERFLOW_WAIT_MS: Final = 10_000
"""Longer than this a delivery does not wait for an account's pace while another account has room."""
RETRY_BUDGET_WAIT_MS: Final = 5_000
"""How long a retry waits when an account's budget for retries is spent."""
STANDING_CHECK_MS: Final = 200
"""How old a worker's knowledge of an account's standing may be."""
STANDINGS_MAX: Final = 10_000
"""Accounts whose standing a process remembers."""
RETRY_BUDGET_SHARE: Final = 0.2
"""Retries per fresh attempt at an account."""
RETRY_BUDGET_MIN: Final = 100
"""Retries an account may always have saved up."""
RECEIPT_BODY_BYTES_MAX: Final = 1024 * 1024
RECEIPT_AGE_MS_MAX: Final = 3 * 24 * 3600 * 1000
"""How long a provider may go on repeating a receipt; older signed ones are refused."""
REPLAY_EDIT_BYTES_MAX: Final = 256 * 1024
"""An edit given with a replay, as JSON."""
REPLAY_LETTERS_MAX: Final = 10_000
"""Dead letters that one call looks through; its answer says where to go on."""
REPLAY_PAGE_LETTERS: Final = 200
"""Dead letters that are claimed and put back on the journal in one append."""
REPLAY_LEFT_MAX: Final = 100_000
"""Dead letters that are counted behind the last one a replay looked at."""
REPLAY_AHEAD_MS_MAX: Final = 366 * 24 * 3600 * 1000
"""How far ahead a replay that goes on may begin."""
REPLAY_RATE_MAX: Final = 10_000
REPLAY_RATE_MIN: Final = 0.01
"""Deliveries a second that a replay may be spread to."""
VERIFY_TIMEOUT_MS: Final = 10_000
"""How long a provider may take to say whether an account works."""
STANDING_CHANGES_SHOWN_MAX: Final = 50
"""Changes of an account's standing that are shown."""
