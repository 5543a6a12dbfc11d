"""Named bounds of the simulator's outages and receipts. Sizes in bytes, times in the unit of the name."""

from typing import Final

OUTAGES_MAX: Final = 100
"""Outages a simulator keeps at a time."""
OUTAGE_CHARS_MAX: Final = 200
OUTAGE_S_MAX: Final = 30 * 24 * 3600
SLOW_S_MAX: Final = 600
CALLBACK_AFTER_S: Final = 0.2
"""How long after a message was taken a simulated vendor tells what became of it."""
CALLBACKS_WAITING_MAX: Final = 10_000
"""Calls that wait to be made; beyond this, receipts are dropped and counted."""
CALLBACK_TRIES_MAX: Final = 3
CALLBACK_TIMEOUT_S: Final = 10
CALLBACK_CALLS_MAX: Final = 16
"""Callbacks under way at a time."""
