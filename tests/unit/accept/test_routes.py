"""Intake as a whole: an accepted request is on the journal exactly once, a refused one stores nothing."""

import asyncio
from functools import partial
from typing import Any

import msgspec
import pytest

from clarion.domain.channel import CHANNELS
from clarion.domain.errors import CallerError, Conflict, InvalidField, KeyReused, NotFound, Overloaded
from clarion.domain.ids import NOTIFICATION_PREFIX, read
from clarion.journal import topics
from tests.look import Glance
from tests.stages.virtual import run, until
from tests.stages.world import TENANT
from tests.unit.accept.harness import BATCH, BLAST, GOOD, ONE, IntakeHarness


def test_an_answered_request_is_on_the_journal(directory):
    async def scenario(harness: IntakeHarness) -> None:
        answer = await harness.post_json(ONE, GOOD)
        assert answer["status"] == "accepted"
        assert list(harness.stored()) == [read(NOTIFICATION_PREFIX, answer["id"])]

    run(scenario(IntakeHarness(directory)))


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"template": "gone"}, "template", "unknown_template"),
        ({"template": None}, "template", "invalid_field"),
        ({"workflow": "gone"}, "template", "invalid_field"),
        ({"template": None, "workflow": "gone"}, "workflow", "unknown_workflow"),
        ({"category": "gone"}, "category", "unknown_category"),
        ({"to": "nobody"}, "to", "unknown_user"),
        ({"to": ["u1", "nobody"]}, "to[1]", "unknown_user"),
        ({"to": []}, "to", "invalid_field"),
        ({"to": [f"u{n}" for n in range(1_001)]}, "to", "invalid_field"),
        ({"to": {"user_id": "u1", "email": "a@b.example"}}, "to", "invalid_field"),
        ({"to": [{"email": "a@b.example"}, {"email": "no"}]}, "to[1].email", "invalid_field"),
        ({"to": ["u1", "u2"], "ordering_key": "k"}, "ordering_key", "invalid_field"),
        ({"channels": ["email"]}, "channels", "invalid_field"),
        ({"data": {"text": "x" * 300_000}}, "data", "invalid_field"),
        ({"metadata": {"a": "b\r\nc"}}, "metadata.a", "invalid_field"),
    ],
)
def test_a_bad_request_names_its_field_and_stores_nothing(directory, change, field, code):
    async def scenario(harness: IntakeHarness) -> None:
        with pytest.raises(InvalidField) as refusal:
            await harness.post(ONE, {**GOOD, **change})
        assert (refusal.value.field, refusal.value.code) == (field, code)
        assert list(harness.stored()) == []

    run(scenario(IntakeHarness(directory)))


def test_the_same_key_gets_the_same_answer_and_one_notification(directory):
    async def scenario(harness: IntakeHarness) -> None:
        first = await harness.post_json(ONE, GOOD, key="k")
        again = await harness.post(ONE, GOOD, key="k")
        assert msgspec.json.decode(again.raw) == first
        assert again.headers == {"Idempotency-Replayed": "true"}
        with pytest.raises(KeyReused):
            await harness.post(ONE, {**GOOD, "to": "u2"}, key="k")
        other = await harness.post_json(ONE, {**GOOD, "idempotency_key": "k2"})
        assert other["id"] != first["id"]
        assert len(list(harness.stored())) == 2

    run(scenario(IntakeHarness(directory)))


def test_concurrent_requests_with_one_key_run_one_at_a_time(directory):
    async def scenario(harness: IntakeHarness) -> None:
        report = await asyncio.gather(
            *(harness.post_json(ONE, GOOD, key="k") for _ in range(5)), return_exceptions=True
        )
        assert sum(isinstance(one, Conflict) for one in report) == 4
        assert len(list(harness.stored())) == 1

    run(scenario(IntakeHarness(directory)))


def test_a_refused_request_releases_its_key(directory):
    async def scenario(harness: IntakeHarness) -> None:
        with pytest.raises(InvalidField):
            await harness.post(ONE, {**GOOD, "to": "nobody"}, key="k")
        assert (await harness.post_json(ONE, GOOD, key="k"))["status"] == "accepted"

    run(scenario(IntakeHarness(directory)))


def test_in_a_batch_only_the_bad_items_are_refused(directory):
    async def scenario(harness: IntakeHarness) -> None:
        keyed = {**GOOD, "idempotency_key": "k"}
        items = [GOOD, {**GOOD, "to": "nobody"}, {"to": 7}, keyed, keyed, {**GOOD, "template": "gone"}]
        results = (await harness.post_json(BATCH, {"notifications": items}))["results"]
        assert [one["status"] for one in results] == [
            "accepted",
            "refused",
            "refused",
            "accepted",
            "refused",
            "refused",
        ]
        errors = [(one["error"]["code"], one["error"].get("field")) for one in results if one["status"] == "refused"]
        assert errors[0] == ("unknown_user", "to")
        assert errors[1] == ("invalid_field", "to")
        assert errors[2][0] == "idempotency_key_running"
        assert errors[3] == ("unknown_template", "template")
        accepted = {read(NOTIFICATION_PREFIX, one["id"]) for one in results if one["status"] == "accepted"}
        assert set(harness.stored()) == accepted
        (replay,) = (await harness.post_json(BATCH, {"notifications": [keyed]}))["results"]
        assert (replay["id"], replay["replayed"]) == (results[3]["id"], True)

    run(scenario(IntakeHarness(directory)))


def test_a_batch_that_fails_in_the_middle_releases_its_keys(directory):
    async def scenario(harness: IntakeHarness) -> None:
        keyed = {"notifications": [{**GOOD, "idempotency_key": "k"}]}
        unknown = harness.world.directory.ordinals

        def broken(*_: Any) -> Any:
            raise OSError("the store is gone")

        for key in (None, "whole"):
            harness.world.directory.ordinals = broken
            with pytest.raises(OSError, match="gone"):
                await harness.post(BATCH, keyed, key=key)
            harness.world.directory.ordinals = unknown
        (result,) = (await harness.post_json(BATCH, keyed, key="whole"))["results"]
        assert result["status"] == "accepted"

    run(scenario(IntakeHarness(directory)))


def test_overload_is_refused_before_acceptance(directory):
    async def scenario(harness: IntakeHarness) -> None:
        for _ in range(3):
            await harness.post(ONE, GOOD)
            await asyncio.sleep(1)
        for path, body in ((ONE, GOOD), (BATCH, {"notifications": [GOOD]})):
            with pytest.raises(Overloaded):
                await harness.post(path, body)
        await harness.world.plan()
        await asyncio.sleep(1)
        with pytest.raises(Overloaded):  # planned, but nobody sends
            await harness.post(ONE, GOOD)

        def nothing_waits(group: str) -> bool:
            return Glance(harness.world.journal).backlog(group) == 0

        for channel in CHANNELS:
            pool = await harness.world.pool(channel=channel)
            await until(partial(nothing_waits, topics.group_deliver(channel)))
            await pool.drain()
        await asyncio.sleep(1)
        await harness.post(ONE, GOOD)

    run(scenario(IntakeHarness(directory, backlog_max=3)))


def test_only_known_notifications_of_ones_own_tenant_can_be_cancelled(directory):
    async def scenario(harness: IntakeHarness) -> None:
        path = "/v1/notifications/{id}/cancel"
        answer = await harness.post_json(ONE, GOOD)
        for id_, tenant in (("ntf_00", TENANT), ("junk", TENANT), (answer["id"], "other")):
            with pytest.raises(NotFound):
                await harness.post(path, tenant=tenant, id=id_)
        assert Glance(harness.world.journal).cancelled_since(0)[1] == []
        await harness.post(path, id=answer["id"])
        assert Glance(harness.world.journal).cancelled_since(0)[1] == [read(NOTIFICATION_PREFIX, answer["id"])]

    run(scenario(IntakeHarness(directory)))


def test_a_broadcast_is_started_once_and_its_status_can_be_changed(directory):
    async def scenario(harness: IntakeHarness) -> None:
        body = {"audience": {"all": True}, "template": "hello"}
        answer = await harness.post_json(BLAST, body, key="k")
        assert await harness.post_json(BLAST, body, key="k") == answer
        assert len(Glance(harness.world.journal).cursors()) == 1
        for verb, status in (("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")):
            report = await harness.post_json(f"{BLAST}/{{id}}/{verb}", id=answer["id"])
            assert report["status"] == status
            assert Glance(harness.world.journal).cursors()[0].status == status
        with pytest.raises(Conflict):
            await harness.post(f"{BLAST}/{{id}}/resume", id=answer["id"])
        with pytest.raises(NotFound):
            await harness.post(f"{BLAST}/{{id}}/pause", tenant="other", id=answer["id"])

    run(scenario(IntakeHarness(directory)))


@pytest.mark.parametrize(
    ("audience", "field"),
    [({}, "audience"), ({"all": True, "topic": "t"}, "audience"), ({"topic": "gone"}, "audience.topic")],
)
def test_a_broadcast_needs_one_audience_that_exists(directory, audience, field):
    async def scenario(harness: IntakeHarness) -> None:
        with pytest.raises(CallerError) as refusal:
            await harness.post(BLAST, {"audience": audience, "template": "hello"})
        assert refusal.value.field == field
        assert Glance(harness.world.journal).cursors() == []

    run(scenario(IntakeHarness(directory)))
