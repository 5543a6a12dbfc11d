"""Plans a batch of notifications: facts are read in a few queries, every decision is made by `rules/`."""

from collections.abc import Sequence
from typing import NamedTuple

from clarion.domain.channel import Channel
from clarion.domain.decision import Reason, Skip
from clarion.domain.errors import StoreUnavailable
from clarion.domain.user import User
from clarion.journal import topics
from clarion.journal.codec import encode
from clarion.journal.events import AcceptedFrame, Recipient
from clarion.plan.claims import Claims
from clarion.plan.columns import Accepted
from clarion.plan.facts import Facts, People
from clarion.plan.outcome import Decided, Plan, PlanWriter
from clarion.plan.rules.decide import decide
from clarion.plan.rules.held import settled
from clarion.plan.rules.routing import Routed
from clarion.plan.rules.setting import Planned, Setting
from clarion.ports.journal import Timer
from clarion.ports.telemetry import Telemetry


class _Batch(NamedTuple):
    """What every decision of one batch may look at."""

    claims: Claims
    suppressed: dict[str, dict[tuple[str, str], str]]
    now_ms: int


class BatchPlanner:
    """Plans batches for one process."""

    def __init__(self, facts: Facts, telemetry: Telemetry) -> None:
        self._facts = facts
        self._telemetry = telemetry

    def plan(
        self, batch: Sequence[Accepted], started: Sequence[Accepted], claims: Claims, partition: int, now_ms: int
    ) -> Plan:
        """Return the plan of a batch of one partition at a time (Unix ms). `started` are those whose workflow has just
        started: what they send is planned by their steps."""
        self._facts.refresh()
        scheduled = [item for item in batch if (item.request.send_at_ms or 0) > now_ms]
        due = [item for item in batch if (item.request.send_at_ms or 0) <= now_ms] if scheduled else batch
        writer = PlanWriter(partition, now_ms)
        for item in started:
            writer.notification(item, None)
        for decided in self._decide(due, claims, now_ms):
            writer.write(decided)
        for item in scheduled:
            writer.notification(item, item.request.send_at_ms)
        writer.timers += [_timer(item, partition) for item in scheduled]
        return writer.plan()

    def _decide(self, batch: Sequence[Accepted], claims: Claims, now_ms: int) -> list[Decided]:
        """Decide a batch; if that fails, one by one, so that only the notification at fault pays for it."""
        mark = claims.mark()
        try:
            return self._decide_together(batch, claims, now_ms)
        except StoreUnavailable:
            raise  # says nothing about the notification
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not stop the partition for good
            claims.undo(mark)  # those decided before the one at fault are decided, and counted, again
            if len(batch) > 1:
                return [decided for item in batch for decided in self._decide([item], claims, now_ms)]
            self._telemetry.log("error", "planning_failed", tenant=batch[0].tenant, error=repr(error))
            return [_poisoned(batch[0], error)]

    def _decide_together(self, batch: Sequence[Accepted], claims: Claims, now_ms: int) -> list[Decided]:
        people = self._facts.recipients(batch)
        settings = [self._facts.setting(item.tenant, item.request, item.route) for item in batch]
        self._facts.load_gates(settings, people, now_ms)
        shared = _Batch(claims, self._facts.suppressed(batch, people, now_ms), now_ms)
        _load_caps(batch, settings, people, claims)
        return [
            Decided(
                item, setting, [(user, _all_of(item, self._one(item, setting, user, shared))) for user in recipients]
            )
            for item, setting, recipients in zip(batch, settings, people, strict=True)
        ]

    def _one(self, item: Accepted, setting: Setting, user: User | Recipient, shared: _Batch) -> Routed:
        if isinstance(user, Recipient):
            return _skipped(setting, Skip(Reason.UNKNOWN_USER, f"user {user.user_id} is gone"))
        if item.needless:
            return _skipped(setting, Skip(Reason.ROUTED_ELSEWHERE, item.needless))
        gate = self._facts.gate(setting, user.profile_id, user.zone, shared.now_ms)
        suppressed = shared.suppressed.get(item.tenant, _NONE)
        return decide(setting, user, gate, suppressed, shared.claims.of(item.tenant), shared.now_ms, item.since_ms)


def _skipped(setting: Setting, skip: Skip) -> Routed:
    return Routed([Planned(channel, "", skip) for channel in setting.channels], ())


def _all_of(item: Accepted, routed: Routed) -> Routed:
    """Return the deliveries with those that were held and are not decided on any more."""
    if not item.held:
        return routed
    return routed._replace(planned=settled(routed.planned, routed.planned[0].channel, item.held))


_NONE: dict[tuple[str, str], str] = {}


def _load_caps(batch: Sequence[Accepted], settings: Sequence[Setting], people: People, claims: Claims) -> None:
    """Read the cap times of everyone who may be under a cap, one query a cap."""
    wanted: dict[tuple[str, int], tuple[Setting, set[int]]] = {}
    for item, setting, recipients in zip(batch, settings, people, strict=True):
        if setting.caps:
            _, ordinals = wanted.setdefault((item.tenant, id(setting)), (setting, set()))
            ordinals.update(user.ordinal for user in recipients if isinstance(user, User) and user.ordinal)
    for (tenant, _), (setting, ordinals) in wanted.items():
        for cap in setting.caps:
            claims.load(tenant, cap, ordinals)


def _poisoned(item: Accepted, error: Exception) -> Decided:
    skip = Skip(Reason.POISON, f"planning failed: {type(error).__name__}")
    names = item.request.channels or [Channel.INAPP]
    planned = [Planned(Channel(name), "", skip) for name in names]
    return Decided(item, None, [(to, _all_of(item, Routed(planned, ()))) for to in item.request.to])


def _timer(item: Accepted, partition: int) -> Timer:
    frame = AcceptedFrame([item.notification_id], [item.tenant], [item.accepted_ms], [item.request])
    due_ms = item.request.send_at_ms or 0
    return Timer(item.notification_id, due_ms, topics.accepted(item.lane), partition, encode(frame, 1))
