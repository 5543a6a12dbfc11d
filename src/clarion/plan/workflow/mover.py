"""Moves single instances: the pure machine decides with facts read here, and its effects go to cells and outbox."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from clarion.domain.channel import Lane
from clarion.domain.errors import StoreUnavailable
from clarion.domain.ids import NOTIFICATION_ID_BYTES, NOTIFICATION_PREFIX, write
from clarion.domain.limits_deciding import INSTANCE_BYTES_MAX
from clarion.domain.workflow import Workflow
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
    NoValue,
    Passed,
    Told,
)
from clarion.plan.rules.workflow.throttle import still_counting
from clarion.plan.workflow.cancelled import Cancelled
from clarion.plan.workflow.cells import Cells
from clarion.plan.workflow.digests import Digests
from clarion.plan.workflow.instance import INSTANCE_CELL, Instance, owner_of
from clarion.plan.workflow.outbox import Outbox
from clarion.plan.workflow.people import People
from clarion.plan.workflow.progress import Progress
from clarion.ports.directory import Directory
from clarion.ports.expressions import ExpressionError, Expressions
from clarion.ports.sightings import Sightings
from clarion.ports.telemetry import Telemetry

THROTTLE_CELL: Final = b"t"
_THROTTLE_BYTES: Final = 22
_PACK: Final = msgspec.msgpack.encode
_INSTANCE: Final = msgspec.msgpack.Decoder(Instance)
_PASSES: Final = msgspec.msgpack.Decoder(tuple[int, tuple[int, ...]])
_PLAIN: Final = (str, int, float, bool, type(None))


class Mover:
    """The instances of one partition in one step of planning."""

    def __init__(
        self,
        cells: Cells,
        directory: Directory,
        expressions: Expressions,
        sightings: Sightings,
        cancelled: Cancelled,
        telemetry: Telemetry,
        partition: int,
        now_ms: int,
    ) -> None:
        self._cells = cells
        self._directory = directory
        self._expressions = expressions
        self._sightings = sightings
        self._cancelled = cancelled
        self._telemetry = telemetry
        self._now_ms = now_ms
        self._instances: dict[bytes, Instance | None] = {}
        self._full: list[bytes] = []
        self.people = People(directory)
        self.digests = Digests(cells, partition, now_ms)
        self.outbox = Outbox(directory, partition, now_ms)
        self.progress = Progress(now_ms)

    def get(self, id_: bytes) -> Instance | None:
        """Return an open instance."""
        if id_ not in self._instances:
            value = self._cells.get(INSTANCE_CELL + id_)
            self._instances[id_] = None if value is None else _INSTANCE.decode(value)
        return self._instances[id_]

    def move(self, id_: bytes, instance: Instance, cause: Cause) -> None:
        """Move an instance as far as a cause takes it."""
        state = instance.state
        if self._cancelled.broadcast(instance.origin.broadcast):
            self.end(id_, "cancelled", instance=instance)
            return
        try:
            workflow = self._directory.definition(instance.tenant, Workflow, state.workflow, state.version)
            if workflow is None:
                self.end(id_, "failed", "the workflow is gone", instance=instance)
                return
            facts = self._facts(id_, instance)
            move = _bounded(instance, advance(state, workflow.body, cause, facts))
        except StoreUnavailable:
            raise  # says nothing about the instance
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not stop the partition for good
            self._telemetry.log("error", "workflow_crashed", tenant=instance.tenant, error=repr(error))
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
        self._cells.load(INSTANCE_CELL + id_ for id_ in members)
        found = [(id_, instance) for id_ in members if (instance := self.get(id_)) is not None]
        alive: list[tuple[bytes, Instance]] = []
        for id_, instance in found:
            expires_ms = instance.state.expires_ms
            if expires_ms is not None and self._now_ms >= expires_ms:
                self.end(id_, "expired")
            elif self._cancelled.broadcast(instance.origin.broadcast):
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
        per_ms, times_ms = self._passes(key)
        recent = still_counting(times_ms, per_ms, self._now_ms)
        if recent:
            self.outbox.forget(key, tenant, lane, recent[-1] + per_ms)
        else:
            self._cells.put(key, None)

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
        key = _throttle_key(instance, passed.step, passed.key)
        self._cells.put(key, _PACK((passed.per_ms, passed.times_ms)))
        self.outbox.forget(key, instance.tenant, instance.lane, passed.times_ms[-1] + passed.per_ms)

    def _passes(self, key: bytes) -> tuple[int, tuple[int, ...]]:
        value = self._cells.get(key)
        return (0, ()) if value is None else _PASSES.decode(value)

    def _facts(self, id_: bytes, instance: Instance) -> Facts:
        user, zone = self.people.of(instance.tenant, instance.recipient)

        def seen_ms() -> int | None:
            user_id = instance.recipient.user_id
            if not user_id:
                return None
            found = self._sightings.seen_ms(instance.tenant, id_[:NOTIFICATION_ID_BYTES], [user_id])
            return found.get(user_id)

        def passed(step: str, key: str) -> tuple[int, ...]:
            return self._passes(_throttle_key(instance, step, key))[1]

        return Facts(self._now_ms, zone, instance.origin.data, user, self._evaluate, seen_ms, passed)

    def _evaluate(self, text: str, names: Mapping[str, Any]) -> Any:
        try:
            value = self._expressions.compile(text)(names)
        except ExpressionError as error:
            raise NoValue(str(error)) from None
        # Times become text, so that a value is the same before and after it was stored.
        return value if type(value) in _PLAIN else msgspec.to_builtins(value)


def _throttle_key(instance: Instance, step: str, key: str) -> bytes:
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
