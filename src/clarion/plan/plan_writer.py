"""Writing a plan: decisions in; rows to deliver, the columns for the record stage, and timers for later work out."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from clarion.domain import ids
from clarion.domain.channel import CHANNELS, NAMES, Channel, Lane
from clarion.domain.decision import Hold, Merge, Send, Skip
from clarion.domain.limits_processes import FRAME_RECORDS_MAX
from clarion.domain.planned import PlannedDelivery
from clarion.domain.user import User
from clarion.journal import topics
from clarion.journal.codec import encode
from clarion.journal.events import Recipient
from clarion.journal.rows import cut_frames
from clarion.plan.columns import PlanItem, PlannedColumns
from clarion.plan.facts import user_context
from clarion.plan.log_lines import LogLine
from clarion.plan.resume import FAILED, encoded, hold_timer, resumed, unmet_timer
from clarion.plan.rules.decide import addresses_of
from clarion.plan.rules.request_facts import Planned, RequestFacts
from clarion.plan.rules.routing import Fallback, Routed, RoutePosition, able
from clarion.ports.stage_store import Timer
from clarion.ports.streams import Frame


class DecidedItem(NamedTuple):
    """A notification with every delivery decided. A deleted user stays a `Recipient`."""

    item: PlanItem
    request_facts: RequestFacts | None
    deliveries: list[tuple[User | Recipient, Routed]]


class MergedRecipient(NamedTuple):
    """A recipient whose delivery is merged into the digest of a workflow."""

    item: PlanItem
    to: Recipient
    workflow: str
    version: int


class Plan(NamedTuple):
    """The result of a batch: frames and timers to commit together with the batch's positions, and follow-up work."""

    frames: list[Frame]
    timers: list[Timer]
    counts: dict[tuple[str, str], int]
    """Number of deliveries by (channel, `send`, `skip`, `hold` or `merge`)."""
    merged: list[MergedRecipient]
    held_back: list[tuple[PlanItem, Recipient, RoutePosition]]
    """Held channels of routes that turned out not to be sendable."""
    log_lines: Sequence[LogLine] = ()


class PlanWriter:
    """Collects the plan of one batch of one partition at a time (Unix ms)."""

    def __init__(self, partition: int, now_ms: int) -> None:
        self._partition = partition
        self._now_ms = now_ms
        self._columns = PlannedColumns(now_ms)
        self._rows: dict[tuple[Channel, Lane], list[PlannedDelivery]] = {}
        self._seen: set[bytes] = set()
        self._merged: list[MergedRecipient] = []
        self._fallen: list[tuple[PlanItem, Recipient, RoutePosition]] = []
        self.timers: list[Timer] = []

    def notification(self, item: PlanItem, scheduled_ms: int | None) -> int:
        """Add a notification and return its index; with a time, it is planned at that time."""
        return self._columns.notification(item, scheduled_ms)

    def write(self, decided: DecidedItem) -> None:
        """Write the decisions about a notification."""
        item, request_facts, deliveries = decided
        index = self._columns.notification(item, None)
        facts = self._columns.request_facts(b"" if request_facts is None else request_facts.facts)
        uses_user = request_facts is not None and request_facts.template.uses_user
        category = request_facts.category.key if request_facts is not None else item.request.category or ""
        for user, routed in deliveries:
            reads = user_context(user) if uses_user else None
            made = [_id(item, user, planned) for planned in routed.planned]
            simple = not routed.fallbacks and item.place is None
            places = _NOWHERE if simple else self._places(item, user, routed, made)
            profile_id = user.profile_id if isinstance(user, User) else 0
            put_off: list[Channel] = []
            for id_, planned in zip(made, routed.planned, strict=True):
                if id_ in self._seen:
                    continue  # two inline recipients of one request share an address
                self._seen.add(id_)
                self._columns.delivery(index, item, id_, user.user_id, planned, profile_id, facts)
                if isinstance(planned.decision, Send):
                    row = _row(item, user, id_, planned, category, reads)
                    self._send(item, user, planned.channel, row, places)
                elif not isinstance(planned.decision, Skip) and planned.channel not in put_off:
                    put_off.append(planned.channel)
                    self._put_off(item, _to(user), planned, routed, id_, places)

    def _send(
        self,
        item: PlanItem,
        user: User | Recipient,
        channel: Channel,
        row: PlannedDelivery,
        places: "dict[Channel, RoutePosition]",
    ) -> None:
        place = places.get(channel) if places else None
        if place is not None:
            row = row._replace(fallback=encoded(resumed(item, _to(user), FAILED, self._now_ms, place)))
        rows = self._rows.get((channel, item.lane))
        if rows is None:
            rows = self._rows[channel, item.lane] = []
        rows.append(row)

    def _put_off(
        self,
        item: PlanItem,
        to: Recipient,
        planned: Planned,
        routed: Routed,
        first: bytes,
        places: "dict[Channel, RoutePosition]",
    ) -> None:
        """Add the timer that decides a held channel again, or the recipient to merge into a digest."""
        channel, decision, place = planned.channel, planned.decision, places.get(planned.channel)
        if isinstance(decision, Hold):
            held = [one for one in routed.planned if one.channel is channel and isinstance(one.decision, Hold)]
            self.timers.append(hold_timer(item, to, held, decision, first, place, self._now_ms, self._partition))
        elif isinstance(decision, Merge):
            self._merged.append(MergedRecipient(item, to, decision.workflow, decision.version))

    def _places(
        self, item: PlanItem, user: User | Recipient, routed: Routed, made: Sequence[bytes]
    ) -> "dict[Channel, RoutePosition]":
        """Return the place in a route of each channel that has one, and add the timers of places with a time limit."""
        if item.place is not None:
            if not able(routed.planned):
                self._fallen.append((item, _to(user), item.place))
                return {}
            places = {planned.channel: item.place for planned in routed.planned}
        elif routed.fallbacks:
            places = _by_channel(routed.fallbacks, routed.planned, made)
        else:
            return {}
        now = {planned.channel for planned in routed.planned if isinstance(planned.decision, Send)}
        for place in {id(place): place for channel, place in places.items() if channel in now}.values():
            timer = unmet_timer(item, _to(user), place, self._now_ms, self._partition)
            if timer is not None:
                self.timers.append(timer)
        return places

    def plan(self, log_lines: Sequence[LogLine]) -> Plan:
        """Return the collected plan with the given log lines."""
        frames = [
            frame
            for (channel, lane), part in self._rows.items()
            for frame in cut_frames(topics.deliver(channel, lane), self._partition, part, FRAME_RECORDS_MAX)
        ]
        count = len(self._columns)
        if count:
            frames.append(Frame(topics.OUTCOMES, self._partition, count, encode(self._columns.frame(), count)))
        return Plan(frames, self.timers, self._columns.counts, self._merged, self._fallen, log_lines)


def _by_channel(
    fallbacks: Sequence[Fallback], planned: Sequence[Planned], made: Sequence[bytes]
) -> dict[Channel, RoutePosition]:
    places: dict[Channel, RoutePosition] = {}
    for fallback in fallbacks:
        here = [
            id_
            for id_, one in zip(made, planned, strict=True)
            if one.channel in fallback.channels and isinstance(one.decision, Send | Hold)
        ]
        place = RoutePosition(fallback.path, fallback.until, fallback.within_ms, fallback.rest, here, fallback.channels)
        # The innermost comes first: a channel belongs to the route closest to it.
        for channel in fallback.channels:
            places.setdefault(channel, place)
    return places


_NOWHERE: "dict[Channel, RoutePosition]" = {}


def _id(item: PlanItem, user: User | Recipient, planned: Planned) -> bytes:
    user_id, address = user.user_id, planned.address
    # Inline recipients have no id: their deliveries without an address are distinguished by the given contact.
    apart = item.step if user_id or address else f"{item.step}{_contact(user)}"
    return ids.delivery_id(item.notification_id, user_id, NAMES[planned.channel], address, apart)


def _row(
    item: PlanItem,
    user: User | Recipient,
    delivery_id: bytes,
    planned: Planned,
    category: str,
    reads: dict[str, Any] | None,
) -> PlannedDelivery:
    request = item.request
    return PlannedDelivery(
        delivery_id,
        item.tenant,
        user.user_id,
        planned.address,
        user.locale,
        request.template,
        category,
        request.data,
        reads,
        1,
        request.expires_ms,
        request.metadata,
        request.ordering_key,
        None,
        item.step,
        attachments=request.attachments if planned.channel is Channel.EMAIL else None,
    )


def _contact(user: User | Recipient) -> str:
    if isinstance(user, Recipient):
        return next(iter((user.contacts or {}).values()), "")
    return next((address for channel in CHANNELS for address in addresses_of(user, channel)), "")


def _to(user: User | Recipient) -> Recipient:
    """Return a recipient as a request names it."""
    if isinstance(user, Recipient):
        return user
    if user.user_id:
        return Recipient(user.user_id)
    given = {
        "email": user.email, "phone": user.phone, "whatsapp": user.whatsapp, "chat": user.chat, "webhook": user.webhook,
        **{device.kind: device.token for device in user.devices},
    }  # fmt: skip
    contacts = {name: value for name, value in given.items() if value}
    return Recipient(contacts=contacts, locale=user.locale, zone=user.zone, attributes=user.attributes or None)
