"""Named bounds of the simulator. Sizes in bytes, times in the unit of the name."""

from typing import Final

OUTAGES_MAX: Final = 100
"""Outages that a simulator has at a time."""
OUTAGE_CHARS_MAX: Final = 200
OUTAGE_S_MAX: Final = 30 * 24 * 3600
SLOW_S_MAX: Final = 600
CALLBACK_AFTER_S: Final = 0.2
"""The time between the acceptance of a message and the delivery receipts of a simulated vendor."""
CALLBACKS_WAITING_MAX: Final = 10_000
"""Scheduled calls; beyond this, receipts are dropped and counted."""
CALLBACK_TRIES_MAX: Final = 3
CALLBACK_TIMEOUT_S: Final = 10
CALLBACK_CALLS_MAX: Final = 16
"""Concurrent callbacks."""
SIMULATOR_KEYS_MAX: Final = 1_000_000
"""Delivery keys whose arrivals the simulator counts; the oldest is forgotten first."""
SIMULATOR_STREAMS_MAX: Final = 256
SIMULATOR_BODY_BYTES_MAX: Final = 4 * 1024 * 1024
