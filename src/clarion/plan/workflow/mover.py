"""Moves single instances: the state machine decides, and its effects become cells, sends, timers and waits.

An exception in a move ends that instance as failed. `MissingFacts` does not: the whole step is decided again with more
facts.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from hashlib import blake2b
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from clarion.domain.channel import Lane
from clarion.domain.ids import NOTIFICATION_ID_BYTES, NOTIFICATION_PREFIX, write
from clarion.domain.limits import INSTANCE_BYTES_MAX
from clarion.domain.workflow import Workflow
from clarion.plan.notes import Notes
from clarion.plan.rules.need import MissingFacts, Need
from clarion.plan.rules.workflow.advance import advance
from clarion.plan.rules.workflow.state import (
    Cause,
    Deliver,
    DigestClosed,
    Ending,
    HttpCall,
    InstanceFacts,
    Join,
    Move,
    ProgressLine,
    ThrottlePass,
)
from clarion.plan.rules.workflow.throttle import times_within
from clarion.plan.wait_facts import WaitFacts
from clarion.plan.workflow.cells import Cells
from clarion.plan.workflow.digests import Digests
from clarion.plan.workflow.effects import EffectCollector
from clarion.plan.workflow.instance import INSTANCE_CELL, Instance, recipient_key
from clarion.plan.workflow.people import person
from clarion.plan.workflow.progress import ProgressColumns
from clarion.plan.workflow.values import value_of
from clarion.ports.expressions import Expressions

THROTTLE_CELL: Final = b"t"
_THROTTLE_BYTES: Final = 22
_PACK: Final = msgspec.msgpack.encode
PASSES: Final = msgspec.msgpack.Decoder(tuple[int, tuple[int, ...]])


class Mover:
    """The instances of one partition in one planning step. `expressions` only compiles texts to pure functions and
    caches these, so a move depends on its facts alone."""

    def __init__(self, facts: WaitFacts, cells: Cells, expressions: Expressions, notes: Notes, now_ms: int) -> None:
        self._facts = facts
        self._cells = cells
        self._evaluate = partial(value_of, expressions)
        self._notes = notes
        self._now_ms = now_ms
        self._instances: dict[bytes, Instance | None] = {}
        self._full: list[bytes] = []
        self.digests = Digests(cells, facts.partition, now_ms)
        self.effects = EffectCollector(facts, now_ms)
        self.progress = ProgressColumns(now_ms)

    def get(self, id_: bytes) -> Instance | None:
        """Return an open instance. Raises `MissingFacts`."""
        return self._instances[id_] if id_ in self._instances else self._facts.instance(id_)

    def move(self, id_: bytes, instance: Instance, cause: Cause) -> None:
        """Move an instance by a cause until it waits or ends. Raises `MissingFacts`."""
        state = instance.state
        if self._facts.is_broadcast_cancelled(instance.origin.broadcast):
            self.end(id_, "cancelled", instance=instance)
            return
        try:
            workflow = self._facts.definition(instance.tenant, Workflow, state.workflow, state.version)
            if workflow is None:
                self.end(id_, "failed", "the workflow is gone", instance=instance)
                return
            facts = self._facts_of(id_, instance)
            move = _bounded(instance, advance(state, workflow.body, cause, facts))
        except MissingFacts:
            raise  # unrelated to the instance
        except Exception as error:  # noqa: BLE001 - no error may stop the partition for good
            self._notes.log("error", "workflow_crashed", tenant=instance.tenant, error=repr(error))
            self.end(id_, "failed", f"internal error: {type(error).__name__}", instance=instance)
            return
        if move.state is not state or move.ended is not None:
            self._apply(id_, instance, move, workflow.body, facts.zone)

    def end(self, id_: bytes, ending: Ending, detail: str = "", *, instance: Instance | None = None) -> None:
        """End an instance at any step; one that has ended is left alone."""
        instance = instance or self.get(id_)
        if instance is not None:
            self.progress.add(id_, instance, ProgressLine(ending, instance.state.step, detail))
            self.effects.disarm(id_, instance)
            self._store(id_, None)

    def settle(self) -> None:
        """Close full digests, including those that become full by closing other digests."""
        while self._full:
            self.close(self._full.pop())

    def close(self, key: bytes) -> None:
        """Close a digest: the first open member continues with the data of all, the other members end as merged."""
        members = self.digests.close(key)
        found = self._open(members)
        alive: list[tuple[bytes, Instance]] = []
        for id_, instance in found:
            expires_ms = instance.state.expires_ms
            if expires_ms is not None and self._now_ms >= expires_ms:
                self.end(id_, "expired")
            elif self._facts.is_broadcast_cancelled(instance.origin.broadcast):
                self.end(id_, "cancelled")
            else:
                alive.append((id_, instance))
        if not alive:
            return
        leader_id, leader = alive[0]
        into = f"into {write(NOTIFICATION_PREFIX, leader_id[:NOTIFICATION_ID_BYTES])}"
        for id_, _ in alive[1:]:
            self.end(id_, "merged", into)
        self.move(leader_id, leader, DigestClosed([instance.origin.data for _, instance in alive]))

    def forget(self, key: bytes, tenant: str, lane: Lane) -> None:
        """Remove a throttle's cell if its times no longer count, else set a timer for when they will not."""
        per_ms, times_ms = _passes(self._cells, key)
        recent = times_within(times_ms, per_ms, self._now_ms)
        if recent:
            self.effects.forget(key, tenant, lane, recent[-1] + per_ms)
        else:
            self._cells.put(key, None)

    def _open(self, ids: Iterable[bytes]) -> list[tuple[bytes, Instance]]:
        """Return the open ones of the instances. Raises `MissingFacts` with all instances that were not gathered."""
        found: list[tuple[bytes, Instance]] = []
        missing_facts = Need()
        for id_ in ids:
            try:
                instance = self.get(id_)
            except MissingFacts as error:
                missing_facts |= error.need
                continue
            if instance is not None:
                found.append((id_, instance))
        if missing_facts:
            raise MissingFacts(missing_facts)
        return found

    def _apply(self, id_: bytes, before: Instance, move: Move, workflow: Workflow, zone: ZoneInfo) -> None:
        instance = msgspec.structs.replace(before, state=move.state)
        stays = move.ended is None and move.state.seq == before.state.seq
        if not stays:
            self.effects.disarm(id_, before)
        for effect in move.effects:
            match effect:
                case ProgressLine():
                    self.progress.add(id_, instance, effect)
                case Deliver():
                    self.effects.send(id_, instance, effect)
                case HttpCall():
                    self.effects.call(id_, instance, effect)
                case ThrottlePass():
                    self._pass(instance, effect)
                case Join():
                    instance = self._join(id_, instance, effect, zone)
        if move.ended is not None:
            self._store(id_, None)
            return
        if not stays:
            instance = msgspec.structs.replace(instance, state=self.effects.arm(id_, instance, workflow))
        self._store(id_, instance)

    def _join(self, id_: bytes, instance: Instance, join: Join, zone: ZoneInfo) -> Instance:
        joined = self.digests.join(id_, instance, join, zone)
        if joined.full:
            self._full.append(joined.key)
        waiting = instance.state.waiting
        if waiting is None:
            return instance
        waiting = msgspec.structs.replace(waiting, until_ms=joined.closes_ms)
        return msgspec.structs.replace(instance, state=msgspec.structs.replace(instance.state, waiting=waiting))

    def _store(self, id_: bytes, instance: Instance | None) -> None:
        self._instances[id_] = instance
        self._cells.put(INSTANCE_CELL + id_, None if instance is None else _PACK(instance))

    def _pass(self, instance: Instance, passed: ThrottlePass) -> None:
        key = throttle_key(instance, passed.step, passed.key)
        self._cells.put(key, _PACK((passed.per_ms, passed.times_ms)))
        self.effects.forget(key, instance.tenant, instance.lane, passed.times_ms[-1] + passed.per_ms)

    def _facts_of(self, id_: bytes, instance: Instance) -> InstanceFacts:
        user, zone = person(self._facts, instance.tenant, instance.recipient)
        past = _InstanceHistory(self._facts, self._cells, id_[:NOTIFICATION_ID_BYTES], instance)
        return InstanceFacts(self._now_ms, zone, instance.origin.data, user, self._evaluate, past)


class _InstanceHistory(NamedTuple):
    """The history of one instance, looked up in gathered facts."""

    facts: WaitFacts
    cells: Cells
    notification_id: bytes
    instance: Instance

    def seen_ms(self) -> int | None:
        """Return when the user last saw the notification (Unix ms), None if never."""
        user_id = self.instance.recipient.user_id
        return self.facts.seen_ms(self.instance.tenant, self.notification_id, user_id) if user_id else None

    def passed(self, step: str, key: str) -> tuple[int, ...]:
        """Return the times (Unix ms) at which a throttle step let the user pass."""
        return _passes(self.cells, throttle_key(self.instance, step, key))[1]


def _passes(cells: Cells, key: bytes) -> tuple[int, tuple[int, ...]]:
    value = cells.get(key)
    return (0, ()) if value is None else PASSES.decode(value)


def throttle_key(instance: Instance, step: str, key: str) -> bytes:
    """Return the key of the cell of a throttle step's times for the instance's user."""
    names = (instance.tenant, instance.state.workflow, step, recipient_key(instance.recipient), key)
    return THROTTLE_CELL + blake2b(_PACK(names), digest_size=_THROTTLE_BYTES).digest()


def _bounded(instance: Instance, move: Move) -> Move:
    """Return the move, or a failing one when the instance would become too large to store."""
    if move.ended is not None or move.state is instance.state:
        return move
    if len(_PACK(msgspec.structs.replace(instance, state=move.state))) <= INSTANCE_BYTES_MAX:
        return move
    line = ProgressLine("failed", move.state.step, f"state is larger than {INSTANCE_BYTES_MAX} bytes")
    made: Sequence[Any] = [
        effect for effect in move.effects if isinstance(effect, Deliver | ThrottlePass | ProgressLine)
    ]
    return Move(move.state, [*made, line], "failed")
