"""Prefetch of the facts that a batch needs for its waiting work, in a few rounds of reading.

It decides nothing and may be wrong: an unneeded fact costs a read, a missing one a second decision.
"""

from collections import defaultdict
from collections.abc import Generator, Hashable, Iterable, Sequence
from typing import Any, TypeAlias

import msgspec

from clarion.domain.channel import Lane
from clarion.domain.ids import NOTIFICATION_ID_BYTES, partition_for
from clarion.domain.policy import POLICY_KEY, Policy
from clarion.domain.workflow import Digest, Throttle, Workflow
from clarion.journal.events import AdvanceFrame, Event, OccurrenceFrame, Recipient, ResumeFrame, SignalFrame
from clarion.plan.columns import PlanItem
from clarion.plan.facts import user_context
from clarion.plan.resume import likely_items, resumptions
from clarion.plan.resume import prefetch_keys as resumption_keys
from clarion.plan.rules.need import Need
from clarion.plan.schedules.firing import prefetch_keys as occurrence_keys
from clarion.plan.wait_facts import (
    BROADCASTS,
    CATEGORIES,
    CELLS,
    CELLS_UNDER,
    DEFINITIONS,
    PEOPLE,
    SEEN_RECEIPTS,
    WAITS,
    WaitFacts,
)
from clarion.plan.work import Work
from clarion.plan.workflow.digests import digest_key, is_due
from clarion.plan.workflow.effects import of_subject, request_for
from clarion.plan.workflow.instance import (
    INSTANCE_CELL,
    AdvanceRow,
    Instance,
    Start,
    advance_rows,
    begun,
    instance_id,
    recipient_key,
)
from clarion.plan.workflow.instance_step import CANCEL_KEY, START
from clarion.plan.workflow.mover import throttle_key
from clarion.plan.workflow.next_steps import NO_NEXT_STEPS, NextSteps, next_steps
from clarion.plan.workflow.values import value_of
from clarion.ports.expressions import Expressions

Asking: TypeAlias = Generator[Need, WaitFacts, list[PlanItem]]
"""Yields the needs to read next and is sent the facts with them; returns placeholders of the notifications that will be
sent, with their request facts' keys and recipients, for the prefetch of sends."""


def starting(work: Work) -> Iterable[bytes]:
    """Yield the notifications whose instances begin now."""
    yield from (item.notification_id for item in work.started)
    for _, event in work.others:
        if isinstance(event, AdvanceFrame):
            rows = zip(event.instance_ids, event.causes, strict=True)
            yield from (id_[:NOTIFICATION_ID_BYTES] for id_, cause in rows if cause == "start")


def resuming(work: Work) -> list[PlanItem]:
    """Return placeholders of the notifications that resumed routes and held channels will send."""
    return [
        item
        for lane, event in work.others
        if isinstance(event, ResumeFrame)
        for row in resumptions(lane, event)
        for item in likely_items(row)
    ]


def prefetch(work: Work, facts: WaitFacts, expressions: Expressions, now_ms: int) -> Asking:
    """Yield the needs of a batch, in as many rounds as facts depend on each other: four at most. `facts` include the
    cached definitions, which then need no round."""
    prefetch_round = _Prefetch(work, facts, expressions, now_ms)
    facts = yield prefetch_round.take_need()
    prefetch_round.go_on(facts)
    prefetch_round.follow(facts)
    while need := prefetch_round.take_need():
        facts = yield need
        prefetch_round.go_on(facts)
    return prefetch_round.sends()


class _Prefetch:
    """The progress of one batch's prefetch."""

    def __init__(self, work: Work, facts: WaitFacts, expressions: Expressions, now_ms: int) -> None:
        self._expressions = expressions
        self._now_ms = now_ms
        self._wanted: dict[str, set[Hashable]] = defaultdict(set)
        self._ids: list[bytes] = []  # of instances whose cells were requested last
        self._groups: list[list[bytes]] = []  # the same, for digests that close
        self._open: list[tuple[bytes, Instance]] = []  # whose definitions were requested last
        self._keyed: list[tuple[Instance, Digest | Throttle]] = []  # the same, for their users
        self._facts = facts
        self._digests: list[bytes] = []
        self._signals: list[tuple[str, bytes]] = []
        self._occurrences: list[OccurrenceFrame] = []
        self._outlooks: dict[tuple[str, str, int, str], NextSteps] = {}
        self._sends: dict[tuple[str, str, int, str | None, str], tuple[PlanItem, list[Recipient]]] = {}
        for item in work.started:
            for to in item.request.to:
                if partition_for(item.tenant, recipient_key(to), facts.partitions) == facts.partition:
                    start = Start(item.accepted_ms, msgspec.structs.replace(item.request, to=[to]))
                    self._begin(instance_id(item.notification_id, to), item.lane, item.tenant, start)
        for lane, event in work.others:
            self._look_at(lane, event)

    def take_need(self) -> Need:
        """Return the needs of the next round."""
        need = Need(self._wanted)
        self._wanted = defaultdict(set)
        return need

    def go_on(self, facts: WaitFacts) -> None:
        """Advance every instance by one round: from its cell to its user and definitions, from there to its next
        steps."""
        ids, groups, ahead, keyed = self._ids, self._groups, self._open, self._keyed
        self._ids, self._groups, self._open, self._keyed = [], [], [], []
        self._facts = facts
        for instance, step in keyed:
            self._look_under(instance, step)
        for id_, instance in ahead:
            self._ahead(id_, instance)
        for id_ in ids:
            found = facts.instance(id_)
            if found is not None:
                self._about(id_, found)
        for group in groups:
            self._leader(group, facts)

    def follow(self, facts: WaitFacts) -> None:
        """Add the instances that signals, cancellations and digests lead to, and the definitions that schedules
        name."""
        for tenant, key in self._signals:
            for subject in facts.waits(tenant, key):
                if key.startswith(CANCEL_KEY):
                    self._want(CELLS_UNDER, INSTANCE_CELL + subject)
                else:
                    self._ids.append(of_subject(subject)[0])
        for subject in facts.cancellations.subjects if facts.cancellations else ():
            self._want(CELLS_UNDER, INSTANCE_CELL + subject)
        for key in self._digests:
            if is_due(facts.cell(key), self._now_ms):
                self._groups.append([value for cell, value in facts.cells_under(key).items() if cell != key])
        for id_ in (*self._ids, *(id_ for group in self._groups for id_ in group)):
            self._want(CELLS, INSTANCE_CELL + id_)
        for frame in self._occurrences:
            self._want_all(occurrence_keys(frame, facts))

    def sends(self) -> list[PlanItem]:
        """Return the notifications that steps will probably send: one item per step, with all its recipients."""
        return [
            item._replace(request=msgspec.structs.replace(item.request, to=to)) for item, to in self._sends.values()
        ]

    def _want(self, kind: str, key: Hashable) -> None:
        self._wanted[kind].add(key)

    def _want_all(self, keys: Iterable[tuple[str, Hashable]]) -> None:
        for kind, key in keys:
            self._wanted[kind].add(key)

    def _look_at(self, lane: Lane, event: Event) -> None:
        match event:
            case AdvanceFrame():
                for row in advance_rows(event):
                    self._look_at_row(lane, row)
            case SignalFrame():
                self._signals += zip(event.tenants, event.keys, strict=True)
                self._wanted[WAITS].update(self._signals)
            case ResumeFrame():
                for resumed in resumptions(lane, event):
                    self._want_all(resumption_keys(resumed))
            case OccurrenceFrame():
                self._occurrences.append(event)
                self._want_all(occurrence_keys(event))
            case _:
                pass  # waits for nothing

    def _look_at_row(self, lane: Lane, row: AdvanceRow) -> None:
        match row.cause:
            case "start":
                self._begin(row.instance_id, lane, row.tenant, START.decode(row.payload))
            case "digest":
                self._want(CELLS, row.payload)
                self._want(CELLS_UNDER, row.payload)
                self._digests.append(row.payload)
            case "forget":
                self._want(CELLS, row.payload)
            case _:
                self._want(CELLS, INSTANCE_CELL + row.instance_id)
                if row.cause != "expire":
                    self._ids.append(row.instance_id)

    def _begin(self, id_: bytes, lane: Lane, tenant: str, start: Start) -> None:
        self._want(CELLS, INSTANCE_CELL + id_)
        self._about(id_, begun(tenant, lane, start, self._now_ms))

    def _about(self, id_: bytes, instance: Instance) -> None:
        tenant, state = instance.tenant, instance.state
        workflow = (tenant, Workflow, state.workflow, state.version)
        self._want(DEFINITIONS, workflow)
        self._want(DEFINITIONS, (tenant, Policy, POLICY_KEY, None))
        if instance.recipient.user_id:
            self._want(PEOPLE, (tenant, instance.recipient.user_id))
        if instance.origin.broadcast:
            self._want(BROADCASTS, instance.origin.broadcast)
        if self._facts.knows(DEFINITIONS, workflow):
            self._ahead(id_, instance)
        else:
            self._open.append((id_, instance))

    def _leader(self, group: Sequence[bytes], facts: WaitFacts) -> None:
        """Add the needs of the instance that continues with a digest, the first that has not expired, and the
        cancellation state of all members' broadcasts."""
        members = [(id_, instance) for id_ in group if (instance := facts.instance(id_)) is not None]
        alive = (one for one in members if (one[1].state.expires_ms or self._now_ms + 1) > self._now_ms)
        leader = next(alive, None)
        if leader is not None:
            self._about(*leader)
        for _, instance in members:
            if instance.origin.broadcast:
                self._want(BROADCASTS, instance.origin.broadcast)

    def _ahead(self, id_: bytes, instance: Instance) -> None:
        """Add the needs of the steps that come next."""
        tenant, origin, recipient = instance.tenant, instance.origin, instance.recipient
        ahead = self._next_steps(instance)
        if ahead.asks_seen and recipient.user_id:
            self._want(SEEN_RECEIPTS, (tenant, id_[:NOTIFICATION_ID_BYTES], recipient.user_id))
        for step in ahead.sends:
            if step.category:
                self._want(CATEGORIES, (tenant, step.category))
            like = (tenant, instance.state.workflow, instance.state.version, origin.category, step.name)
            known = self._sends.get(like)
            if known is None:
                asked = request_for(step, origin, instance.lane, {})
                item = PlanItem(instance.lane, b"", tenant, 0, asked, step.name, step.route)
                known = self._sends[like] = (item, [])
            known[1].append(recipient)
        user = (tenant, recipient.user_id)
        for keyed in ahead.keyed:
            # Whether a key uses the user is unknown without parsing the expression; the word is enough of a hint.
            if "user" in (keyed.key or "") and recipient.user_id and not self._facts.knows(PEOPLE, user):
                self._keyed.append((instance, keyed))
            else:
                self._look_under(instance, keyed)

    def _look_under(self, instance: Instance, keyed: Digest | Throttle) -> None:
        """Add the cell of a step that has a key."""
        key = self._key(keyed.key, instance)
        if key is not None:
            make = digest_key if isinstance(keyed, Digest) else throttle_key
            self._want(CELLS, make(instance, keyed.name, key))

    def _next_steps(self, instance: Instance) -> NextSteps:
        state = instance.state
        place = (instance.tenant, state.workflow, state.version, state.step)
        known = self._outlooks.get(place)
        if known is None:
            try:
                found = self._facts.definition(instance.tenant, Workflow, state.workflow, state.version)
                known = next_steps(found.body, state.step) if found is not None else NO_NEXT_STEPS
            except Exception:  # noqa: BLE001 - the move will report it, and fail alone
                known = NO_NEXT_STEPS
            self._outlooks[place] = known
        return known

    def _key(self, expression: str | None, instance: Instance) -> str | None:
        """Return the probable value of a step's key, None when it has none yet."""
        if expression is None:
            return ""
        state = instance.state
        try:
            names = {
                "data": instance.origin.data, "user": self._user(instance), "steps": state.results,
                "vars": state.variables, "digest": state.digest,
            }  # fmt: skip
            return str(value_of(self._expressions, expression, names))
        except Exception:  # noqa: BLE001 - earlier steps may still give it a value; if not, the move reports it
            return None

    def _user(self, instance: Instance) -> dict[str, Any]:
        """Return the known values of an instance's user."""
        tenant, recipient = instance.tenant, instance.recipient
        if recipient.user_id and self._facts.knows(PEOPLE, (tenant, recipient.user_id)):
            return user_context(self._facts.user(tenant, recipient.user_id) or recipient)
        return user_context(recipient)
