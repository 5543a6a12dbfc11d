"""Moves single instances: the machine decides, and its effects go to cells and outbox.

An exception in a move ends the one instance as failed. `Lacking` does not: the whole step is decided again with more facts.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from hashlib import blake2b
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from clarion.domain.channel import Lane
from clarion.domain.ids import NOTIFICATION_ID_BYTES, NOTIFICATION_PREFIX, write
from clarion.domain.limits_deciding import INSTANCE_BYTES_MAX
from clarion.domain.workflow import Workflow
from clarion.plan.notes import Notes
from clarion.plan.rules.need import Lacking, Need
from clarion.plan.rules.workflow.advance import advance
from clarion.plan.rules.workflow.state import (
    Call,
    Cause,
    Closed,
    Deliver,
    Ending,
    Facts,
    Join,
    Move,
    Passed,
    Told,
)
from clarion.plan.rules.workflow.throttle import still_counting
from clarion.plan.wait_facts import WaitFacts
from clarion.plan.workflow.cells import Cells
from clarion.plan.workflow.digests import Digests
from clarion.plan.workflow.instance import INSTANCE_CELL, Instance, owner_of
from clarion.plan.workflow.outbox import Outbox
from clarion.plan.workflow.people import person
from clarion.plan.workflow.progress import Progress
from clarion.plan.workflow.values import value_of
from clarion.ports.expressions import Expressions

THROTTLE_CELL: Final = b"t"
_THROTTLE_BYTES: Final = 22
_PACK: Final = msgspec.msgpack.encode
_PASSES: Final = msgspec.msgpack.Decoder(tuple[int, tuple[int, ...]])


class Mover:
    """The instances of one partition in one step of planning. `expressions` compiles texts to functions of their values, and
    keeps them: no more than that, so a move stays a function of its facts."""

    def __init__(self, facts: WaitFacts, cells: Cells, expressions: Expressions, notes: Notes, now_ms: int) -> None:
        self._facts = facts
        self._cells = cells
        self._evaluate = partial(value_of, expressions)
        self._notes = notes
        self._now_ms = now_ms
        self._instances: dict[bytes, Instance | None] = {}
        self._full: list[bytes] = []
        self.digests = Digests(cells, facts.partition, now_ms)
        self.outbox = Outbox(facts, now_ms)
        self.progress = Progress(now_ms)

    def get(self, id_: bytes) -> Instance | None:
        """Return an open instance. Raises `Lacking`."""
        return self._instances[id_] if id_ in self._instances else self._facts.instance(id_)

    def move(self, id_: bytes, instance: Instance, cause: Cause) -> None:
        """Move an instance as far as a cause takes it. Raises `Lacking`."""
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
        except Lacking:
            raise  # says nothing about the instance
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not stop the partition for good
            self._notes.log("error", "workflow_crashed", tenant=instance.tenant, error=repr(error))
            self.end(id_, "failed", f"internal error: {type(error).__name__}", instance=instance)
            return
        if move.state is not state or move.ended is not None:
            self._apply(id_, instance, move, workflow.body, facts.zone)

    def end(self, id_: bytes, ending: Ending, detail: str = "", *, instance: Instance | None = None) -> None:
        """End an instance, wherever it stands; one that has ended is left alone."""
        instance = instance or self.get(id_)
        if instance is not None:
            self.progress.tell(id_, instance, Told(ending, instance.state.step, detail))
            self.outbox.disarm(id_, instance)
            self._store(id_, None)

    def settle(self) -> None:
        """Close the digests that have become full, and those that closing them fills."""
        while self._full:
            self.close(self._full.pop())

    def close(self, key: bytes) -> None:
        """Close a digest: of those still in it the first goes on with the data of all, the others end as merged."""
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
        self.move(leader_id, leader, Closed([instance.origin.data for _, instance in alive]))

    def forget(self, key: bytes, tenant: str, lane: Lane) -> None:
        """Remove the times of a throttle that no longer count, or look again when they will not."""
        per_ms, times_ms = _passes(self._cells, key)
        recent = still_counting(times_ms, per_ms, self._now_ms)
        if recent:
            self.outbox.forget(key, tenant, lane, recent[-1] + per_ms)
        else:
            self._cells.put(key, None)

    def _open(self, ids: Iterable[bytes]) -> list[tuple[bytes, Instance]]:
        """Return those that are open. Raises `Lacking` for all that were not read at once."""
        found: list[tuple[bytes, Instance]] = []
        lacking = Need()
        for id_ in ids:
            try:
                instance = self.get(id_)
            except Lacking as error:
                lacking |= error.need
                continue
            if instance is not None:
                found.append((id_, instance))
        if lacking:
            raise Lacking(lacking)
        return found

    def _apply(self, id_: bytes, before: Instance, move: Move, workflow: Workflow, zone: ZoneInfo) -> None:
        instance = msgspec.structs.replace(before, state=move.state)
        stays = move.ended is None and move.state.seq == before.state.seq
        if not stays:
            self.outbox.disarm(id_, before)
        for effect in move.effects:
            match effect:
                case Told():
                    self.progress.tell(id_, instance, effect)
                case Deliver():
                    self.outbox.send(id_, instance, effect)
                case Call():
                    self.outbox.call(id_, instance, effect)
                case Passed():
                    self._pass(instance, effect)
                case Join():
                    instance = self._join(id_, instance, effect, zone)
        if move.ended is not None:
            self._store(id_, None)
            return
        if not stays:
            instance = msgspec.structs.replace(instance, state=self.outbox.arm(id_, instance, workflow))
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

    def _pass(self, instance: Instance, passed: Passed) -> None:
        key = throttle_key(instance, passed.step, passed.key)
        self._cells.put(key, _PACK((passed.per_ms, passed.times_ms)))
        self.outbox.forget(key, instance.tenant, instance.lane, passed.times_ms[-1] + passed.per_ms)

    def _facts_of(self, id_: bytes, instance: Instance) -> Facts:
        user, zone = person(self._facts, instance.tenant, instance.recipient)
        past = _Past(self._facts, self._cells, id_[:NOTIFICATION_ID_BYTES], instance)
        return Facts(self._now_ms, zone, instance.origin.data, user, self._evaluate, past)


class _Past(NamedTuple):
    """What has been before the move of one instance, looked up in what was gathered."""

    facts: WaitFacts
    cells: Cells
    notification_id: bytes
    instance: Instance

    def seen_ms(self) -> int | None:
        """Return when the person last saw the notification."""
        user_id = self.instance.recipient.user_id
        return self.facts.seen_ms(self.instance.tenant, self.notification_id, user_id) if user_id else None

    def passed(self, step: str, key: str) -> tuple[int, ...]:
        """Return the times a throttle step let someone pass."""
        return _passes(self.cells, throttle_key(self.instance, step, key))[1]


def _passes(cells: Cells, key: bytes) -> tuple[int, tuple[int, ...]]:
    value = cells.get(key)
    return (0, ()) if value is None else _PASSES.decode(value)


def throttle_key(instance: Instance, step: str, key: str) -> bytes:
    """Return the key of the cell of a throttle step's times for the instance's user."""
    names = (instance.tenant, instance.state.workflow, step, owner_of(instance.recipient), key)
    return THROTTLE_CELL + blake2b(_PACK(names), digest_size=_THROTTLE_BYTES).digest()


def _bounded(instance: Instance, move: Move) -> Move:
    """Return the move, or its failure when the instance would become too large to keep."""
    if move.ended is not None or move.state is instance.state:
        return move
    if len(_PACK(msgspec.structs.replace(instance, state=move.state))) <= INSTANCE_BYTES_MAX:
        return move
    told = Told("failed", move.state.step, f"state is larger than {INSTANCE_BYTES_MAX} bytes")
    made: Sequence[Any] = [effect for effect in move.effects if isinstance(effect, Deliver | Passed | Told)]
    return Move(move.state, [*made, told], "failed")
