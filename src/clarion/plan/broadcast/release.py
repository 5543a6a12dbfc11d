"""Held deliveries of a chunk whose time has come: decided again, together, from today's facts."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from clarion.domain import ids
from clarion.domain.channel import Channel, Lane
from clarion.domain.decision import Decision, Merge, Reason, Skip
from clarion.domain.delivery_state import State
from clarion.domain.user import User
from clarion.journal import topics
from clarion.journal.codec import encode
from clarion.journal.events import ChunkFrame, ChunkReleasedFrame, Recipient, Request
from clarion.plan.claims import Claims
from clarion.plan.columns import Accepted
from clarion.plan.facts import Facts
from clarion.plan.outcome import Merged
from clarion.plan.rules.chunks import code_of
from clarion.plan.rules.decide import Person
from clarion.plan.rules.setting import Planned, Setting
from clarion.ports.directory import Directory
from clarion.ports.journal import Frame, Journal, Timer

_HELD = int(State.HELD)
_PLANNED = int(State.PLANNED)
_VERDICTS = {State.SKIPPED: "skip", State.MERGED: "merge", State.HELD: "hold"}


class Released(NamedTuple):
    """What a chunk's time having come amounts to."""

    frames: list[Frame]
    timers: list[Timer]
    counts: dict[tuple[str, str], int]
    merged: list[Merged]


class ChunkReleaser:
    """Decides held chunks for one process."""

    def __init__(self, journal: Journal, directory: Directory, facts: Facts) -> None:
        self._journal = journal
        self._directory = directory
        self._facts = facts

    def release(self, chunk: ChunkFrame, claims: Claims, partition: int, now_ms: int) -> Released:
        """Return what becomes of the held deliveries of a chunk at a time (Unix ms)."""
        held = [index for index, state in enumerate(chunk.states) if state == _HELD]
        decisions = self._decide(chunk, held, claims, now_ms)
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
            told = ChunkReleasedFrame(chunk.chunk_id, chunk.tenant, channel, now_ms, bytes(states), bytes(reasons))
            released.frames.append(Frame(topics.OUTCOMES, partition, count, encode(told, count)))
        if _PLANNED in states:
            payload = encode(_with_states(chunk, bytes(states), bytes(reasons)), count)
            released.frames.append(Frame(topics.deliver(channel, Lane.BULK), partition, count, payload))
        released.timers.extend(_timer(chunk, until_ms, places, partition) for until_ms, places in again.items())
        return released

    def _decide(self, chunk: ChunkFrame, held: Sequence[int], claims: Claims, now_ms: int) -> list[Decision | None]:
        if self._cancelled(chunk):
            return [_CANCELLED] * len(held)
        if chunk.expires_ms is not None and now_ms >= chunk.expires_ms:
            return [_EXPIRED] * len(held)
        self._facts.refresh()
        request = Request([], chunk.template, chunk.category or None, [chunk.channel], Lane.BULK, {})
        setting = self._facts.setting(chunk.tenant, request)
        users = self._directory.users(chunk.tenant, list({chunk.user_ids[index] for index in held}))
        people = self._people(chunk, setting, users, claims, now_ms)
        return [_decision(chunk, index, people.get(chunk.user_ids[index])) for index in held]

    def _people(
        self, chunk: ChunkFrame, setting: Setting, users: Mapping[str, User], claims: Claims, now_ms: int
    ) -> dict[str, list[Planned]]:
        channel = Channel(chunk.channel)
        gates = self._facts.gates(setting, {user.profile_id for user in users.values()}, now_ms)
        found: dict[str, str] = {}
        if chunk.addresses and self._directory.has_suppressions(chunk.tenant, channel):
            found = self._directory.suppressed(chunk.tenant, channel, chunk.addresses)
        suppressed = {(channel.value, address): why for address, why in found.items()}
        for cap in setting.caps_on(channel):
            claims.load(chunk.tenant, cap, [user.ordinal for user in users.values()])
        room = claims.of(chunk.tenant)
        return {
            name: Person(setting, user, gates[user.profile_id], suppressed, room, now_ms, chunk.planned_ms).channel(
                channel
            )
            for name, user in users.items()
        }

    def _cancelled(self, chunk: ChunkFrame) -> bool:
        cursor = self._journal.cursor(ids.notification_of(chunk.chunk_id))
        return cursor is not None and cursor.status == "cancelled"


_CANCELLED = Skip(Reason.CANCELLED, "the broadcast was cancelled")
_EXPIRED = Skip(Reason.EXPIRED, "its time was over before it could be sent")


def _decision(chunk: ChunkFrame, index: int, planned: Sequence[Planned] | None) -> Decision | None:
    """Return what was decided about the address a held delivery was for, if it is still the user's."""
    if planned is None:
        return Skip(Reason.UNKNOWN_USER, f"user {chunk.user_ids[index]} is gone")
    address = chunk.addresses[index] if chunk.addresses else ""
    for one in planned:
        if one.address == address or not one.address:
            return one.decision
    return Skip(Reason.NO_CONTACT, "the address is not the user's any more")


def _merged(chunk: ChunkFrame, index: int, decision: Merge) -> Merged:
    request = Request([], chunk.template, chunk.category or None, None, Lane.BULK, chunk.data)
    notification_id = ids.notification_of(chunk.chunk_id)
    item = Accepted(Lane.BULK, notification_id, chunk.tenant, chunk.planned_ms, request)
    return Merged(item, Recipient(chunk.user_ids[index]), decision.workflow, decision.version)


def _with_states(chunk: ChunkFrame, states: bytes, reasons: bytes) -> ChunkFrame:
    return msgspec.structs.replace(chunk, states=states, reasons=reasons)


def _timer(chunk: ChunkFrame, until_ms: int, places: Sequence[int], partition: int) -> Timer:
    states = bytearray(len(chunk.states))
    for index in places:
        states[index] = _HELD
    payload = encode(_with_states(chunk, bytes(states), bytes(len(states))), len(states))
    timer_id = chunk.chunk_id + until_ms.to_bytes(6, "big")
    return Timer(timer_id, until_ms, topics.accepted(Lane.BULK), partition, payload)
