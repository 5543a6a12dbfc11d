"""Turning a page of users into the columns of chunks: one per channel and locale, at most 1,000 deliveries each."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from clarion.domain.channel import Channel
from clarion.domain.decision import Reason, Skip
from clarion.domain.delivery_state import State
from clarion.domain.limits import CHUNK_DELIVERIES_MAX

Row = Sequence[Any]
"""A page row: (ordinal, user_id, profile_id, locale, contact column?, attributes?)."""

_PLANNED = int(State.PLANNED)
_SENT = int(State.SENT)
_SKIPPED = int(State.SKIPPED)
_FAILED = int(State.FAILED)


class Columns(msgspec.Struct):
    """Parallel columns of one chunk; `states` and `reasons` hold a byte a delivery."""

    ordinals: list[int]
    user_ids: list[str]
    states: bytearray
    reasons: bytearray
    addresses: list[str]
    rows: list[Row]

    @classmethod
    def empty(cls) -> "Columns":
        """Return columns without deliveries."""
        return cls([], [], bytearray(), bytearray(), [], [])

    def fail(self, indexes: Iterable[int], reason: Reason) -> None:
        """Turn deliveries that count as sent into failed ones."""
        for index in indexes:
            if self.states[index] == _SENT:
                self.states[index], self.reasons[index] = _FAILED, int(reason)

    def cut(self) -> Iterator["Columns"]:
        """Yield these columns in chunks of at most `CHUNK_DELIVERIES_MAX`."""
        for start in range(0, len(self.ordinals), CHUNK_DELIVERIES_MAX):
            part = slice(start, start + CHUNK_DELIVERIES_MAX)
            yield Columns(
                self.ordinals[part],
                self.user_ids[part],
                self.states[part],
                self.reasons[part],
                self.addresses[part],
                self.rows[part],
            )


def inapp_columns(page: Sequence[Row], verdicts: Mapping[int, Skip | None]) -> dict[str, Columns]:
    """Return columns per locale for in-app: planning is sending, so a delivery is `sent` or `skipped`.

    `verdicts` maps a profile id to what its users share.
    """
    codes = {
        profile: (_SENT, 0) if skip is None else (_SKIPPED, int(skip.reason)) for profile, skip in verdicts.items()
    }
    by_locale: dict[str, list[Row]] = {}
    for row in page:
        rows = by_locale.get(row[3])
        if rows is None:
            rows = by_locale[row[3]] = []
        rows.append(row)
    columns = {}
    for locale, rows in by_locale.items():
        pairs = [codes[row[2]] for row in rows]
        columns[locale] = Columns(
            [row[0] for row in rows],
            [row[1] for row in rows],
            bytearray([pair[0] for pair in pairs]),
            bytearray([pair[1] for pair in pairs]),
            [],
            rows,
        )
    return columns


def addressed_columns(
    page: Sequence[Row],
    verdicts: Mapping[int, Skip | None],
    addresses_of: Callable[[Row], Sequence[str]],
    suppressed: Mapping[str, str],
) -> dict[str, Columns]:
    """Return columns per locale for a channel with addresses: one delivery an address, or one skipped delivery."""
    columns: dict[str, Columns] = {}
    for row in page:
        target = columns.get(row[3])
        if target is None:
            target = columns[row[3]] = Columns.empty()
        skip = verdicts[row[2]]
        addresses: Sequence[str] = addresses_of(row) if skip is None else ()
        if not addresses:
            _add(target, row, _SKIPPED, int(Reason.NO_CONTACT if skip is None else skip.reason), "")
        for address in addresses:
            if address in suppressed:
                _add(target, row, _SKIPPED, int(Reason.SUPPRESSED), address)
            else:
                _add(target, row, _PLANNED, 0, address)
    return columns


def _add(columns: Columns, row: Row, state: int, reason: int, address: str) -> None:
    columns.ordinals.append(row[0])
    columns.user_ids.append(row[1])
    columns.states.append(state)
    columns.reasons.append(reason)
    columns.addresses.append(address)
    columns.rows.append(row)


CONTACT_COLUMNS: Mapping[Channel, tuple[str, ...]] = {
    Channel.EMAIL: ("email",),
    Channel.SMS: ("phone",),
    Channel.WHATSAPP: ("whatsapp", "phone"),
    Channel.CHAT: ("chat",),
    Channel.WEBHOOK: ("webhook",),
    Channel.PUSH: ("devices",),
    Channel.WEBPUSH: ("devices",),
    Channel.INAPP: (),
}
"""User columns a page has to bring to know the addresses of a channel."""
