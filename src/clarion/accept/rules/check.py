"""Checks of a request against the tenant's definitions. All functions are pure; facts are arguments."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, overload

from clarion.domain import address
from clarion.domain.channel import LANES, Channel, Lane
from clarion.domain.content import Category, Template
from clarion.domain.errors import InvalidField
from clarion.domain.json_numbers import numbers
from clarion.domain.json_values import marks_in
from clarion.domain.limits import (
    ADDRESS_CHARS_MAX,
    DATA_BYTES_MAX,
    FANOUT_BYTES_MAX,
    FANOUT_VALUES_MAX,
    JSON_DEPTH_MAX,
    LOCAL_LATE_MS_MAX,
    SCHEDULE_AHEAD_MS_MAX,
)

CONTACTS: Final[Mapping[str, Callable[[str, str], str]]] = {
    "email": address.email,
    "phone": address.phone,
    "whatsapp": address.phone,
    "chat": lambda text, field: address.single_line(text, field, ADDRESS_CHARS_MAX),
    "webhook": address.url,
    "push": lambda text, field: address.single_line(text, field, ADDRESS_CHARS_MAX),
    "webpush": lambda text, field: address.single_line(text, field, ADDRESS_CHARS_MAX),
}
"""The check of each inline contact, which returns its canonical form."""
_EARLIEST_ZONE_MS: Final = 14 * 3600 * 1000
"""The offset of the time zone furthest ahead of UTC."""


class Times(NamedTuple):
    """The time to send and the expiry, Unix milliseconds."""

    send_at_ms: int | None
    expires_ms: int | None


class LocalTime(NamedTuple):
    """A time on each recipient's wall clock, as if it were UTC, and when the first zone reaches it; Unix
    milliseconds."""

    local_ms: int
    first_ms: int


def contacts(given: Mapping[str, str | None], field: str) -> dict[str, str]:
    """Return the canonical contacts of an inline recipient. Raises `InvalidField`."""
    checked = {
        name: check(value, f"{field}.{name}")
        for name, check in CONTACTS.items()
        if (value := given.get(name)) is not None
    }
    if not checked:
        raise InvalidField("needs a user_id or at least one contact", field=field)
    return checked


def lane(category: Category | None, priority: Lane | None) -> Lane:
    """Return the lane: the category's, which a request may lower but not raise; without a category the request's."""
    if category is None or priority is None:
        return priority or (category.lane if category else Lane.NORMAL)
    return max(category.lane, priority, key=LANES.index)


def channels(template: Template, wanted: Sequence[Channel] | None) -> list[str] | None:
    """Return the requested channels, each once. Raises `InvalidField` when the template has content for none of
    them."""
    if wanted is None:
        return None
    if not any(channel in template.parts for channel in wanted):
        names = ", ".join(template.parts)
        raise InvalidField(f"template {template.key!r} has content for {names} only", field="channels")
    return list(dict.fromkeys(channel.value for channel in wanted))


def data(given: Mapping[str, Any], wanted: Sequence[str], owner: str) -> None:
    """Check that every variable of a template or workflow is present, and that the journal can hold the data. Raises
    `InvalidField`."""
    for name in wanted:
        if name not in given:
            raise InvalidField(f"{owner} needs this variable", field=f"data.{name}")
    values(given)


def values(given: Mapping[str, Any]) -> None:
    """Check that nothing is nested too deeply and that the journal can hold every number. Raises `InvalidField`."""
    for name, value in given.items():
        if isinstance(value, (dict, list)) and _deeper(value, JSON_DEPTH_MAX):
            raise InvalidField(f"is nested deeper than {JSON_DEPTH_MAX} levels", field=f"data.{name}")
        numbers(value, f"data.{name}")


def size(encoded: bytes, recipients: int) -> None:
    """Check that the data, encoded as JSON, is within bounds by itself and for all recipients together. Raises
    `InvalidField`."""
    data_bytes = len(encoded)
    if data_bytes > DATA_BYTES_MAX:
        raise InvalidField(f"is larger than {DATA_BYTES_MAX} bytes", field="data")
    # Marks are counted only where there can be too many.
    many = data_bytes * recipients > FANOUT_VALUES_MAX and marks_in(encoded) * recipients > FANOUT_VALUES_MAX
    if many or data_bytes * recipients > FANOUT_BYTES_MAX:
        raise InvalidField(
            f"is too large for {recipients} recipients at once; send to fewer or as a broadcast", field="data"
        )


def _deeper(value: Any, levels: int) -> bool:
    if levels == 0:
        return True
    members = value.values() if isinstance(value, dict) else value
    return any(isinstance(member, (dict, list)) and _deeper(member, levels - 1) for member in members)


def metadata(given: Mapping[str, str] | None) -> None:
    """Check that names and values are single lines: providers carry them in headers. Raises `InvalidField`."""
    for name, value in (given or {}).items():
        address.single_line(name, f"metadata.{name}", ADDRESS_CHARS_MAX)
        address.single_line(value, f"metadata.{name}", ADDRESS_CHARS_MAX)


def times(send_at: datetime | None, expires_at: datetime | None, now_ms: int) -> Times:
    """Return both instants in Unix milliseconds. A past `send_at` means now. Raises `InvalidField` when `send_at` is
    too far ahead or `expires_at` is not after the time of sending."""
    send_at_ms = _ms(send_at)
    expires_ms = _ms(expires_at)
    if send_at_ms is not None and send_at_ms > now_ms + SCHEDULE_AHEAD_MS_MAX:
        raise InvalidField("is more than a year ahead", field="send_at")
    if send_at_ms is not None and send_at_ms <= now_ms:
        send_at_ms = None
    if expires_ms is not None and expires_ms <= (send_at_ms or now_ms):
        raise InvalidField("is not after the time of sending", field="expires_at")
    return Times(send_at_ms, expires_ms)


def local_time(text: str, send_at: datetime | None, expires_ms: int | None, now_ms: int) -> LocalTime:
    """Return a recipient-local time (`2026-12-01T09:00`). Raises `InvalidField` when the text is not one, when the
    first zone passed it so long ago that recipients there would get nothing any more, or when it is too far ahead."""
    try:
        local_ms = _ms(datetime.fromisoformat(text).replace(tzinfo=UTC))
    except ValueError:
        raise InvalidField("must be a date and time such as 2026-12-01T09:00", field="local_time") from None
    if send_at is not None:
        raise InvalidField("does not go with local_time", field="send_at")
    first_ms = local_ms - _EARLIEST_ZONE_MS
    if first_ms < now_ms - LOCAL_LATE_MS_MAX:
        raise InvalidField("has passed already where the day begins first, at UTC+14", field="local_time")
    if first_ms > now_ms + SCHEDULE_AHEAD_MS_MAX:
        raise InvalidField("is more than a year ahead", field="local_time")
    if expires_ms is not None and expires_ms <= first_ms:
        raise InvalidField("is not after the time of sending", field="expires_at")
    return LocalTime(local_ms, first_ms)


@overload
def _ms(instant: datetime) -> int: ...
@overload
def _ms(instant: datetime | None) -> int | None: ...
def _ms(instant: datetime | None) -> int | None:
    return None if instant is None else int(instant.timestamp() * 1000)


def header_text(value: str | None, field: str, limit_chars: int) -> None:
    """Check an optional text that providers may carry in a header. Raises `InvalidField`."""
    if value is not None:
        address.single_line(value, field, limit_chars)
