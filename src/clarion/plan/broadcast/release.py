"""Release of a chunk's held deliveries when they are due: decided again, together, from current facts."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from clarion.domain import ids
from clarion.domain.channel import Channel, Lane
from clarion.domain.decision import Decision, Merge, Reason, Skip
from clarion.domain.delivery_state import State
from clarion.journal import topics
from clarion.journal.codec import encode
from clarion.journal.events import ChunkFrame, ChunkReleasedFrame, Recipient, Request
from clarion.plan.claims import Claims
from clarion.plan.columns import PlanItem
from clarion.plan.facts import BROADCASTS, SENDS, SendFacts, SendKey
from clarion.plan.plan_writer import MergedRecipient
from clarion.plan.request_facts import request_facts_key
from clarion.plan.rules.chunks import code_of
from clarion.plan.rules.decide import Person
from clarion.plan.rules.need import MissingFacts, Need
from clarion.plan.rules.request_facts import Planned
from clarion.ports.stage_store import Timer
from clarion.ports.streams import Frame

_HELD = int(State.HELD)
_PLANNED = int(State.PLANNED)
_VERDICTS = {State.SKIPPED: "skip", State.MERGED: "merge", State.HELD: "hold"}


class Released(NamedTuple):
    """The result of releasing a chunk: frames, timers, counts, and the recipients merged into digests."""

    frames: list[Frame]
    timers: list[Timer]
    counts: dict[tuple[str, str], int]
    merged: list[MergedRecipient]


def decide_release(chunk: ChunkFrame, facts: SendFacts, claims: Claims, partition: int, now_ms: int) -> Released | Need:
    """Return the result for a chunk's held deliveries at a time (Unix ms), or the missing facts; the claims must then
    be discarded."""
    held = [index for index, state in enumerate(chunk.states) if state == _HELD]
    try:
        decisions = _decide(chunk, held, facts, claims, now_ms)
    except MissingFacts as missing_facts:
        return missing_facts.need | Need({SENDS: [release_key(chunk)], BROADCASTS: [broadcast_of(chunk)]})
    channel = Channel(chunk.channel)
    released = Released([], [], {}, [])
    states, reasons = bytearray(len(chunk.states)), bytearray(len(chunk.states))
    again: dict[int, list[int]] = {}
    for index, decision in zip(held, decisions, strict=True):
        code = code_of(decision, channel)
        key = (channel.value, _VERDICTS.get(State(code.state), "send"))
        released.counts[key] = released.counts.get(key, 0) + 1
        if code.until_ms:
            again.setdefault(code.until_ms, []).append(index)
        else:
            states[index], reasons[index] = code.state, code.reason
        if isinstance(decision, Merge):
            released.merged.append(_merged(chunk, index, decision))
    count = len(chunk.states)
    if any(states):
        counts = ChunkReleasedFrame(chunk.chunk_id, chunk.tenant, channel, now_ms, bytes(states), bytes(reasons))
        released.frames.append(Frame(topics.OUTCOMES, partition, count, encode(counts, count)))
    if _PLANNED in states:
        payload = encode(_with_states(chunk, bytes(states), bytes(reasons)), count)
        released.frames.append(Frame(topics.deliver(channel, Lane.BULK), partition, count, payload))
    released.timers.extend(_timer(chunk, until_ms, places, partition) for until_ms, places in again.items())
    return released


def broadcast_of(chunk: ChunkFrame) -> bytes:
    """Return the broadcast a chunk belongs to."""
    return ids.notification_of(chunk.chunk_id)


def release_key(chunk: ChunkFrame) -> SendKey:
    """Return the key of all facts that deciding a chunk's held deliveries needs."""
    held = {name for name, state in zip(chunk.user_ids, chunk.states, strict=True) if state == _HELD}
    return request_facts_key(chunk.tenant, _request(chunk)), tuple(held), ()


def _request(chunk: ChunkFrame) -> Request:
    return Request([], chunk.template, chunk.category or None, [chunk.channel], Lane.BULK, {})


def _decide(
    chunk: ChunkFrame, held: Sequence[int], facts: SendFacts, claims: Claims, now_ms: int
) -> list[Decision | None]:
    if facts.is_cancelled(broadcast_of(chunk)):
        return [_CANCELLED] * len(held)
    if chunk.expires_ms is not None and now_ms >= chunk.expires_ms:
        return [_EXPIRED] * len(held)
    request_facts = facts.request_facts_of(chunk.tenant, _request(chunk))
    users = {name: facts.user(chunk.tenant, name) for name in dict.fromkeys(chunk.user_ids[index] for index in held)}
    suppressed, room = facts.suppressed(chunk.tenant), claims.of(chunk.tenant)
    people: dict[str, list[Planned]] = {}
    for name, user in users.items():
        if user is not None:
            gate = facts.gate(request_facts, user.profile_id, user.zone, now_ms)
            person = Person(request_facts, user, gate, suppressed, room, now_ms, chunk.planned_ms)
            people[name] = person.channel(Channel(chunk.channel))
    return [_decision(chunk, index, people.get(chunk.user_ids[index])) for index in held]


_CANCELLED = Skip(Reason.CANCELLED, "the broadcast was cancelled")
_EXPIRED = Skip(Reason.EXPIRED, "its time was over before it could be sent")


def _decision(chunk: ChunkFrame, index: int, planned: Sequence[Planned] | None) -> Decision | None:
    """Return the decision for the address of a held delivery, or a skip if the address is not the user's any more; None
    is to send."""
    if planned is None:
        return Skip(Reason.UNKNOWN_USER, f"user {chunk.user_ids[index]} is gone")
    address = chunk.addresses[index] if chunk.addresses else ""
    for one in planned:
        if one.address == address or not one.address:
            return one.decision
    return Skip(Reason.NO_CONTACT, "the address is not the user's any more")


def _merged(chunk: ChunkFrame, index: int, decision: Merge) -> MergedRecipient:
    request = Request([], chunk.template, chunk.category or None, None, Lane.BULK, chunk.data)
    notification_id = broadcast_of(chunk)
    item = PlanItem(Lane.BULK, notification_id, chunk.tenant, chunk.planned_ms, request)
    return MergedRecipient(item, Recipient(chunk.user_ids[index]), decision.workflow, decision.version)


def _with_states(chunk: ChunkFrame, states: bytes, reasons: bytes) -> ChunkFrame:
    return msgspec.structs.replace(chunk, states=states, reasons=reasons)


def _timer(chunk: ChunkFrame, until_ms: int, places: Sequence[int], partition: int) -> Timer:
    states = bytearray(len(chunk.states))
    for index in places:
        states[index] = _HELD
    payload = encode(_with_states(chunk, bytes(states), bytes(len(states))), len(states))
    timer_id = chunk.chunk_id + until_ms.to_bytes(6, "big")
    return Timer(timer_id, until_ms, topics.accepted(Lane.BULK), partition, payload)
