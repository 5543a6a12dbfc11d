"""Plans a batch of accepted frames: facts are read in a few queries, every decision is made by `rules/`."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from clarion.domain import ids
from clarion.domain.channel import CHANNELS, Channel, Lane
from clarion.domain.content import Category
from clarion.domain.decision import Reason, Send, Skip
from clarion.domain.limits import FRAME_RECORDS_MAX, GATES_MAX, RECIPIENTS_MAX, SETTINGS_MAX
from clarion.domain.user import Device, User
from clarion.journal import topics
from clarion.journal.codec import encode
from clarion.journal.events import AcceptedFrame, PlannedFrame, Recipient, Request
from clarion.journal.rows import DeliverRow, cut_frames
from clarion.plan.rules.decide import Gate, Planned, Setting, channels_of, decide, gate, wanted_addresses
from clarion.ports.directory import Directory
from clarion.ports.journal import Frame, Timer

_NOBODY: Final = 0
"""Profile id of inline recipients: no preferences of their own."""


class Accepted(NamedTuple):
    """One accepted notification with the lane it came on."""

    lane: Lane
    notification_id: bytes
    tenant: str
    accepted_ms: int
    request: Request


class Plan(NamedTuple):
    """What a batch amounts to: frames and timers to append together with the batch's commits."""

    frames: list[Frame]
    timers: list[Timer]
    counts: dict[tuple[str, str], int]
    """How many deliveries per (channel, `send` or `skip`)."""


def unpack(lane: Lane, frame: AcceptedFrame) -> Iterable[Accepted]:
    """Yield the notifications of a frame."""
    columns = zip(frame.notification_ids, frame.tenants, frame.accepted_ms, frame.requests, strict=True)
    return (Accepted(lane, *row) for row in columns)


class BatchPlanner:
    """Plans batches for one process; keeps settings and profile verdicts until a definition changes."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._revision = -1
        self._settings: dict[tuple[Any, ...], Setting | None] = {}
        self._gates: dict[tuple[int, int], Gate] = {}

    def plan(self, batch: Sequence[Accepted], partition: int, now_ms: int) -> Plan:
        """Return the plan of a batch of one partition at a time (Unix ms)."""
        self._refresh()
        scheduled = [item for item in batch if (item.request.send_at_ms or 0) > now_ms]
        due = [item for item in batch if (item.request.send_at_ms or 0) <= now_ms]
        people = self._recipients(due)
        builder = _PlannedBuilder(now_ms)
        rows: dict[tuple[Channel, Lane], list[DeliverRow]] = {}
        suppressed = self._suppressed(due, people)
        for item, recipients in zip(due, people, strict=True):
            setting = self._setting(item.tenant, item.request)
            index = builder.notification(item, None)
            for user in recipients:
                for planned in self._decide(item, setting, user, suppressed):
                    row = self._row(item, setting, user, planned)
                    builder.delivery(index, row, planned)
                    if isinstance(planned.decision, Send):
                        rows.setdefault((planned.channel, item.lane), []).append(row)
        for item in scheduled:
            builder.notification(item, item.request.send_at_ms)
        frames = [
            frame
            for (channel, lane), part in rows.items()
            for frame in cut_frames(topics.deliver(channel, lane), partition, part, FRAME_RECORDS_MAX)
        ]
        if batch:
            frames.append(Frame(topics.OUTCOMES, partition, len(batch), encode(builder.frame(), len(batch))))
        timers = [_timer(item, partition) for item in scheduled]
        return Plan(frames, timers, builder.counts)

    def fresh_setting(self, tenant: str, request: Request) -> Setting | None:
        """Return the setting of a request as of now; the same object until a definition changes."""
        self._refresh()
        return self._setting(tenant, request)

    def gates(self, setting: Setting, profile_ids: Iterable[int]) -> dict[int, Gate]:
        """Return what everyone of each profile shares; unknown profiles are read in one query."""
        verdicts: dict[int, Gate] = {}
        missing: list[int] = []
        for profile_id in profile_ids:
            known = self._gates.get((id(setting), profile_id))
            if known is None:
                missing.append(profile_id)
            else:
                verdicts[profile_id] = known
        if missing:
            if len(self._gates) > GATES_MAX:
                self._gates.clear()
            for profile_id, profile in self._directory.profiles(missing).items():
                verdicts[profile_id] = self._gates[id(setting), profile_id] = gate(setting, profile.preferences)
        return verdicts

    def _refresh(self) -> None:
        revision = self._directory.revision()
        if revision != self._revision:
            self._revision = revision
            self._settings.clear()
            self._gates.clear()

    def _setting(self, tenant: str, request: Request) -> Setting | None:
        key = (tenant, request.template, request.category, tuple(request.channels or ()))
        if key not in self._settings:
            if len(self._settings) > SETTINGS_MAX:
                self._settings.clear()
                self._gates.clear()
            self._settings[key] = self._read_setting(tenant, request)
        return self._settings[key]

    def _read_setting(self, tenant: str, request: Request) -> Setting | None:
        template = self._directory.template(tenant, request.template)
        if template is None:
            return None
        name = request.category or template.category or ""
        category = self._directory.category(tenant, name) or Category(key=name)
        channels = channels_of(template, request.channels)
        sendable = {channel for channel in channels if self._directory.accounts(tenant, channel)}
        sendable.add(Channel.INAPP)
        return Setting(template, category, channels, frozenset(sendable), self._directory.defaults(tenant))

    def _gate(self, setting: Setting, profile_id: int) -> Gate:
        if profile_id == _NOBODY:
            return gate(setting, {})
        known = self._gates.get((id(setting), profile_id))
        return known if known is not None else self.gates(setting, (profile_id,))[profile_id]

    def _recipients(self, batch: Sequence[Accepted]) -> list[list[User | Recipient]]:
        wanted: dict[str, dict[str, None]] = {}
        for item in batch:
            names = wanted.setdefault(item.tenant, {})
            for recipient in item.request.to:
                if recipient.user_id:
                    names[recipient.user_id] = None
        known: dict[tuple[str, str], User] = {}
        for tenant, names in wanted.items():
            listed = list(names)
            for start in range(0, len(listed), RECIPIENTS_MAX):
                found = self._directory.users(tenant, listed[start : start + RECIPIENTS_MAX])
                known.update({(tenant, name): user for name, user in found.items()})
        return [
            [known.get((item.tenant, to.user_id), to) if to.user_id else _inline(to) for to in item.request.to]
            for item in batch
        ]

    def _suppressed(
        self, batch: Sequence[Accepted], people: Sequence[Sequence[User | Recipient]]
    ) -> dict[str, dict[tuple[str, str], str]]:
        found: dict[str, dict[tuple[str, str], str]] = {}
        wanted: dict[tuple[str, Channel], list[str]] = {}
        for tenant in {item.tenant for item in batch}:
            if not any(self._directory.has_suppressions(tenant, channel) for channel in CHANNELS):
                continue
            for item, recipients in zip(batch, people, strict=True):
                setting = self._setting(item.tenant, item.request)
                if item.tenant != tenant or setting is None:
                    continue
                users = [user for user in recipients if isinstance(user, User)]
                gates = [self._gate(setting, user.profile_id) for user in users]
                for channel, addresses in wanted_addresses(users, gates).items():
                    wanted.setdefault((tenant, channel), []).extend(addresses)
        for (tenant, channel), addresses in wanted.items():
            for address, why in self._directory.suppressed(tenant, channel, addresses).items():
                found.setdefault(tenant, {})[channel, address] = why
        return found

    def _decide(
        self,
        item: Accepted,
        setting: Setting | None,
        user: User | Recipient,
        suppressed: dict[str, dict[tuple[str, str], str]],
    ) -> list[Planned]:
        if setting is None:
            channels = item.request.channels or [Channel.INAPP]
            skip = Skip(Reason.NO_CONTENT, f"template {item.request.template} is gone")
            return [Planned(Channel(name), "", skip) for name in channels]
        if isinstance(user, Recipient):
            skip = Skip(Reason.UNKNOWN_USER, f"user {user.user_id} is gone")
            return [Planned(channel, "", skip) for channel in setting.channels]
        return decide(user, self._gate(setting, user.profile_id), suppressed.get(item.tenant, {}))

    def _row(self, item: Accepted, setting: Setting | None, user: User | Recipient, planned: Planned) -> DeliverRow:
        request = item.request
        reads = user_context(user) if setting is not None and setting.template.uses_user else None
        return DeliverRow(
            delivery_id=ids.delivery_id(item.notification_id, user.user_id, planned.channel.value, planned.address),
            tenant=item.tenant,
            user_id=user.user_id,
            address=planned.address,
            locale=user.locale,
            template=request.template,
            category=setting.category.key if setting is not None else request.category or "",
            data=request.data,
            user=reads,
            attempt=1,
            expires_ms=request.expires_ms,
            metadata=request.metadata,
            ordering_key=request.ordering_key,
            chunk=None,
        )


def user_context(user: User | Recipient) -> dict[str, Any]:
    """Return what a template may read as `user`."""
    if isinstance(user, Recipient):
        return {"id": user.user_id, "locale": user.locale, "zone": user.zone}
    return {
        **user.attributes,
        "id": user.user_id,
        "email": user.email,
        "phone": user.phone,
        "locale": user.locale,
        "zone": user.zone,
    }


def _inline(recipient: Recipient) -> User:
    contacts = recipient.contacts or {}
    devices = tuple(
        Device("inline", kind, contacts[kind]) for kind in (Channel.PUSH, Channel.WEBPUSH) if kind in contacts
    )
    return User(
        user_id="",
        ordinal=0,
        profile_id=_NOBODY,
        email=contacts.get("email"),
        phone=contacts.get("phone"),
        whatsapp=contacts.get("whatsapp"),
        chat=contacts.get("chat"),
        webhook=contacts.get("webhook"),
        locale=recipient.locale,
        zone=recipient.zone,
        devices=devices,
    )


def _timer(item: Accepted, partition: int) -> Timer:
    frame = AcceptedFrame([item.notification_id], [item.tenant], [item.accepted_ms], [item.request])
    due_ms = item.request.send_at_ms or 0
    return Timer(item.notification_id, due_ms, topics.accepted(item.lane), partition, encode(frame, 1))


class _PlannedBuilder:
    """Collects the flat columns of a `PlannedFrame`."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self._notifications: list[tuple[bytes, str, int, Request, int | None]] = []
        self._deliveries: list[tuple[int, bytes, str, str, str, int, str]] = []
        self.counts: dict[tuple[str, str], int] = {}

    def notification(self, item: Accepted, scheduled_ms: int | None) -> int:
        self._notifications.append((item.notification_id, item.tenant, item.accepted_ms, item.request, scheduled_ms))
        return len(self._notifications) - 1

    def delivery(self, index: int, row: DeliverRow, planned: Planned) -> None:
        reason, detail, verdict = 0, "", "send"
        if isinstance(planned.decision, Skip):
            reason, detail, verdict = int(planned.decision.reason), planned.decision.detail, "skip"
        key = (planned.channel.value, verdict)
        self.counts[key] = self.counts.get(key, 0) + 1
        self._deliveries.append(
            (index, row.delivery_id, row.user_id, planned.channel.value, row.address, reason, detail)
        )

    def frame(self) -> PlannedFrame:
        notifications = list(map(list, zip(*self._notifications, strict=True)))
        deliveries = list(map(list, zip(*self._deliveries, strict=True))) or [[] for _ in range(7)]
        return PlannedFrame(self._now_ms, *notifications, *deliveries)
