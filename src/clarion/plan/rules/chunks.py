"""Turning a page of users into the columns of chunks: one per channel, locale and time, at most 1,000 deliveries each."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from clarion.domain.channel import Channel
from clarion.domain.decision import Decision, Hold, Merge, Reason, Skip
from clarion.domain.delivery_state import State
from clarion.domain.limits import CHUNK_DELIVERIES_MAX

Row = Sequence[Any]
"""A page row: (ordinal, user_id, profile_id, locale, contact column?, attributes?)."""

_SENT: Final = int(State.SENT)
_SKIPPED: Final = int(State.SKIPPED)
_FAILED: Final = int(State.FAILED)
_NO_CONTACT: Final = int(Reason.NO_CONTACT)
_SUPPRESSED: Final = int(Reason.SUPPRESSED)
ABLE: Final = frozenset({int(State.PLANNED), int(State.SENT), int(State.HELD), int(State.MERGED)})
"""States of deliveries that go out, now or later."""


class Code(NamedTuple):
    """A decision as a chunk keeps it: state and reason byte, and until when a held delivery waits (0: it does not)."""

    state: int
    reason: int = 0
    until_ms: int = 0


def code_of(decision: Decision | None, channel: Channel) -> Code:
    """Return the code of a decision that everyone of a profile shares; None lets everyone pass, and for in-app planning
    is sending."""
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
"""Locale, and until when the deliveries are held (0: they are not)."""


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


def shared_columns(page: Sequence[Row], codes: Mapping[int, Code], own: Mapping[int, Code]) -> dict[Place, Columns]:
    """Return columns of a channel without addresses. `codes` maps a profile id to what its users share, `own` an ordinal
    to what was decided about that user alone."""
    by_place: dict[Place, list[tuple[Row, Code]]] = {}
    for row in page:
        code = codes[row[2]]
        if own and row[0] in own:
            code = own[row[0]]
        place = (row[3], code.until_ms)
        pairs = by_place.get(place)
        if pairs is None:
            pairs = by_place[place] = []
        pairs.append((row, code))
    return {
        place: Columns(
            [row[0] for row, _ in pairs],
            [row[1] for row, _ in pairs],
            bytearray([code[0] for _, code in pairs]),
            bytearray([code[1] for _, code in pairs]),
            [],
            [row for row, _ in pairs],
        )
        for place, pairs in by_place.items()
    }


def addressed_columns(
    page: Sequence[Row],
    codes: Mapping[int, Code],
    own: Mapping[int, Code],
    addresses_of: Callable[[Row], Sequence[str]],
    suppressed: Mapping[str, str],
) -> dict[Place, Columns]:
    """Return columns of a channel with addresses: one delivery an address, or one skipped delivery."""
    columns: dict[Place, Columns] = {}
    for row in page:
        code = codes[row[2]]
        if own and row[0] in own:
            code = own[row[0]]
        state, reason, until_ms = code
        addresses: Sequence[str] = addresses_of(row) if state != _SKIPPED else _NOWHERE
        if not addresses:
            state, reason, until_ms, addresses = _SKIPPED, reason if state == _SKIPPED else _NO_CONTACT, 0, _NOWHERE
        target = columns.get((row[3], until_ms))
        if target is None:
            target = columns[row[3], until_ms] = Columns.empty()
        for address in addresses or _BLANK:
            gone = bool(suppressed) and address in suppressed
            target.ordinals.append(row[0])
            target.user_ids.append(row[1])
            target.states.append(_SKIPPED if gone else state)
            target.reasons.append(_SUPPRESSED if gone else reason)
            target.addresses.append(address)
            target.rows.append(row)
    return columns


_NOWHERE: Final[tuple[str, ...]] = ()
_BLANK: Final = ("",)


def left_over(page: Sequence[Row], columns: Mapping[Place, Columns]) -> list[Row]:
    """Return the users of a page for whom nothing in these columns goes out."""
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
"""User columns a page has to bring to know the addresses of a channel."""
