"""Whether a dead letter may be replayed, and its delivery after an edit."""

from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from clarion.domain.channel import Channel
from clarion.domain.content import Template
from clarion.domain.delivery_state import State
from clarion.domain.history import DeadLetter, Delivery
from clarion.domain.limits import DATA_BYTES_MAX
from clarion.domain.planned import PlannedDelivery


class Status(StrEnum):
    """The result of a request to replay a dead letter."""

    REPLAYED = "replayed"
    ALREADY_REPLAYED = "already_replayed"
    ALREADY_SENT = "already_sent"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    SUPPRESSED = "suppressed"
    NOT_FOUND = "not_found"
    UNREADABLE = "unreadable"
    TOO_LARGE = "too_large"
    NO_CONTENT = "no_content"
    DATA_MISSING = "data_missing"


class Letter(NamedTuple):
    """A dead letter with its delivery, None when that cannot be read."""

    stored: DeadLetter
    row: PlannedDelivery | None


class Edit(NamedTuple):
    """The changes of a replay: a new address, data merged over the stored data, another template with the names it
    needs."""

    address: str | None = None
    data: dict[str, Any] | None = None
    template: Template | None = None

    def names(self) -> list[str]:
        """Return the names of the changed fields, as in the API."""
        return [name for name, value in zip(self._fields, self, strict=True) if value is not None]


class ReplayRate(NamedTuple):
    """When replays are due (Unix ms): from `start_ms` on, `rate_per_s` of them a second; all at once without a rate."""

    start_ms: int
    rate_per_s: float | None

    def due_ms(self, number: int) -> int:
        """Return when replay `number`, counted from 0, is due."""
        return self.start_ms if self.rate_per_s is None else self.start_ms + int(number * 1000 / self.rate_per_s)


def edited(row: PlannedDelivery, edit: Edit) -> PlannedDelivery:
    """Return the delivery after an edit; given data replaces data of the same name."""
    if edit.address is not None:
        row = row._replace(address=edit.address)
    if edit.data is not None:
        row = row._replace(data=row.data | edit.data)
    if edit.template is not None:
        row = row._replace(template=edit.template.key)
    return row


def refusal(
    letter: Letter, delivery: Delivery | None, edit: Edit, suppressed: bool, cancelled: bool, due_ms: int
) -> Status | None:
    """Return why a letter is not replayed, None when it may be. `delivery` is its current delivery, `suppressed`
    whether its address is suppressed, `due_ms` when it would be sent."""
    if letter.row is None:
        return Status.UNREADABLE
    if delivery is not None and delivery.state in (State.SENT, State.DELIVERED):
        return Status.ALREADY_SENT
    if letter.stored.replayed_ms is not None:
        return Status.ALREADY_REPLAYED
    if cancelled or (delivery is not None and delivery.state is State.CANCELLED):
        return Status.CANCELLED
    if letter.row.expires_ms is not None and letter.row.expires_ms <= due_ms:
        return Status.EXPIRED
    return Status.SUPPRESSED if suppressed else _unfit(letter, letter.row, edit)


def _unfit(letter: Letter, before: PlannedDelivery, edit: Edit) -> Status | None:
    row, template = edited(before, edit), edit.template
    if edit.data is not None and len(msgspec.json.encode(row.data)) > DATA_BYTES_MAX:
        return Status.TOO_LARGE
    if template is None:
        return None
    if Channel(letter.stored.channel) not in template.parts:
        return Status.NO_CONTENT
    lacks = any(name not in row.data for name in template.variables) or (template.uses_user and row.user is None)
    return Status.DATA_MISSING if lacks else None
