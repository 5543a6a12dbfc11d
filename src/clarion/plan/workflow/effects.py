"""Effects of the moves of instances in one planning step, collected for its commit."""

from typing import Any, Final

import msgspec

from clarion.domain.channel import Lane
from clarion.domain.ids import NOTIFICATION_ID_BYTES
from clarion.domain.limits_processes import FETCH_GRACE_MS, SEEN_RECHECK_MS
from clarion.domain.workflow import Send, WaitUntil, Workflow
from clarion.journal import topics
from clarion.journal.events import Request
from clarion.journal.signals import event_key, seen_key
from clarion.plan.columns import PlanItem
from clarion.plan.rules.workflow.state import Deliver, HttpCall, State, Waiting
from clarion.plan.wait_facts import WaitFacts
from clarion.plan.workflow.fetch_calls import FetchJob, request_of
from clarion.plan.workflow.instance import AdvanceRow, Instance, advance_timer
from clarion.ports.journal_cells import Wait, WaitEnd
from clarion.ports.stage_store import Timer

_WAIT_GRACE_MS: Final = 24 * 3600 * 1000
"""How long a wait outlives its timeout, in case timers are late."""
_SEQ_BYTES: Final = 4


class EffectCollector:
    """Sends, timers, waits and calls of one step of one partition."""

    def __init__(self, facts: WaitFacts, now_ms: int) -> None:
        self._facts = facts
        self._partition = facts.partition
        self._now_ms = now_ms
        self.sends: list[PlanItem] = []
        self.timers: list[Timer] = []
        self._waits: dict[bytes, Wait] = {}
        self.ended_waits: list[WaitEnd] = []
        self.fetches: list[FetchJob] = []

    @property
    def waits(self) -> list[Wait]:
        """The waits to set."""
        return list(self._waits.values())

    def send(self, instance_id: bytes, instance: Instance, deliver: Deliver) -> None:
        """Add a step's notification, to be planned like any other one to the same recipient. Raises `MissingFacts`."""
        step, tenant = deliver.step, instance.tenant
        category = self._facts.category(tenant, step.category) if step.category else None
        lane = category.lane if category is not None else instance.lane
        request = request_for(step, instance.origin, lane, deliver.data)
        notification_id = instance_id[:NOTIFICATION_ID_BYTES]
        self.sends.append(PlanItem(lane, notification_id, tenant, instance.accepted_ms, request, step.name, step.route))

    def call(self, instance_id: bytes, instance: Instance, call: HttpCall) -> None:
        """Add a call to make once the step is durable."""
        self.fetches.append(
            FetchJob(
                instance_id, instance.tenant, instance.lane, self._partition, instance.state.seq,
                self._now_ms + FETCH_GRACE_MS, request_of(instance_id, call),
                instance.state.workflow, call.step.name, call.step.secret_headers,
            )
        )  # fmt: skip

    def expire(self, instance_id: bytes, instance: Instance) -> None:
        """Set the timer that ends an instance when its request expires."""
        expires_ms = instance.state.expires_ms
        if expires_ms is not None:
            self._set_timer(
                instance_id + b"x", instance, AdvanceRow(instance_id, instance.tenant, "expire", 0, expires_ms)
            )

    def forget(self, key: bytes, tenant: str, lane: Lane, at_ms: int) -> None:
        """Set the timer that removes a throttle's cell when its times no longer count. A cell has one timer at a time."""
        row = AdvanceRow(key.ljust(24, b"\0"), tenant, "forget", 0, at_ms, key)
        self.timers.append(advance_timer(key, lane, self._partition, row))

    def arm(self, instance_id: bytes, instance: Instance, workflow: Workflow) -> State:
        """Set the timers and the wait that wake an instance that has begun to wait; return its state with the key of
        the awaited signal."""
        state, waiting = instance.state, instance.state.waiting
        if waiting is None or waiting.kind == "digest":
            return state
        self._wake(instance_id, instance, waiting.until_ms, b"t")
        key = self._awaited(instance_id, instance, workflow, waiting)
        if not key:
            return state
        recheck_ms = self._now_ms + SEEN_RECHECK_MS
        if waiting.kind == "seen" and recheck_ms < waiting.until_ms:
            self._wake(instance_id, instance, recheck_ms, b"r")
        subject, topic = _subject(instance_id, state.seq), topics.accepted(instance.lane)
        expires_ms = waiting.until_ms + _WAIT_GRACE_MS
        self._waits[subject] = Wait(instance.tenant, key, subject, topic, self._partition, expires_ms)
        return msgspec.structs.replace(state, waiting=msgspec.structs.replace(waiting, key=key))

    def disarm(self, instance_id: bytes, instance: Instance) -> None:
        """End the wait for a signal that an instance has left."""
        state, waiting = instance.state, instance.state.waiting
        if waiting is None or waiting.kind not in ("seen", "event") or not waiting.key:
            return
        subject = _subject(instance_id, state.seq)
        if self._waits.pop(subject, None) is None:
            self.ended_waits.append(WaitEnd(instance.tenant, waiting.key, subject))

    def _wake(self, instance_id: bytes, instance: Instance, at_ms: int, mark: bytes) -> None:
        seq = instance.state.seq
        row = AdvanceRow(instance_id, instance.tenant, "timer", seq, at_ms)
        self._set_timer(instance_id + seq.to_bytes(_SEQ_BYTES, "big") + mark, instance, row)

    def _set_timer(self, timer_id: bytes, instance: Instance, row: AdvanceRow) -> None:
        self.timers.append(advance_timer(timer_id, instance.lane, self._partition, row))

    def _awaited(self, instance_id: bytes, instance: Instance, workflow: Workflow, waiting: Waiting) -> bytes:
        user_id = instance.recipient.user_id
        if not user_id:
            return b""  # without a user id there are no seen receipts and no events: only the timeout remains
        if waiting.kind == "seen":
            return seen_key(instance_id[:NOTIFICATION_ID_BYTES], user_id)
        step = next(step for step in workflow.steps if step.name == instance.state.step)
        if waiting.kind == "event" and isinstance(step, WaitUntil) and step.event is not None:
            return event_key(step.event, user_id)
        return b""


def request_for(step: Send, origin: Request, lane: Lane, data: dict[str, Any]) -> Request:
    """Return the request of a send step, to the recipients of the request that triggered its workflow."""
    return Request(
        to=origin.to,
        template=step.template,
        category=step.category or origin.category,
        channels=[channel.value for channel in step.channels] or None,
        lane=lane,
        data=data,
        expires_ms=origin.expires_ms,
        ordering_key=origin.ordering_key,
        metadata=origin.metadata,
        workflow=origin.workflow,
        workflow_version=origin.workflow_version,
    )


def _subject(instance_id: bytes, seq: int) -> bytes:
    return instance_id + seq.to_bytes(_SEQ_BYTES, "big")


def of_subject(subject: bytes) -> tuple[bytes, int]:
    """Return the instance and its `seq` that a wait's subject names."""
    return subject[:-_SEQ_BYTES], int.from_bytes(subject[-_SEQ_BYTES:], "big")
