"""Waiting work of many users in a journal, and a check that all of it is in its place, whatever the number of partitions."""

from collections import Counter
from typing import Any

import msgspec

from clarion.deliver.partition.recovered import RecoveredAttempts
from clarion.domain import ids
from clarion.domain.channel import LANES, Channel, Lane
from clarion.domain.planned import PlannedDelivery
from clarion.journal import topics
from clarion.journal.codec import decode, encode
from clarion.journal.events import AcceptedFrame, AdvanceFrame, DeliverFrame, IntentFrame, Recipient, Request
from clarion.journal.intents import decode_intents, encode_intents
from clarion.journal.rows import deliver_frame, deliver_rows
from clarion.journal.schedules import Latest, latest_cell, latest_key, occurrence_timer, schedule_partition
from clarion.journal.signals import cancel_key, event_key, seen_key
from clarion.plan.rules.workflow.digest import Digest
from clarion.plan.rules.workflow.state import State, Waiting
from clarion.plan.workflow.digests import digest_key
from clarion.plan.workflow.instance import INSTANCE_CELL, AdvanceRow, Instance, advance_timer, instance_id
from clarion.plan.workflow.instance_step import CANCELLATIONS_READ_CELL
from clarion.plan.workflow.mover import throttle_key
from clarion.ports.journal_cells import Cell, Wait
from clarion.ports.stage_store import (
    AcceptState,
    Broadcasts,
    Cancellation,
    Commit,
    GroupProgress,
    IdempotencyEntry,
    IntentEntry,
    IntentWrite,
    PlanState,
    StageResult,
    Timer,
)
from clarion.ports.streams import Frame, StreamOffset
from tests.contract.journals import START_MS, TTL_MS, cursor

TENANT = "acme"
USERS = [f"u{number}" for number in range(40)]
DELIVER = topics.group_deliver(Channel.PUSH)
PUSH = topics.deliver(Channel.PUSH, Lane.NORMAL)
ACCEPTED = topics.accepted(Lane.NORMAL)
PACK = msgspec.msgpack.encode
REQUEST = Request([], "hello", None, None, "normal", {}, workflow="digest", workflow_version=1)


def id_of(user_id: str, mark: int = 0) -> bytes:
    """The id of a user's notification."""
    slot = ids.slot_for(TENANT, user_id, 4)
    return ids.notification_id(START_MS, slot, bytes([mark]) + user_id.encode().ljust(8, b"."))


SHARED = id_of("u0", 7)
"""A notification to all users, so that most of its instances are not in its own partition."""
OWN = {instance_id(id_of(user), Recipient(user)): user for user in USERS}
INSTANCES = OWN | {instance_id(SHARED, Recipient(user)): user for user in USERS}
BROADCASTS = [ids.notification_id(START_MS, slot, b"broadcast") for slot in range(ids.SLOTS)]
DELIVERIES = {id_of(user, 2) + b"delivery": user for user in USERS}
SCHEDULES = [f"schedule {number}" for number in range(8)]


def instance_of(user_id: str) -> Instance:
    waiting = State("digest", 1, START_MS, step="collect", seq=1, waiting=Waiting("digest", START_MS + 9))
    return Instance(TENANT, Lane.NORMAL, START_MS, msgspec.structs.replace(REQUEST, to=[Recipient(user_id)]), waiting)


def grouped(names: list[Any], partition_of: Any) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for name in names:
        found.setdefault(partition_of(name), []).append(name)
    return found


async def fill(store: Any) -> None:
    """Put work of each kind into a journal of four partitions."""
    count = store.partitions

    def at(user: str) -> int:
        return ids.partition_for(TENANT, user, count)

    frames, timers, cells, waits = [], [], [], []
    for mark in (1, 3):  # the frames of mark 1 are planned, those of mark 3 are not
        for partition, users in grouped(USERS, at).items():
            frames.append(accepted([id_of(user, mark) for user in users], users, partition))
    for id_, user in INSTANCES.items():
        cells.append(Cell(at(user), INSTANCE_CELL + id_, PACK(instance_of(user))))
        row = AdvanceRow(id_, TENANT, "timer", 1, START_MS + 10)
        timers.append(advance_timer(id_ + b"t", Lane.NORMAL, at(user), row))
    for id_, user in OWN.items():
        key, throttle = digest_key(instance_of(user), "collect", ""), throttle_key(instance_of(user), "often", "")
        digest = Digest(id_, START_MS, START_MS + 20, 1, 10)
        cells += [Cell(at(user), key, PACK(digest)), Cell(at(user), key + bytes(4), id_)]
        cells.append(Cell(at(user), throttle, PACK((1_000, [START_MS]))))
        timers.append(
            advance_timer(id_ + key, Lane.NORMAL, at(user), AdvanceRow(id_, TENANT, "digest", 0, START_MS, key))
        )
        forget = AdvanceRow(throttle.ljust(24, b"\0"), TENANT, "forget", 0, START_MS, throttle)
        timers.append(advance_timer(throttle, Lane.NORMAL, at(user), forget))
        for name in (seen_key(id_[:16], user), event_key("order é", user)):
            waits.append(Wait(TENANT, name, id_, ACCEPTED, at(user), 2**62))
        waits.append(Wait(TENANT, cancel_key("order"), id_[:16], ACCEPTED, at(user), 2**62))
        request = msgspec.structs.replace(REQUEST, to=[Recipient(user)], send_at_ms=START_MS + 30)
        later = AcceptedFrame([id_of(user, 4)], [TENANT], [START_MS], [request])
        timers.append(Timer(id_of(user, 4), START_MS + 30, ACCEPTED, at(user), encode(later, 1)))
    for key in SCHEDULES:
        partition = schedule_partition(TENANT, key, count)
        cells.append(latest_cell(TENANT, key, Latest(START_MS, START_MS, "started"), partition))
        timers.append(occurrence_timer(TENANT, key, 1, START_MS + 40, partition))
    cells += [Cell(partition, CANCELLATIONS_READ_CELL, bytes(7) + bytes([5 + partition])) for partition in range(count)]
    for partition, users in grouped(USERS, at).items():
        rows = [delivery(user) for user in users]
        frames.append(Frame(PUSH, partition, len(rows), encode(deliver_frame(rows), len(rows))))
    keys = [IdempotencyEntry(TENANT, user, b"hash", b"answer", 2**62) for user in USERS]
    gone = [Cancellation(TENANT, id_of(user, 9), START_MS) for user in USERS]
    running = [cursor(id_, ids.partition_of(id_, count)) for id_ in BROADCASTS]
    await store.commit(
        StageResult(
            frames=frames,
            timers=timers,
            accept_state=AcceptState(keys, gone),
            plan_state=PlanState(cells=cells, waits=waits),
            broadcasts=Broadcasts(running),
        )
    )
    for partition in range(count):
        await read_some(store, partition)


def accepted(id_s: list[bytes], users: list[str], partition: int) -> Frame:
    requests = [msgspec.structs.replace(REQUEST, to=[Recipient(user)]) for user in users]
    many = len(users)
    frame = AcceptedFrame(id_s, [TENANT] * many, [START_MS] * many, requests)
    return Frame(ACCEPTED, partition, many, encode(frame, many))


def delivery(user: str) -> PlannedDelivery:
    id_ = id_of(user, 2) + b"delivery"
    return PlannedDelivery(id_, TENANT, user, f"{user}-token", "en", "hello", "", {}, None, 1, None, None, None, None)


async def read_some(store: Any, partition: int) -> None:
    """Commit a partition's first accepted frame, and intend its deliveries without an end."""
    plan = await store.acquire(topics.GROUP_PLAN, partition, "w", TTL_MS)
    push = await store.acquire(DELIVER, partition, "w", TTL_MS)
    own = [id_ for id_, user in DELIVERIES.items() if ids.partition_for(TENANT, user, store.partitions) == partition]
    entries = [
        IntentEntry(3 + number, encode_intents([IntentFrame("w", 1, START_MS, "push", None, 0, [id_], [1])]))
        for number, id_ in enumerate(own)
    ]
    progress = GroupProgress([Commit(plan, ACCEPTED, 1)], [IntentWrite(push, entries)])
    await store.commit(StageResult(progress=progress))
    await store.release([plan, push])


async def check(store: Any, partitions: int) -> None:
    """Assert that everything `fill` has put there is in the place that its owner has with so many partitions."""
    assert store.partitions == partitions
    everywhere = range(partitions)

    def at(user: str) -> int:
        return ids.partition_for(TENANT, user, partitions)

    found = {p: await all_cells(store, p) for p in everywhere}
    instances = {p: {key[1:] for key in found[p] if key[:1] == INSTANCE_CELL} for p in everywhere}
    assert instances == {p: {id_ for id_, user in INSTANCES.items() if at(user) == p} for p in everywhere}
    for id_, user in OWN.items():
        key = digest_key(instance_of(user), "collect", "")
        assert (
            [p for p in everywhere if key in found[p]]
            == [p for p in everywhere if key + bytes(4) in found[p]]
            == [at(user)]
        )
        assert found[at(user)][key + bytes(4)] == id_
        assert throttle_key(instance_of(user), "often", "") in found[at(user)]
        for name in (seen_key(id_[:16], user), event_key("order é", user)):
            (wait,) = [w for w in (await store.waits_of([(TENANT, name)]))[TENANT, name] if w.subject == id_]
            assert wait.partition == at(user)
    for wait in (await store.waits_of([(TENANT, cancel_key("order"))]))[TENANT, cancel_key("order")]:
        assert wait.partition == ids.partition_of(wait.subject, partitions)
    for key in SCHEDULES:
        assert latest_key(TENANT, key) in found[schedule_partition(TENANT, key, partitions)]
    for p in everywhere:
        # No further than any of the partitions that it has instances of.
        read = [5 + before for before in range(4) if before % min(4, partitions) == p % min(4, partitions)]
        assert 5 <= int.from_bytes(found[p][CANCELLATIONS_READ_CELL], "big") <= min(read)
    running = {c.cursor_id: c.partition for c in await store.cursors_in(everywhere)}
    assert running == {id_: ids.partition_of(id_, partitions) for id_ in BROADCASTS}
    assert len(await store.remembered([(TENANT, user) for user in USERS], START_MS)) == len(USERS)
    assert len((await store.cancellations_after(0))[1]) == len(USERS)
    await check_unread(store, partitions)


async def check_unread(store: Any, partitions: int) -> None:
    """Assert that what has not been read is in its place, each row once, with its open intents."""
    unread = await unread_rows(store, topics.GROUP_PLAN, ACCEPTED)
    assert unread == Counter((ids.partition_of(id_of(user, 3), partitions), id_of(user, 3)) for user in USERS)
    rows = await unread_rows(store, DELIVER, PUSH)
    assert rows == Counter((ids.partition_for(TENANT, user, partitions), id_) for id_, user in DELIVERIES.items())
    for partition in range(partitions):
        recovered = RecoveredAttempts()
        for entry in await store.open_intents(DELIVER, partition):
            recovered.add(decode_intents(entry.payload))
        for at, id_ in rows:
            if at == partition:
                assert recovered.was_intended(delivery(DELIVERIES[id_]))
    backlog = await store.backlog_of([topics.GROUP_PLAN, DELIVER])
    assert backlog == {topics.GROUP_PLAN: len(USERS), DELIVER: len(USERS)}


async def unread_rows(store: Any, group: str, topic: str) -> Counter[tuple[int, bytes]]:
    """Return (partition, id) of the rows that a group has not read on one topic."""
    found: Counter[tuple[int, bytes]] = Counter()
    positions = await store.positions(group, range(store.partitions))
    for partition in range(store.partitions):
        position = positions[partition].get(topic)
        place = StreamOffset(topic, partition, 0 if position is None else position.offset)
        for stored in (await store.read_many([place], 1_000))[0]:
            event = decode(stored.payload)
            assert stored.appended_ms == START_MS
            if isinstance(event, DeliverFrame):
                found.update((partition, row.delivery_id) for row in deliver_rows(event))
            elif isinstance(event, AcceptedFrame):
                found.update((partition, id_) for id_ in event.notification_ids)
    return found


async def all_cells(store: Any, partition: int) -> dict[bytes, bytes]:
    return dict(await store.cells_page(partition, b"", 10_000))


async def check_timers(store: Any, partitions: int) -> None:
    """Fire everything and assert that each timer puts its frame, once, where its owner is."""
    heads = await store.heads_of([(topics.accepted(lane), p) for lane in LANES for p in range(partitions)])
    while await store.fire(START_MS + 100, 50):
        pass
    fired: Counter[tuple[str, int, bytes]] = Counter()
    for (topic, partition), head in heads.items():
        for stored in (await store.read_many([StreamOffset(topic, partition, head)], 10_000))[0]:
            event = decode(stored.payload)
            if isinstance(event, AdvanceFrame):
                fired[event.causes[0], partition, event.instance_ids[0]] += 1
            elif isinstance(event, AcceptedFrame):
                fired["accepted", partition, event.notification_ids[0]] += 1
            else:
                fired["schedule", partition, event.keys[0].encode()] += 1

    def at(user: str) -> int:
        return ids.partition_for(TENANT, user, partitions)

    assert {key: n for key, n in fired.items() if key[0] != "forget"} == {
        **{("timer", at(user), id_): 1 for id_, user in INSTANCES.items()},
        **{("digest", at(user), id_): 1 for id_, user in OWN.items()},
        **{("accepted", at(user), id_of(user, 4)): 1 for user in USERS},
        **{("schedule", schedule_partition(TENANT, key, partitions), key.encode()): 1 for key in SCHEDULES},
    }
    for user in USERS:
        key = throttle_key(instance_of(user), "often", "").ljust(24, b"\0")
        assert fired["forget", at(user), key] >= 1
