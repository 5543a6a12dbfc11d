"""Named bounds of breakers and retry budgets. Sizes in bytes, times in the unit of the name."""

from typing import Final

STANDING_STORE_WAIT_MS: Final = 20
"""How long a worker waits for the store of standings, which it does on its event loop."""
STANDING_CLEAN_MS: Final = 1_000
"""How long calls that all went well may stay untold to other workers."""
STANDING_EARLY_MS: Final = 100
"""When a worker looks at the standings of accounts in use, before what it knows of them is too old."""
STANDING_USED_MS: Final = 2_000
"""How long after its last call an account counts as in use."""
STANDING_FAILURES_UNTOLD_MAX: Final = 5
"""As many failures are told at once."""
STANDING_CHANGES_MAX: Final = 1_000
"""Changes of standings that nobody has asked for yet; the oldest are forgotten."""
STANDING_LOG_MS: Final = 60_000
"""How often a worker says that the store of standings fails."""
STANDING_AHEAD_MS_MAX: Final = 5_000
"""Times further ahead than this are of an earlier boot of the machine."""
WINDOW_SLOTS: Final = 10
"""Slots of a window over which failures are counted."""
WINDOW_SLOT_MS_MIN: Final = 100
DEGRADED_SLOTS: Final = 30
"""Slots of the longer window over which an account counts as degraded."""
DEGRADED_UNTIL_SHARE: Final = 0.5
"""An account is degraded until its failures, or its calls, are below this share of what made it so."""
OPENS_DOUBLED_MAX: Final = 20
"""How often the time before the next probe may double."""
PROBE_MS_MAX: Final = 60_000
"""How long a probe may be out: longer than any call. After that another one is made."""
PROBE_WAIT_MS: Final = 1_000
"""What else would be sent comes again after this time while a probe is out."""
THROTTLE_PAUSE_MS: Final = 1_000
"""The pause of a provider that asks for one and does not say for how long."""
THROTTLES_TO_PAUSE: Final = 3
"""As many calls in a row that are asked to slow down pause the account; fewer are each message's own."""
RECOVERY_SHARE: Final = 1.4
"""The pace of a recovering account, as a share of what it was before."""
RECOVERY_PACE_M_MIN: Final = 10_000
"""The least such pace, in thousandths of a message per second."""
RECOVERY_BURST_MS: Final = 500
"""A recovering account may get as much at once as its pace lets through in this time."""
RECOVERY_DOUBLING_MS: Final = 20 * 60 * 1000
"""That pace doubles each time it was kept for so long: what waited for hours has to go, too."""
RECOVERY_DOUBLINGS_MAX: Final = 20
RECOVERY_QUIET_MS: Final = 60_000
"""An account has recovered when its pace made nothing wait for so long."""
MEASURE_MS_MIN: Final = 10_000
"""The pace of calls is measured over spans of at least this time,"""
MEASURE_MEMORY_MS: Final = 120_000
"""and what is older than this counts ever less."""
RETRY_BUDGET_UNTOLD_MAX: Final = 100
"""As many fresh attempts of an account are put into its budget at once."""
RETRY_BUDGET_MEMORY_MS: Final = 10_000
"""An account may have saved up what the fresh attempts of so long brought."""
