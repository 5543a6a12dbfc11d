"""Plans a batch of accepted frames: facts are read in a few queries, every decision is made by `rules/`."""

from collections.abc import Sequence
from typing import NamedTuple

from clarion.domain import ids
from clarion.domain.channel import CHANNELS, Channel, Lane
from clarion.domain.decision import Reason, Send, Skip
from clarion.domain.errors import StoreUnavailable
from clarion.domain.limits import FRAME_RECORDS_MAX
from clarion.domain.user import User
from clarion.journal import topics
from clarion.journal.codec import encode
from clarion.journal.events import AcceptedFrame, Recipient
from clarion.journal.rows import DeliverRow, cut_frames
from clarion.plan.columns import Accepted, Plan, PlannedColumns
from clarion.plan.facts import Facts, user_context
from clarion.plan.rules.decide import Planned, Setting, addresses_of, decide
from clarion.ports.journal import Frame, Timer
from clarion.ports.telemetry import Telemetry


class _Decided(NamedTuple):
    """A notification with every delivery decided."""

    item: Accepted
    setting: Setting | None
    deliveries: list[tuple[User | Recipient, Planned]]


class BatchPlanner:
    """Plans batches for one process."""

    def __init__(self, facts: Facts, telemetry: Telemetry) -> None:
        self._facts = facts
        self._telemetry = telemetry

    def plan(self, batch: Sequence[Accepted], partition: int, now_ms: int) -> Plan:
        """Return the plan of a batch of one partition at a time (Unix ms)."""
        self._facts.refresh()
        scheduled = [item for item in batch if (item.request.send_at_ms or 0) > now_ms]
        due = [item for item in batch if (item.request.send_at_ms or 0) <= now_ms]
        columns = PlannedColumns(now_ms)
        rows: dict[tuple[Channel, Lane], list[DeliverRow]] = {}
        seen: set[bytes] = set()
        for item, setting, deliveries in self._decide(due):
            index = columns.notification(item, None)
            for user, planned in deliveries:
                row = _row(item, setting, user, planned)
                if row.delivery_id in seen:
                    continue  # two inline recipients of one request share an address
                seen.add(row.delivery_id)
                columns.delivery(index, row, planned)
                if isinstance(planned.decision, Send):
                    rows.setdefault((planned.channel, item.lane), []).append(row)
        for item in scheduled:
            columns.notification(item, item.request.send_at_ms)
        frames = [
            frame
            for (channel, lane), part in rows.items()
            for frame in cut_frames(topics.deliver(channel, lane), partition, part, FRAME_RECORDS_MAX)
        ]
        if batch:
            frames.append(Frame(topics.OUTCOMES, partition, len(batch), encode(columns.frame(), len(batch))))
        return Plan(frames, [_timer(item, partition) for item in scheduled], columns.counts)

    def _decide(self, batch: Sequence[Accepted]) -> list[_Decided]:
        """Decide a batch; if that fails, one by one, so that only the notification at fault pays for it."""
        try:
            return self._decide_together(batch)
        except StoreUnavailable:
            raise  # says nothing about the notification
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not stop the partition for good
            if len(batch) > 1:
                return [decided for item in batch for decided in self._decide([item])]
            self._telemetry.log("error", "planning_failed", tenant=batch[0].tenant, error=repr(error))
            return [_poisoned(batch[0], error)]

    def _decide_together(self, batch: Sequence[Accepted]) -> list[_Decided]:
        people = self._facts.recipients(batch)
        suppressed = self._facts.suppressed(batch, people)
        decided = []
        for item, recipients in zip(batch, people, strict=True):
            setting = self._facts.setting(item.tenant, item.request)
            dead = suppressed.get(item.tenant, {})
            pairs = [(user, one) for user in recipients for one in self._decide_one(setting, user, dead)]
            decided.append(_Decided(item, setting, pairs))
        return decided

    def _decide_one(
        self, setting: Setting, user: User | Recipient, suppressed: dict[tuple[str, str], str]
    ) -> list[Planned]:
        if isinstance(user, Recipient):
            skip = Skip(Reason.UNKNOWN_USER, f"user {user.user_id} is gone")
            return [Planned(channel, "", skip) for channel in setting.channels]
        return decide(user, self._facts.gate(setting, user.profile_id), suppressed)


def _poisoned(item: Accepted, error: Exception) -> _Decided:
    skip = Skip(Reason.POISON, f"planning failed: {type(error).__name__}")
    names = item.request.channels or [Channel.INAPP]
    return _Decided(item, None, [(to, Planned(Channel(name), "", skip)) for to in item.request.to for name in names])


def _row(item: Accepted, setting: Setting | None, user: User | Recipient, planned: Planned) -> DeliverRow:
    request = item.request
    reads = user_context(user) if setting is not None and setting.template.uses_user else None
    address = planned.address
    # Inline recipients have no id: what cannot reach them is told apart by the contact they were given with.
    nobody = not user.user_id and not address
    return DeliverRow(
        delivery_id=ids.delivery_id(
            item.notification_id, user.user_id, planned.channel.value, address, _contact(user) if nobody else ""
        ),
        tenant=item.tenant,
        user_id=user.user_id,
        address=address,
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


def _contact(user: User | Recipient) -> str:
    if isinstance(user, Recipient):
        return next(iter((user.contacts or {}).values()), "")
    return next((address for channel in CHANNELS for address in addresses_of(user, channel)), "")


def _timer(item: Accepted, partition: int) -> Timer:
    frame = AcceptedFrame([item.notification_id], [item.tenant], [item.accepted_ms], [item.request])
    due_ms = item.request.send_at_ms or 0
    return Timer(item.notification_id, due_ms, topics.accepted(item.lane), partition, encode(frame, 1))
