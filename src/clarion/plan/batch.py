"""Plans a batch of notifications: facts in, every decision made by `rules/`, the plan out."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from clarion.domain.channel import CHANNELS, Channel
from clarion.domain.decision import Reason, Skip
from clarion.domain.user import User
from clarion.journal import topics
from clarion.journal.codec import encode
from clarion.journal.events import AcceptedFrame, Recipient
from clarion.plan.claims import Claims
from clarion.plan.columns import Accepted
from clarion.plan.facts import SENDS, SendFacts, SendKey, inline
from clarion.plan.outcome import Decided, Plan, PlanWriter
from clarion.plan.rules.decide import addresses_of, decide
from clarion.plan.rules.held import settled
from clarion.plan.rules.need import Lacking, Need, merged
from clarion.plan.rules.routing import Routed
from clarion.plan.rules.setting import Planned, Setting
from clarion.plan.settings import setting_key
from clarion.plan.told import LogLine
from clarion.ports.stage_store import Timer


def decide_batch(
    items: Sequence[Accepted],
    started: Sequence[Accepted],
    facts: SendFacts,
    claims: Claims,
    partition: int,
    now_ms: int,
) -> Plan | Need:
    """Return the plan of a batch of one partition at a time (Unix ms), or what deciding it lacks; the claims are of no use
    then. `started` are those whose workflow has just started: what they send is planned by their steps."""
    scheduled = [item for item in items if (item.request.send_at_ms or 0) > now_ms]
    due = [item for item in items if (item.request.send_at_ms or 0) <= now_ms] if scheduled else items
    batch = _Batch(facts, claims, now_ms, [], [])
    decided = batch.decide(due)
    if batch.needs:
        return merged(batch.needs)
    writer = PlanWriter(partition, now_ms)
    for item in started:
        writer.notification(item, None)
    for one in decided:
        writer.write(one)
    for item in scheduled:
        writer.notification(item, item.request.send_at_ms)
    writer.timers += [_timer(item, partition) for item in scheduled]
    return writer.plan(batch.told)


class _Batch(NamedTuple):
    """What every decision of one batch may look at, and what is told of them beside the plan."""

    facts: SendFacts
    claims: Claims
    now_ms: int
    needs: list[Need]
    told: list[LogLine]

    def decide(self, items: Sequence[Accepted]) -> list[Decided]:
        """Decide a batch; if that fails, one by one, so that only the notification at fault pays for it."""
        mark = self.claims.mark()
        try:
            return list(self._together(items))
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not stop the partition for good
            self.claims.undo(mark)  # those decided before the one at fault are decided, and counted, again
            if len(items) > 1:
                return [decided for item in items for decided in self.decide([item])]
            self.told.append(LogLine("error", "planning_failed", {"tenant": items[0].tenant, "error": repr(error)}))
            return [_poisoned(items[0], error)]

    def _together(self, items: Sequence[Accepted]) -> Iterator[Decided]:
        for item in items:
            try:
                yield self._one(item)
            except Lacking as lacking:
                self.needs.extend((lacking.need, Need({SENDS: [_send_key(item)]})))

    def _one(self, item: Accepted) -> Decided:
        facts, claims, now_ms = self.facts, self.claims, self.now_ms
        setting = facts.setting(item.tenant, item.request, item.route)
        deliveries: list[tuple[User | Recipient, Routed]] = []
        for to in item.request.to:
            user = facts.user(item.tenant, to.user_id) if to.user_id else inline(to)
            if user is None:
                gone = Skip(Reason.UNKNOWN_USER, f"user {to.user_id} is gone")
                deliveries.append((to, _all_of(item, _skipped(setting, gone))))
                continue
            if item.needless:
                routed = _skipped(setting, Skip(Reason.ROUTED_ELSEWHERE, item.needless))
            else:
                gate = facts.gate(setting, user.profile_id, user.zone, now_ms)
                suppressed, room = facts.suppressed(item.tenant), claims.of(item.tenant)
                routed = decide(setting, user, gate, suppressed, room, now_ms, item.since_ms)
            deliveries.append((user, _all_of(item, routed)))
        return Decided(item, setting, deliveries)


def _skipped(setting: Setting, skip: Skip) -> Routed:
    return Routed([Planned(channel, "", skip) for channel in setting.channels], ())


def _all_of(item: Accepted, routed: Routed) -> Routed:
    """Return the deliveries with those that were held and are not decided on any more."""
    if not item.held:
        return routed
    return routed._replace(planned=settled(routed.planned, routed.planned[0].channel, item.held))


def _send_key(item: Accepted) -> SendKey:
    """Return the need of everything that deciding a notification takes."""
    to = item.request.to
    strangers = [inline(one) for one in to if not one.user_id]
    addresses = [
        (channel, address) for user in strangers for channel in CHANNELS for address in addresses_of(user, channel)
    ]
    users = tuple(one.user_id for one in to if one.user_id)
    return setting_key(item.tenant, item.request, item.route), users, tuple(addresses)


def _poisoned(item: Accepted, error: Exception) -> Decided:
    skip = Skip(Reason.POISON, f"planning failed: {type(error).__name__}")
    names = item.request.channels or [Channel.INAPP]
    planned = [Planned(Channel(name), "", skip) for name in names]
    return Decided(item, None, [(to, _all_of(item, Routed(planned, ()))) for to in item.request.to])


def _timer(item: Accepted, partition: int) -> Timer:
    frame = AcceptedFrame([item.notification_id], [item.tenant], [item.accepted_ms], [item.request])
    due_ms = item.request.send_at_ms or 0
    return Timer(item.notification_id, due_ms, topics.accepted(item.lane), partition, encode(frame, 1))
