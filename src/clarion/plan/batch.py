"""Plans a batch of notifications: facts in, the plan out; `rules/` makes every decision."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from clarion.domain.channel import CHANNELS, Channel
from clarion.domain.decision import Reason, Skip
from clarion.domain.user import User
from clarion.journal import topics
from clarion.journal.codec import encode
from clarion.journal.events import AcceptedFrame, Recipient
from clarion.plan.claims import Claims
from clarion.plan.columns import PlanItem
from clarion.plan.facts import SENDS, SendFacts, SendKey, inline
from clarion.plan.log_lines import LogLine
from clarion.plan.plan_writer import DecidedItem, Plan, PlanWriter
from clarion.plan.request_facts import request_facts_key
from clarion.plan.rules.decide import addresses_of, decide
from clarion.plan.rules.held import settle
from clarion.plan.rules.need import MissingFacts, Need, merged
from clarion.plan.rules.request_facts import Planned, RequestFacts
from clarion.plan.rules.routing import Routed
from clarion.ports.stage_store import Timer


def decide_batch(
    items: Sequence[PlanItem],
    started: Sequence[PlanItem],
    facts: SendFacts,
    claims: Claims,
    partition: int,
    now_ms: int,
) -> Plan | Need:
    """Return the plan of a batch of one partition at a time (Unix ms), or the missing facts; the claims must then be
    discarded. `started` are items whose workflow has just started: their steps plan their deliveries."""
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
    return writer.plan(batch.log_lines)


class _Batch(NamedTuple):
    """The inputs of every decision of one batch, and the missing facts and log lines that the decisions produce."""

    facts: SendFacts
    claims: Claims
    now_ms: int
    needs: list[Need]
    log_lines: list[LogLine]

    def decide(self, items: Sequence[PlanItem]) -> list[DecidedItem]:
        """Decide a batch; if that fails, decide one by one, so that only the notification at fault is skipped."""
        mark = self.claims.mark()
        try:
            return list(self._decide_all(items))
        except Exception as error:  # noqa: BLE001 - no error may stop the partition for good
            self.claims.undo(mark)  # items decided before the one at fault are decided and counted again
            if len(items) > 1:
                return [decided for item in items for decided in self.decide([item])]
            self.log_lines.append(
                LogLine("error", "planning_failed", {"tenant": items[0].tenant, "error": repr(error)})
            )
            return [_poison_result(items[0], error)]

    def _decide_all(self, items: Sequence[PlanItem]) -> Iterator[DecidedItem]:
        for item in items:
            try:
                yield self._decide_one(item)
            except MissingFacts as missing_facts:
                self.needs.extend((missing_facts.need, Need({SENDS: [_send_key(item)]})))

    def _decide_one(self, item: PlanItem) -> DecidedItem:
        facts, claims, now_ms = self.facts, self.claims, self.now_ms
        request_facts = facts.request_facts_of(item.tenant, item.request, item.route)
        deliveries: list[tuple[User | Recipient, Routed]] = []
        for to in item.request.to:
            user = facts.user(item.tenant, to.user_id) if to.user_id else inline(to)
            if user is None:
                removed = Skip(Reason.UNKNOWN_USER, f"user {to.user_id} is gone")
                deliveries.append((to, _all_of(item, _skipped(request_facts, removed))))
                continue
            if item.needless:
                routed = _skipped(request_facts, Skip(Reason.ROUTED_ELSEWHERE, item.needless))
            else:
                gate = facts.gate(request_facts, user.profile_id, user.zone, now_ms)
                suppressed, room = facts.suppressed(item.tenant), claims.of(item.tenant)
                routed = decide(request_facts, user, gate, suppressed, room, now_ms, item.since_ms)
            deliveries.append((user, _all_of(item, routed)))
        return DecidedItem(item, request_facts, deliveries)


def _skipped(request_facts: RequestFacts, skip: Skip) -> Routed:
    return Routed([Planned(channel, "", skip) for channel in request_facts.channels], ())


def _all_of(item: PlanItem, routed: Routed) -> Routed:
    """Return the deliveries together with held ones that the decision no longer covers."""
    if not item.held:
        return routed
    return routed._replace(planned=settle(routed.planned, routed.planned[0].channel, item.held))


def _send_key(item: PlanItem) -> SendKey:
    """Return the key of all facts that deciding a notification needs."""
    to = item.request.to
    strangers = [inline(one) for one in to if not one.user_id]
    addresses = [
        (channel, address) for user in strangers for channel in CHANNELS for address in addresses_of(user, channel)
    ]
    users = tuple(one.user_id for one in to if one.user_id)
    return request_facts_key(item.tenant, item.request, item.route), users, tuple(addresses)


def _poison_result(item: PlanItem, error: Exception) -> DecidedItem:
    skip = Skip(Reason.POISON, f"planning failed: {type(error).__name__}")
    names = item.request.channels or [Channel.INAPP]
    planned = [Planned(Channel(name), "", skip) for name in names]
    return DecidedItem(item, None, [(to, _all_of(item, Routed(planned, ()))) for to in item.request.to])


def _timer(item: PlanItem, partition: int) -> Timer:
    frame = AcceptedFrame([item.notification_id], [item.tenant], [item.accepted_ms], [item.request])
    due_ms = item.request.send_at_ms or 0
    return Timer(item.notification_id, due_ms, topics.accepted(item.lane), partition, encode(frame, 1))
