"""Turns a page of users into the columns of chunks: one per channel, locale and time, at most 1,000 deliveries each."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from clarion.domain.channel import Channel
from clarion.domain.decision import Decision, Hold, Merge, Reason, Skip
from clarion.domain.delivery_state import State
from clarion.domain.limits_processes import CHUNK_DELIVERIES_MAX

Row = Sequence[Any]
"""A page row: (ordinal, user_id, profile_id, locale, contact column?, attributes?)."""

_SENT: Final = int(State.SENT)
_SKIPPED: Final = int(State.SKIPPED)
_FAILED: Final = int(State.FAILED)
_NO_CONTACT: Final = int(Reason.NO_CONTACT)
_SUPPRESSED: Final = int(Reason.SUPPRESSED)
ABLE: Final = frozenset({int(State.PLANNED), int(State.SENT), int(State.HELD), int(State.MERGED)})
"""States of deliveries that are sent, now or later, or merged."""


class Code(NamedTuple):
    """A decision as a chunk stores it: state and reason byte, and until when a delivery is held (0: it is not)."""

    state: int
    reason: int = 0
    until_ms: int = 0


def code_of(decision: Decision | None, channel: Channel) -> Code:
    """Return the code of a decision that all users of a profile share. None is to send; an in-app delivery then counts
    as sent at once."""
    match decision:
        case Skip():
            return Code(_SKIPPED, int(decision.reason))
        case Hold():
            return Code(int(State.HELD), int(decision.reason), decision.until_ms)
        case Merge():
            return Code(int(State.MERGED), int(decision.reason))
        case _:
            return Code(_SENT if channel is Channel.INAPP else int(State.PLANNED))


Place = tuple[str, int]
"""Locale, and the time until which the deliveries are held (0: they are not)."""


class Columns(msgspec.Struct):
    """Parallel columns of one chunk; `states` and `reasons` hold one byte per delivery."""

    ordinals: list[int]
    user_ids: list[str]
    states: bytearray
    reasons: bytearray
    addresses: list[str]
    rows: list[Row]

    def fail(self, indexes: Iterable[int], reason: Reason) -> None:
        """Mark deliveries that count as sent as failed."""
        for index in indexes:
            if self.states[index] == _SENT:
                self.states[index], self.reasons[index] = _FAILED, int(reason)

    def cut(self) -> Iterator["Columns"]:
        """Yield these columns in chunks of at most `CHUNK_DELIVERIES_MAX`."""
        if 0 < len(self.ordinals) <= CHUNK_DELIVERIES_MAX:
            yield self
            return
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


_Entry = tuple[int, str, int, int, str, Row]
"""A delivery: ordinal, user id, state, reason, address, page row."""


def shared_columns(page: Sequence[Row], codes: Mapping[int, Code], own: Mapping[int, Code]) -> dict[Place, Columns]:
    """Return columns of a channel without addresses. `codes` maps a profile id to the code that its users share, `own`
    an ordinal to the code of that user alone."""
    places: dict[Place, list[_Entry]] = {}
    for row in page:
        ordinal = row[0]
        state, reason, until_ms = own[ordinal] if own and ordinal in own else codes[row[2]]
        entries = places.get((row[3], until_ms))
        if entries is None:
            entries = places[row[3], until_ms] = []
        entries.append((ordinal, row[1], state, reason, "", row))
    return {place: _columns(entries, addressed=False) for place, entries in places.items()}


def addressed_columns(
    page: Sequence[Row],
    codes: Mapping[int, Code],
    own: Mapping[int, Code],
    addresses: Sequence[Sequence[str]],
    suppressed: Mapping[str, str],
) -> dict[Place, Columns]:
    """Return columns of a channel with addresses (those of each row of the page): one delivery per address, or one
    skipped delivery."""
    places: dict[Place, list[_Entry]] = {}
    for row, reached in zip(page, addresses, strict=True):
        ordinal = row[0]
        state, reason, until_ms = own[ordinal] if own and ordinal in own else codes[row[2]]
        if state == _SKIPPED:
            reached = _BLANK
        elif not reached:
            state, reason, until_ms, reached = _SKIPPED, _NO_CONTACT, 0, _BLANK
        entries = places.get((row[3], until_ms))
        if entries is None:
            entries = places[row[3], until_ms] = []
        if not suppressed and len(reached) == 1:
            entries.append((ordinal, row[1], state, reason, reached[0], row))
            continue
        for address in reached:
            if address in suppressed:
                entries.append((ordinal, row[1], _SKIPPED, _SUPPRESSED, address, row))
            else:
                entries.append((ordinal, row[1], state, reason, address, row))
    return {place: _columns(entries, addressed=True) for place, entries in places.items()}


def _columns(entries: Sequence[_Entry], *, addressed: bool) -> Columns:
    ordinals, user_ids, states, reasons, addresses, rows = zip(*entries, strict=True)
    return Columns(
        list(ordinals),
        list(user_ids),
        bytearray(states),
        bytearray(reasons),
        list(addresses) if addressed else [],
        list(rows),
    )


_BLANK: Final = ("",)


def unreached(page: Sequence[Row], columns: Mapping[Place, Columns]) -> list[Row]:
    """Return the users of a page without a delivery in these columns whose state is in `ABLE`."""
    served: set[int] = set()
    for part in columns.values():
        if ABLE.issuperset(part.states):
            served.update(part.ordinals)
        else:
            served.update(ordinal for ordinal, state in zip(part.ordinals, part.states, strict=True) if state in ABLE)
    return [row for row in page if row[0] not in served]


CONTACT_COLUMNS: Mapping[Channel, tuple[str, ...]] = {
    Channel.EMAIL: ("email", "more_contacts"),
    Channel.SMS: ("phone", "more_contacts"),
    Channel.WHATSAPP: ("whatsapp", "phone", "more_contacts"),
    Channel.CHAT: ("chat", "more_contacts"),
    Channel.WEBHOOK: ("webhook", "more_contacts"),
    Channel.PUSH: ("devices",),
    Channel.WEBPUSH: ("devices",),
    Channel.INAPP: (),
}
"""User columns that a page needs for the addresses of a channel."""
