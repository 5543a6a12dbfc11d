"""How attempts are recorded without a row of their own, and what the history shows under its own name."""

from typing import Final

import msgspec

from clarion.domain.delivery_state import Event
from clarion.domain.history import Attempt, Delivery

RECORDED: Final = frozenset({"read", "opened", "clicked", "complained", "unsubscribed", "resubscribed", "deferred"})
"""Kinds that the timeline shows under their own name."""
FITTED: Final = "fitted"
"""The event of the row that records how a message was changed to fit before it was accepted. It is shown with that
attempt."""


def acceptance(row: Delivery) -> Attempt:
    """Return the accepted attempt that is stored in a delivery's own row."""
    accepted_ms = row.accepted_ms or 0
    repeats = row.repeats if row.attempt == row.accepted_attempt else 0
    return Attempt(
        row.id, row.tenant, row.accepted_attempt, accepted_ms, row.started_ms or accepted_ms, Event.ACCEPTED, "accepted",
        0, "", row.provider, row.vendor, row.vendor_message_id, None, repeats,
    )  # fmt: skip


def fitting(recorded: Attempt) -> Attempt:
    """Return the row that stores the detail of an accepted attempt, which has no column in a delivery's own row."""
    return msgspec.structs.replace(recorded, event=FITTED, repeats=0, applied=True)
