"""What a batch will look at on the waiting side, found out in a few rounds of reading.

It decides nothing and may be wrong: what it asks for in vain costs a read, what it does not foresee a second decision.
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
from clarion.plan.columns import Accepted
from clarion.plan.facts import user_context
from clarion.plan.resume import expected, resumptions
from clarion.plan.resume import foreseen as resumption_looks_at
from clarion.plan.rules.need import Need
from clarion.plan.schedules.firing import foreseen as occurrence_looks_at
from clarion.plan.wait_facts import (
    BROADCASTS,
    CATEGORIES,
    CELLS,
    CELLS_UNDER,
    DEFINITIONS,
    PEOPLE,
    SIGHTINGS,
    WAITS,
    WaitFacts,
)
from clarion.plan.work import Work
from clarion.plan.workflow.digests import digest_key, is_due
from clarion.plan.workflow.instance import (
    INSTANCE_CELL,
    AdvanceRow,
    Instance,
    Start,
    advance_rows,
    begun,
    instance_id,
    owner_of,
)
from clarion.plan.workflow.mover import throttle_key
from clarion.plan.workflow.outbox import of_subject, request_for
from clarion.plan.workflow.outlook import NO_OUTLOOK, Outlook, outlook
from clarion.plan.workflow.turn import CANCEL_KEY, START
from clarion.plan.workflow.values import value_of
from clarion.ports.expressions import Expressions

Asking: TypeAlias = Generator[Need, WaitFacts, list[Accepted]]
"""Yields what to read next and is sent the facts with it; returns stand-ins of what will be sent, for whoever foresees
sending: same settings, same recipients."""


def starting(work: Work) -> Iterable[bytes]:
    """Yield the notifications whose instances begin now."""
    yield from (item.notification_id for item in work.started)
    for _, event in work.others:
        if isinstance(event, AdvanceFrame):
            rows = zip(event.instance_ids, event.causes, strict=True)
            yield from (id_[:NOTIFICATION_ID_BYTES] for id_, cause in rows if cause == "start")


def resuming(work: Work) -> list[Accepted]:
    """Return stand-ins of what routes and held channels that go on will send."""
    return [
        item
        for lane, event in work.others
        if isinstance(event, ResumeFrame)
        for row in resumptions(lane, event)
        for item in expected(row)
    ]


def foresee(work: Work, facts: WaitFacts, expressions: Expressions, now_ms: int) -> Asking:
    """Ask for what a batch will look at, in as many rounds as one fact leads to another: four at most. `facts` hold what is
    kept of definitions, so that no round is spent on these."""
    sight = _Sight(work, facts, expressions, now_ms)
    facts = yield sight.take_need()
    sight.go_on(facts)
    sight.follow(facts)
    while need := sight.take_need():
        facts = yield need
        sight.go_on(facts)
    return sight.sends()


class _Sight:
    """How far one batch has been looked through."""

    def __init__(self, work: Work, facts: WaitFacts, expressions: Expressions, now_ms: int) -> None:
        self._expressions = expressions
        self._now_ms = now_ms
        self._wanted: dict[str, set[Hashable]] = defaultdict(set)
        self._ids: list[bytes] = []  # of instances whose cells were asked for last
        self._groups: list[list[bytes]] = []  # the same, of digests that close
        self._open: list[tuple[bytes, Instance]] = []  # whose definitions were asked for last
        self._keyed: list[tuple[Instance, Digest | Throttle]] = []  # the same, whose users were
        self._facts = facts
        self._digests: list[bytes] = []
        self._signals: list[tuple[str, bytes]] = []
        self._occurrences: list[OccurrenceFrame] = []
        self._outlooks: dict[tuple[str, str, int, str], Outlook] = {}
        self._sends: dict[tuple[str, str, int, str | None, str], tuple[Accepted, list[Recipient]]] = {}
        for item in work.started:
            for to in item.request.to:
                if partition_for(item.tenant, owner_of(to), facts.partitions) == facts.partition:
                    start = Start(item.accepted_ms, msgspec.structs.replace(item.request, to=[to]))
                    self._begin(instance_id(item.notification_id, to), item.lane, item.tenant, start)
        for lane, event in work.others:
            self._look_at(lane, event)

    def take_need(self) -> Need:
        """Return what is to be read next."""
        need = Need(self._wanted)
        self._wanted = defaultdict(set)
        return need

    def go_on(self, facts: WaitFacts) -> None:
        """Take every instance one look further: from its cell to who it is about, from there to the steps ahead of it."""
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
        """Look at whom signals, cancellations and digests lead to, and at what schedules name."""
        for tenant, key in self._signals:
            for subject in facts.waits(tenant, key):
                if key.startswith(CANCEL_KEY):
                    self._want(CELLS_UNDER, INSTANCE_CELL + subject)
                else:
                    self._ids.append(of_subject(subject)[0])
        for subject in facts.news.subjects if facts.news else ():
            self._want(CELLS_UNDER, INSTANCE_CELL + subject)
        for key in self._digests:
            if is_due(facts.cell(key), self._now_ms):
                self._groups.append([value for cell, value in facts.cells_under(key).items() if cell != key])
        for id_ in (*self._ids, *(id_ for group in self._groups for id_ in group)):
            self._want(CELLS, INSTANCE_CELL + id_)
        for frame in self._occurrences:
            self._want_all(occurrence_looks_at(frame, facts))

    def sends(self) -> list[Accepted]:
        """Return what steps will probably send: an item for each, with all its recipients."""
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
                    self._want_all(resumption_looks_at(resumed))
            case OccurrenceFrame():
                self._occurrences.append(event)
                self._want_all(occurrence_looks_at(event))
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
        """Look at who goes on with a digest: the first that has not expired. Of all it counts whether they were cancelled."""
        members = [(id_, instance) for id_ in group if (instance := facts.instance(id_)) is not None]
        alive = (one for one in members if (one[1].state.expires_ms or self._now_ms + 1) > self._now_ms)
        leader = next(alive, None)
        if leader is not None:
            self._about(*leader)
        for _, instance in members:
            if instance.origin.broadcast:
                self._want(BROADCASTS, instance.origin.broadcast)

    def _ahead(self, id_: bytes, instance: Instance) -> None:
        """Look at the steps that come next."""
        tenant, origin, recipient = instance.tenant, instance.origin, instance.recipient
        ahead = self._outlook(instance)
        if ahead.asks_seen and recipient.user_id:
            self._want(SIGHTINGS, (tenant, id_[:NOTIFICATION_ID_BYTES], recipient.user_id))
        for step in ahead.sends:
            if step.category:
                self._want(CATEGORIES, (tenant, step.category))
            like = (tenant, instance.state.workflow, instance.state.version, origin.category, step.name)
            known = self._sends.get(like)
            if known is None:
                asked = request_for(step, origin, instance.lane, {})
                item = Accepted(instance.lane, b"", tenant, 0, asked, step.name, step.route)
                known = self._sends[like] = (item, [])
            known[1].append(recipient)
        user = (tenant, recipient.user_id)
        for keyed in ahead.keyed:
            # Whether a key names the user cannot be told without reading it as an expression; the word is hint enough.
            if "user" in (keyed.key or "") and recipient.user_id and not self._facts.knows(PEOPLE, user):
                self._keyed.append((instance, keyed))
            else:
                self._look_under(instance, keyed)

    def _look_under(self, instance: Instance, keyed: Digest | Throttle) -> None:
        """Look at the cell of a step that has a key."""
        key = self._key(keyed.key, instance)
        if key is not None:
            make = digest_key if isinstance(keyed, Digest) else throttle_key
            self._want(CELLS, make(instance, keyed.name, key))

    def _outlook(self, instance: Instance) -> Outlook:
        state = instance.state
        place = (instance.tenant, state.workflow, state.version, state.step)
        known = self._outlooks.get(place)
        if known is None:
            try:
                found = self._facts.definition(instance.tenant, Workflow, state.workflow, state.version)
                known = outlook(found.body, state.step) if found is not None else NO_OUTLOOK
            except Exception:  # noqa: BLE001 - the move will tell of it, and fail alone
                known = NO_OUTLOOK
            self._outlooks[place] = known
        return known

    def _key(self, expression: str | None, instance: Instance) -> str | None:
        """Return the key that a step will probably come to."""
        if expression is None:
            return ""
        state = instance.state
        try:
            names = {
                "data": instance.origin.data, "user": self._user(instance), "steps": state.results,
                "vars": state.variables, "digest": state.digest,
            }  # fmt: skip
            return str(value_of(self._expressions, expression, names))
        except Exception:  # noqa: BLE001 - steps before it may have to give it a value; if not, the move will tell
            return None

    def _user(self, instance: Instance) -> dict[str, Any]:
        """Return what is known of whom an instance is about."""
        tenant, recipient = instance.tenant, instance.recipient
        if recipient.user_id and self._facts.knows(PEOPLE, (tenant, recipient.user_id)):
            return user_context(self._facts.user(tenant, recipient.user_id) or recipient)
        return user_context(recipient)
