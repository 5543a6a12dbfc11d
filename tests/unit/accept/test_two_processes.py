"""Two API processes on one journal: concurrent requests with one key are accepted once."""

import asyncio
from typing import Any

import msgspec
import pytest

from clarion.domain.errors import KeyReused
from clarion.domain.ids import NOTIFICATION_PREFIX, read
from clarion.ports.stage_store import Committed, StageResult
from clarion.stores.memory.journal import MemoryJournal
from tests.look import Glance
from tests.stages.virtual import run
from tests.stages.world import World
from tests.unit.accept.harness import BATCH, BLAST, GOOD, ONE, IntakeHarness


class SlowJournal(MemoryJournal):
    """Lets both processes look up a key before either has stored its answer."""

    async def commit(self, batch: StageResult) -> Committed:
        await asyncio.sleep(0.005)
        return await super().commit(batch)


def two_processes(directory: Any) -> tuple[IntakeHarness, IntakeHarness]:
    world = World(directory, partitions=2, journal=SlowJournal)
    return IntakeHarness(directory, world=world), IntakeHarness(directory, world=world)


def notification(answer: bytes) -> bytes | None:
    return read(NOTIFICATION_PREFIX, msgspec.json.decode(answer)["id"])


@pytest.mark.parametrize(
    ("path", "body"),
    [(ONE, GOOD), (BATCH, {"notifications": [GOOD, {**GOOD, "to": "nobody"}]})],
)
def test_one_key_at_both_processes_is_one_notification_and_one_answer(directory, path, body):
    async def scenario() -> None:
        doors = two_processes(directory)
        replies = await asyncio.gather(*(context.post(path, body, key="k") for context in doors))
        assert replies[0].raw == replies[1].raw
        assert [reply.status for reply in replies] == [202, 202]
        assert sorted(len(reply.headers) for reply in replies) == [0, 1]
        assert len(list(doors[0].stored())) == 1

    run(scenario())


def test_one_key_at_both_processes_starts_one_broadcast(directory):
    async def scenario() -> None:
        doors = two_processes(directory)
        body = {"audience": {"all": True}, "template": "hello"}
        replies = await asyncio.gather(*(context.post(BLAST, body, key="k") for context in doors))
        assert replies[0].raw == replies[1].raw
        assert len(Glance(doors[0].world.journal).cursors()) == 1

    run(scenario())


def test_another_body_at_the_other_process_is_refused(directory):
    async def scenario() -> None:
        one, two = two_processes(directory)
        report = await asyncio.gather(
            one.post(ONE, GOOD, key="k"), two.post(ONE, {**GOOD, "to": "u2"}, key="k"), return_exceptions=True
        )
        assert sum(isinstance(answer, KeyReused) for answer in report) == 1
        assert len(list(one.stored())) == 1

    run(scenario())


def test_requests_that_share_an_append_with_a_late_key_are_unaffected(directory):
    async def scenario() -> None:
        one, two = two_processes(directory)
        calls = [context.post(ONE, GOOD, key=key) for key in ("k", "l") for context in (one, two)]
        others = [context.post(ONE, GOOD, key=key) for context, key in ((two, None), (two, "mine"), (one, None))]
        replies = await asyncio.gather(*calls, *others)
        answers = [notification(reply.raw) for reply in replies]
        assert (answers[0], answers[2]) == (answers[1], answers[3])
        assert sorted(one.stored()) == sorted(set(answers))
        assert len(set(answers)) == 5
        assert [reply.headers for reply in replies[4:]] == [{}] * 3

    run(scenario())


def test_items_accepted_by_the_other_process_get_its_answers(directory):
    async def scenario() -> None:
        one, two = two_processes(directory)
        own, theirs = {**GOOD, "idempotency_key": "mine"}, {**GOOD, "idempotency_key": "theirs"}
        other_body = {**GOOD, "idempotency_key": "clash", "to": "u2"}
        first, second = await asyncio.gather(
            one.post_json(BATCH, {"notifications": [theirs, {**GOOD, "idempotency_key": "clash"}]}, key="a"),
            two.post_json(BATCH, {"notifications": [GOOD, theirs, other_body, own]}, key="b"),
        )
        results = second["results"]
        assert [result["status"] for result in results] == ["accepted", "accepted", "refused", "accepted"]
        assert [result.get("replayed", False) for result in results] == [False, True, False, False]
        assert results[1]["id"] == first["results"][0]["id"]
        assert results[2]["error"]["code"] == "idempotency_key_reused"
        accepted = {result["id"] for result in [*first["results"], *results] if "id" in result}
        assert {read(NOTIFICATION_PREFIX, id_) for id_ in accepted} == set(one.stored())
        assert len(list(one.stored())) == 4
        assert await two.post_json(BATCH, {"notifications": [GOOD, theirs, other_body, own]}, key="b") == second

    run(scenario())


def test_a_late_request_releases_its_key(directory):
    async def scenario() -> None:
        doors = two_processes(directory)
        await asyncio.gather(*(context.post(ONE, GOOD, key="k") for context in doors))
        for context in doors:
            assert (await context.post(ONE, GOOD, key="k")).headers == {"Idempotency-Replayed": "true"}

    run(scenario())
