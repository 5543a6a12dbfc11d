"""Planning that resumes later: held channels are decided again, routes continue when a channel was not enough.

A place in a route is identified by its tag. Its failed deliveries are counted in a cell, so that the route continues
only once: when the last of them has failed, or when its time limit is over, whichever comes first.
"""

from collections.abc import Hashable, Iterable, Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgspec

from clarion.domain.channel import Lane
from clarion.domain.decision import Hold, Reason
from clarion.domain.delivery_state import State
from clarion.domain.duration import duration_text
from clarion.domain.limits import HOLD_MS_MAX
from clarion.journal import topics
from clarion.journal.codec import encode
from clarion.journal.events import Recipient, Request, ResumeFrame
from clarion.plan.columns import PlanItem
from clarion.plan.rules.need import MissingFacts, Need
from clarion.plan.rules.request_facts import Planned
from clarion.plan.rules.routing import RoutePosition
from clarion.plan.wait_facts import CELLS, SEEN_RECEIPTS, STATES, WaitFacts
from clarion.ports.journal_cells import Cell
from clarion.ports.stage_store import Timer

FAILED: Final = "failed"
UNMET: Final = "unmet"
FORGET: Final = "forget"
HELD: Final[dict[Reason, str]] = {
    Reason.QUIET_HOURS: "quiet_hours",
    Reason.CAPPED: "cap",
    Reason.LOCAL_TIME: "local_time",
}
_HELD_CAUSES: Final = frozenset(HELD.values())
RESUME_CELL: Final = b"r"
_GONE_ON: Final = b""
"""Value of a cell whose route has continued, or need not any more."""


_ENOUGH: Final = {
    "sent": frozenset({State.SENT, State.DELIVERED}),
    "delivered": frozenset({State.DELIVERED}),
}
"""States of a delivery that satisfy a place's condition."""
_PACK: Final = msgspec.msgpack.Encoder()
_PLACE: Final = msgspec.msgpack.Decoder(RoutePosition)


class _Held(msgspec.Struct, frozen=True, array_like=True):
    """Stored state of a held channel: its own place in a route, and the place it replaces, sent at `sent_ms`."""

    place: RoutePosition | None
    instead_of: RoutePosition | None
    sent_ms: int


_HELD: Final = msgspec.msgpack.Decoder(_Held)


class Resumed(NamedTuple):
    """One row of a `ResumeFrame` with its lane."""

    lane: Lane
    notification_id: bytes
    tenant: str
    accepted_ms: int
    request: Request
    cause: str
    since_ms: int
    step: str
    place: bytes | None
    tag: bytes
    held: list[str]


def resumptions(lane: Lane, frame: ResumeFrame) -> Iterable[Resumed]:
    """Yield the rows of a frame."""
    columns = (getattr(frame, name) for name in ResumeFrame.__struct_fields__)
    return (Resumed(lane, *row) for row in zip(*columns, strict=True))


def resumed(
    item: PlanItem, to: Recipient, cause: str, since_ms: int, place: RoutePosition | None, held: Sequence[Planned] = ()
) -> Resumed:
    """Return the row that resumes one recipient: held deliveries of one channel, or the rest of a place."""
    channels = [held[0].channel.value] if held else None
    addresses = [one.address for one in held]
    request = msgspec.structs.replace(item.request, to=[to], channels=channels, send_at_ms=None)
    packed = None if place is None else _PACK.encode(place)
    tag = b"" if place is None else _tag(item, to, place)
    return Resumed(
        item.lane, item.notification_id, item.tenant, item.accepted_ms, request, cause, since_ms, item.step, packed, tag,
        addresses,
    )  # fmt: skip


def encoded(row: Resumed) -> bytes:
    """Return the encoded frame of one resumption."""
    columns: list[Any] = [[value] for value in row[1:]]
    return encode(ResumeFrame(*columns), 1)


def hold_timer(
    item: PlanItem,
    to: Recipient,
    held: Sequence[Planned],
    hold: Hold,
    first: bytes,
    place: RoutePosition | None,
    now_ms: int,
    partition: int,
) -> Timer:
    """Return the timer after which a channel of a recipient is decided again; `held` are its held deliveries, `first`
    is the id of one of them."""
    since_ms = item.since_ms or now_ms
    row = resumed(item, to, HELD[hold.reason], since_ms, place, held)
    if place is not None or item.instead_of is not None:
        instead_of, sent_ms = item.instead_of or (None, 0)
        row = row._replace(place=_PACK.encode(_Held(place, instead_of, sent_ms)))
    payload = encoded(row)
    timer_id = first + b"h" + hold.until_ms.to_bytes(6, "big")
    return Timer(timer_id, hold.until_ms, topics.accepted(item.lane), partition, payload)


def unmet_timer(item: PlanItem, to: Recipient, place: RoutePosition, now_ms: int, partition: int) -> Timer | None:
    """Return the timer that checks whether a place has met its condition in time, None without a time limit."""
    if place.within_ms is None:
        return None
    payload = encoded(resumed(item, to, UNMET, now_ms, place))
    timer_id = b"u" + _tag(item, to, place) + place.within_ms.to_bytes(6, "big")
    return Timer(timer_id, now_ms + place.within_ms, topics.accepted(item.lane), partition, payload)


def _tag(item: PlanItem, to: Recipient, place: RoutePosition) -> bytes:
    return _tag_of(item.notification_id, item.step, to, place)


def _tag_of(notification_id: bytes, step: str, to: Recipient, place: RoutePosition) -> bytes:
    identity = to.user_id or "|".join(f"{name}={value}" for name, value in sorted((to.contacts or {}).items()))
    text = f"{len(identity)}:{identity}{len(step)}:{step}{place.path}"
    deliveries = b"".join(place.delivery_ids)
    return notification_id + blake2b(text.encode() + deliveries, key=notification_id, digest_size=8).digest()


def prefetch_keys(row: Resumed) -> Iterable[tuple[str, Hashable]]:
    """Yield (kind, key) of the facts that resuming one recipient needs."""
    if row.place is None or row.cause == FORGET:
        return
    if row.cause in _HELD_CAUSES:
        held = _HELD.decode(row.place)
        if held.place is not None:
            yield CELLS, RESUME_CELL + _tag_of(row.notification_id, row.step, row.request.to[0], held.place)
        if held.instead_of is not None:
            yield from _seen_keys(row, held.instead_of)
        return
    yield CELLS, RESUME_CELL + row.tag
    if row.cause == UNMET:
        yield from _seen_keys(row, _PLACE.decode(row.place))


def likely_items(row: Resumed) -> list[PlanItem]:
    """Return the notifications that resuming one recipient may plan, for the prefetch."""
    if row.cause in _HELD_CAUSES:
        return [_item(row)]
    if row.cause == FORGET or row.place is None:
        return []
    return [_item(row, route=_PLACE.decode(row.place).rest)]


def _seen_keys(row: Resumed, place: RoutePosition) -> Iterable[tuple[str, Hashable]]:
    user_id = row.request.to[0].user_id
    if user_id:
        yield SEEN_RECEIPTS, (row.tenant, row.notification_id, user_id)
    if place.until in _ENOUGH:
        yield from ((STATES, id_) for id_ in place.delivery_ids)


class Resumptions:
    """The rows that one planning step resumes at a time (Unix ms). `items` are to be planned; `cells` and `timers` go
    into the step's commit. Missing facts of a row are added to `lacking`; the step is then discarded and decided again
    with more facts."""

    def __init__(self, facts: WaitFacts, now_ms: int) -> None:
        self._facts = facts
        self._partition = facts.partition
        self._now_ms = now_ms
        self._overlay: dict[bytes, bytes | None] = {}
        self.lacking: list[Need] = []
        self.items: list[PlanItem] = []
        self.timers: list[Timer] = []

    @property
    def cells(self) -> list[Cell]:
        """The cells to write."""
        return [Cell(self._partition, key, value) for key, value in self._overlay.items()]

    def add(self, row: Resumed) -> None:
        """Resume one recipient, if its condition for that is met."""
        try:
            self._resume(row)
        except MissingFacts as error:
            self.lacking.append(error.need)

    def failed(self, item: PlanItem, to: Recipient, place: RoutePosition) -> None:
        """Continue a route after a held channel that turned out not to be sendable."""
        self.add(resumed(item, to, FAILED, self._now_ms, place))

    def _resume(self, row: Resumed) -> None:
        if row.cause in _HELD_CAUSES:
            self.items.append(self._released(row))
            return
        place = None if row.place is None else _PLACE.decode(row.place)
        if row.cause == FORGET:
            self._overlay[RESUME_CELL + row.tag] = None
        elif place is not None and (self._out_of_time(row, place) if row.cause == UNMET else self._failed(row, place)):
            instead_of = (place, row.since_ms) if row.cause == UNMET else None
            self.items.append(_item(row, route=place.rest, cause=_cause(row, place), instead_of=instead_of))

    def _released(self, row: Resumed) -> PlanItem:
        """Return the item that decides a held channel again. It is needless if the place it replaces has met its
        condition by now."""
        again = _item(row, since_ms=row.since_ms, held=row.held)
        if row.place is None:
            return again
        held = _HELD.decode(row.place)
        if held.instead_of is None:
            return again._replace(place=held.place)
        if self._met(row, held.instead_of, held.sent_ms):
            before = " and ".join(held.instead_of.channels)
            return again._replace(needless=f"{before} was {held.instead_of.until} meanwhile")
        return again._replace(place=held.place, instead_of=(held.instead_of, held.sent_ms))

    def _out_of_time(self, row: Resumed, place: RoutePosition) -> bool:
        """Return whether the route continues because the place's condition was not met in time."""
        key = RESUME_CELL + row.tag
        if self._cell(key) == _GONE_ON:
            self._overlay[key] = None  # all its deliveries have failed: no further row will come
            return False
        self._overlay[key] = _GONE_ON
        self._forget_later(row)
        return not self._met(row, place, row.since_ms)

    def _failed(self, row: Resumed, place: RoutePosition) -> bool:
        """Return whether the route continues because this was the last delivery of the place to fail."""
        key = RESUME_CELL + row.tag
        known = self._cell(key)
        if known == _GONE_ON:
            return False
        left = (len(place.delivery_ids) if known is None else int.from_bytes(known, "big")) - 1
        timed = place.within_ms is not None
        if left > 0:
            self._overlay[key] = left.to_bytes(2, "big")
            if known is None and not timed:
                self._forget_later(row)
            return False
        self._overlay[key] = _GONE_ON if timed else None
        return True

    def _cell(self, key: bytes) -> bytes | None:
        return self._overlay[key] if key in self._overlay else self._facts.cell(key)

    def _met(self, row: Resumed, place: RoutePosition, sent_ms: int) -> bool:
        user_id = row.request.to[0].user_id
        seen_ms = self._facts.seen_ms(row.tenant, row.notification_id, user_id) if user_id else None
        if (seen_ms or 0) >= sent_ms:
            return True
        enough = _ENOUGH.get(place.until)
        return enough is not None and not enough.isdisjoint(self._facts.states(place.delivery_ids))

    def _forget_later(self, row: Resumed) -> None:
        """Add the timer that removes the cell when no delivery of the place can fail any more."""
        due_ms = self._now_ms + HOLD_MS_MAX
        payload = encoded(row._replace(cause=FORGET))
        self.timers.append(Timer(b"f" + row.tag, due_ms, topics.accepted(Lane.BULK), self._partition, payload))


def _cause(row: Resumed, place: RoutePosition) -> str:
    before = " and ".join(place.channels)
    if row.cause == FAILED:
        return f"{before} failed"
    return f"{before} was not {place.until} within {duration_text(place.within_ms or 0)}"


def _item(row: Resumed, **more: Any) -> PlanItem:
    return PlanItem(row.lane, row.notification_id, row.tenant, row.accepted_ms, row.request, step=row.step, **more)
