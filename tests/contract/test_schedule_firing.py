"""Schedules from the API to the notifications they send, over both journals: fired once whichever process dies, late rather
than never, and skipped when too late."""

import asyncio
from datetime import datetime
from typing import Any

import msgspec
import pytest

from clarion.control.schedules.routes import routes
from clarion.control.schedules.timers import repair_timers
from clarion.domain import ids
from clarion.domain.schedule import Schedule
from clarion.journal import topics
from clarion.journal.codec import decode
from clarion.journal.events import AcceptedFrame, BroadcastJob
from clarion.journal.schedules import Latest, latest_cell, latest_of, occurrence_timer, schedule_partition
from clarion.languages.cel.expressions import CelExpressions
from clarion.languages.jsonschema.schemas import JsonSchemas
from clarion.plan.gather import step_gatherer
from clarion.plan.worker import PlanWorker
from clarion.plan.workflow.worker import FetchPool
from clarion.ports.stage_store import Cursor, PlanState, StageResult
from clarion.resources.changing import Changing
from clarion.runtime.consumer import LeasedPartitions
from tests.contract.backends import ENGINES
from tests.contract.controls import PARTITIONS, ControlPlane
from tests.contract.journals import EMBEDDED, Journal
from tests.look import Glance
from tests.registries import definitions_of, lose
from tests.stages.world import Ledger, NoEgress, Notes

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
TO_ADA = {"to": {"user_id": "ada"}, "template": "weekly", "cron": "0 9 * * *", "data": {"n": 1}}
TO_ALL = {"to": {"all": True}, "template": "weekly", "cron": "0 9 * * *"}
"""Both first come round on 2023-11-15 at 09:00 UTC: the clock starts on the 14th at 22:13:20."""
FIRST_MS = int(datetime.fromisoformat("2023-11-15T09:00Z").timestamp() * 1000)


class Works:
    """A control store, a journal and a planner; `fire` is what the scheduler does."""

    def __init__(self, control_plane: ControlPlane, journal: Journal) -> None:
        self.control_plane = control_plane
        self.journal = journal
        self.notes = Notes()
        self.ledger = Ledger(journal)
        control_plane.journal = journal
        changing = Changing(control_plane.control.documents, control_plane.clock)
        control_plane.routes = [
            *routes(control_plane.control, changing, JsonSchemas(), journal, control_plane.clock),
            *control_plane.routes,
        ]

    @property
    def now_ms(self) -> int:
        return self.control_plane.clock.wall_ms

    def at(self, text: str) -> None:
        self.control_plane.clock.wall_ms = int(datetime.fromisoformat(text).timestamp() * 1000)

    async def put(self, key: str = "daily", body: dict[str, Any] = TO_ADA, **change: Any) -> Any:
        return await self.control_plane.say("PUT", f"/v1/schedules/{key}", body | change)

    async def latest(self, key: str = "daily") -> Any:
        return (await self.control_plane.say("GET", f"/v1/schedules/{key}"))["latest"]

    async def fire(self) -> int:
        return await self.journal.fire(self.now_ms, 1_000)

    async def plan(self) -> list[StageResult]:
        """Plan all partitions with a worker that was just started; return its appends."""
        made: list[StageResult] = []
        append = self.journal.commit

        async def noted(batch: StageResult) -> list[int]:
            made.append(batch)
            return await append(batch)

        expressions = CelExpressions()
        gatherer = step_gatherer(self.journal, self.control_plane.directory, expressions, self.ledger, self.ledger)
        leases = LeasedPartitions(self.journal, topics.GROUP_PLAN, "planner", self.control_plane.clock)
        fetches = FetchPool(self.journal, NoEgress(), self.control_plane.clock, self.notes)
        worker = PlanWorker(
            self.journal,
            self.journal,
            gatherer,
            expressions,
            fetches,
            leases,
            self.control_plane.clock,
            self.notes,
            batch_events=100,
            linger_ms=1,
        )
        self.journal.commit = noted
        try:
            for partition in range(PARTITIONS):
                lease = await self.journal.acquire(topics.GROUP_PLAN, partition, "planner", 60_000)
                while await worker.step(partition, lease):
                    pass
        finally:
            self.journal.commit = append
        return made

    async def die_planning(self) -> StageResult:
        """Plan and die at the first append; return that append."""
        append, made = self.journal.commit, []

        async def die(batch: StageResult) -> list[int]:
            made.append(batch)
            raise SystemExit

        self.journal.commit = die
        try:
            await self.plan()
        except SystemExit:
            return made[0]
        finally:
            self.journal.commit = append
        raise AssertionError("nothing was planned")

    def sent(self) -> list[AcceptedFrame]:
        """Return every notification on the journal, oldest first."""
        found = []
        for lane_topic in topics.GROUP_TOPICS[topics.GROUP_PLAN]:
            for partition in range(PARTITIONS):
                for stored in Glance(self.journal).read(lane_topic, partition, 0, 1_000):
                    event = decode(stored.payload)
                    if isinstance(event, AcceptedFrame):
                        assert ids.partition_of(event.notification_ids[0], PARTITIONS) == partition
                        found.append(event)
        return sorted(found, key=lambda frame: frame.notification_ids[0])

    def due(self) -> list[int]:
        """Return the times at which the notifications were due, read from their ids."""
        return [ids.created_ms(frame.notification_ids[0]) for frame in self.sent()]

    async def run_until(self, text: str) -> None:
        """Move the clock from one event to the next."""
        end_ms = int(datetime.fromisoformat(text).timestamp() * 1000)
        while (due_ms := Glance(self.journal).next_due_ms()) is not None and due_ms <= end_ms:
            self.control_plane.clock.wall_ms = max(self.now_ms, due_ms)
            await self.fire()
            await self.plan()
        self.control_plane.clock.wall_ms = end_ms


@pytest.fixture(scope="module")
def furnished(empty, tmp_path_factory):
    """Return a control store of a tenant with users, a topic, a segment and templates, to be copied."""
    folder = tmp_path_factory.mktemp("furnished")

    async def prepare():
        control_plane = ControlPlane.copy_of(empty, folder)
        await seed_data(control_plane)
        await control_plane.close()

    asyncio.run(prepare())
    return folder


async def seed_data(control_plane: ControlPlane) -> None:
    await control_plane.call("PUT", "/v1/tenants/acme", {"name": "Acme"})
    await control_plane.call("PUT", "/v1/categories/alerts", {"priority": "high"})
    await control_plane.call("PUT", "/v1/topics/riders", {})
    await control_plane.call("PUT", "/v1/segments/pros", {"filter": {"attribute": "plan", "is": "pro"}})
    await control_plane.call("PUT", "/v1/users/ada", {"zone": "Asia/Kolkata"})
    await control_plane.call("PUT", "/v1/users/bob", {})
    await control_plane.call("PUT", "/v1/templates/weekly", {"channels": {"inapp": {"title": "Your week"}}})
    await control_plane.call(
        "PUT", "/v1/templates/alert", {"category": "alerts", "channels": {"inapp": {"title": "Now"}}}
    )


@pytest.fixture(params=EMBEDDED)
async def works(request, furnished, tmp_path):
    backend = request.param if request.param in ENGINES else "sqlite"
    control_plane = ControlPlane.copy_of(furnished, tmp_path / "control", backend)
    if backend in ENGINES:
        await seed_data(control_plane)
    works = Works(control_plane, EMBEDDED[request.param](tmp_path / "journal", control_plane.clock, PARTITIONS))
    yield works
    await works.journal.close()
    await control_plane.close()


def job(cursor: Cursor) -> BroadcastJob:
    return msgspec.msgpack.decode(cursor.payload, type=BroadcastJob)


async def test_an_occurrence_sends_and_sets_the_next(works):
    await works.put(expires_after="2h")
    assert await works.fire() == 0
    works.at("2023-11-15T09:00:01Z")
    assert await works.fire() == 1
    await works.plan()
    (frame,) = works.sent()
    (request,) = frame.requests
    assert (frame.tenants, frame.accepted_ms) == (["acme"], [works.now_ms])
    assert [to.user_id for to in request.to] == ["ada"]
    assert (request.template, request.lane, request.data, request.channels) == ("weekly", "normal", {"n": 1}, None)
    assert (request.expires_ms, request.send_at_ms) == (FIRST_MS + 2 * HOUR_MS, None)
    assert request.metadata == {"schedule": "daily"}
    assert ids.partition_of(frame.notification_ids[0], PARTITIONS) == ids.partition_for("acme", "ada", PARTITIONS)
    assert Glance(works.journal).next_due_ms() == FIRST_MS + DAY_MS
    assert await works.latest() == {
        "due_at": "2023-11-15T09:00:00Z",
        "at": "2023-11-15T09:00:01Z",
        "result": "started",
        "id": ids.write(ids.NOTIFICATION_PREFIX, frame.notification_ids[0]),
    }


async def test_each_occurrence_is_sent_once_over_many_days(works):
    await works.put(cron="0 9,21 * * *")
    await works.put("ending", rrule="FREQ=DAILY;COUNT=3", start="2023-11-15T12:00", cron=None)
    await works.run_until("2023-11-20T00:00Z")
    wanted = [FIRST_MS + n * DAY_MS // 2 for n in range(10)] + [FIRST_MS + 3 * HOUR_MS + n * DAY_MS for n in range(3)]
    assert works.due() == sorted(wanted)
    assert Glance(works.journal).next_due_ms() == FIRST_MS + 5 * DAY_MS


async def test_an_audience_becomes_a_broadcast(works):
    await works.put("all", TO_ALL, channels=["inapp"], template="alert")
    await works.put("some", TO_ALL, to={"topic": "riders"}, category="alerts")
    await works.put("pros", TO_ALL, to={"segment": "pros"})
    await works.run_until("2023-11-15T09:00:00Z")
    cursors = Glance(works.journal).cursors(status="running")
    jobs = {job(cursor).request.metadata["schedule"]: (cursor, job(cursor)) for cursor in cursors}
    assert sorted(jobs) == ["all", "pros", "some"]
    assert works.sent() == []
    cursor, everyone = jobs["all"]
    assert (everyone.audience.topic, everyone.audience.segment, everyone.audience.local_ms) == (None, None, None)
    assert (everyone.request.channels, everyone.request.category, everyone.request.lane) == (
        ["inapp"],
        "alerts",
        "high",
    )
    assert (cursor.position, cursor.partition) == (0, ids.partition_of(cursor.cursor_id, PARTITIONS))
    assert ids.created_ms(cursor.cursor_id) == FIRST_MS
    assert (jobs["some"][1].audience.topic, jobs["some"][1].request.category) == ("riders", "alerts")
    frozen = jobs["pros"][1].audience
    assert (frozen.segment, msgspec.json.decode(frozen.filter)) == ("pros", {"attribute": "plan", "is": "pro"})
    assert (await works.latest("all"))["id"] == ids.write(ids.BROADCAST_PREFIX, cursor.cursor_id)


async def test_local_time_of_an_audience_starts_a_wave_where_the_day_begins(works):
    await works.put("wave", TO_ALL, local_time=True, expires_after="1h")
    await works.run_until("2023-11-15T08:59:00Z")
    assert Glance(works.journal).cursors() == []
    await works.run_until("2023-11-15T19:00:00Z")  # 09:00 on the 16th, 14 hours ahead
    (cursor,) = Glance(works.journal).cursors()
    morning_ms = FIRST_MS + DAY_MS
    assert job(cursor).audience.local_ms == morning_ms
    assert job(cursor).request.expires_ms == morning_ms + 13 * HOUR_MS  # 10:00, 12 hours behind
    assert Glance(works.journal).next_due_ms() == works.now_ms + DAY_MS


async def test_local_time_of_a_user_is_the_users_or_else_the_tenants(works):
    await works.put(local_time=True, expires_after="1h")
    await works.put("bobs", TO_ADA | {"to": {"user_id": "bob"}}, local_time=True)
    await works.control_plane.call("PUT", "/v1/policy", {"zone": "America/New_York"})
    await works.run_until("2023-11-15T19:00:00Z")
    sent = {frame.requests[0].to[0].user_id: frame.requests[0] for frame in works.sent()}
    assert sent["ada"].send_at_ms == FIRST_MS + DAY_MS - 5 * HOUR_MS - 30 * MINUTE_MS
    assert sent["ada"].expires_ms == sent["ada"].send_at_ms + HOUR_MS
    assert sent["bob"].send_at_ms == FIRST_MS + DAY_MS + 5 * HOUR_MS


async def test_the_clock_of_the_zone_decides_when_clocks_change(works):
    works.at("2024-03-29T12:00Z")
    await works.put(cron="30 2 * * *", zone="Europe/Rome")
    await works.run_until("2024-04-01T12:00Z")
    wanted = ["2024-03-30T01:30Z", "2024-03-31T01:00Z", "2024-04-01T00:30Z"]
    assert works.due() == [int(datetime.fromisoformat(at).timestamp() * 1000) for at in wanted]


@pytest.mark.parametrize("body", [TO_ADA, TO_ALL])
async def test_who_dies_before_the_append_leaves_it_to_the_next_who_makes_the_same(works, body):
    await works.put(body=body)
    works.at("2023-11-15T09:00:00Z")
    await works.fire()
    for _ in range(3):
        lost = await works.die_planning()
        assert (works.sent(), Glance(works.journal).cursors(), await works.latest()) == ([], [], None)
    done = (await works.plan())[0]
    for part in ("frames", "timers", "broadcasts", "plan_state"):
        assert getattr(lost, part) == getattr(done, part)
    assert len(works.sent()) + len(Glance(works.journal).cursors()) == 1
    assert await works.plan() == []
    assert Glance(works.journal).next_due_ms() == FIRST_MS + DAY_MS


async def test_two_schedulers_and_two_planners_fire_once(works):
    await works.put()
    works.at("2023-11-15T09:00:00Z")
    assert await works.fire() + await works.fire() == 1
    await works.plan()
    await works.plan()
    assert works.due() == [FIRST_MS]


async def test_a_timer_set_anew_by_a_clock_that_went_back_fires_nothing(works):
    await works.put()
    await works.run_until("2023-11-15T09:00:02Z")
    works.at("2023-11-15T08:59:59Z")
    assert await repair_timers(works.control_plane.control, works.journal, works.now_ms) == 1
    await works.run_until("2023-11-16T10:00:00Z")
    assert works.due() == [FIRST_MS, FIRST_MS + DAY_MS]


async def test_what_a_clock_did_that_was_years_ahead_stops_nothing(works):
    await works.put()
    partition = schedule_partition("acme", "daily", PARTITIONS)
    ahead = Latest(FIRST_MS + 1_000 * DAY_MS, FIRST_MS + 1_000 * DAY_MS, "started")
    await works.journal.commit(
        StageResult(plan_state=PlanState(cells=[latest_cell("acme", "daily", ahead, partition)]))
    )
    await works.run_until("2023-11-15T09:00:00Z")
    assert works.due() == [FIRST_MS]


async def test_a_little_late_it_is_sent_and_the_next_ones_too(works):
    await works.put(cron="*/10 * * * *", too_late="30m")
    works.at("2023-11-14T23:05:00Z")  # 22:20 to 22:30 are too late, 22:40 to 23:00 are not
    for _ in range(10):
        await works.fire()
        await works.plan()
    end_ms = FIRST_MS - 10 * HOUR_MS
    assert works.due() == [end_ms - 20 * MINUTE_MS, end_ms - 10 * MINUTE_MS, end_ms]
    assert Glance(works.journal).next_due_ms() == end_ms + 10 * MINUTE_MS


async def test_days_later_it_is_not_sent_but_the_next_one_is(works):
    await works.put(cron="*/10 * * * *")
    works.at("2023-11-18T08:45:00Z")
    assert await works.fire() == 1
    await works.plan()
    assert works.sent() == []
    assert (await works.latest())["result"] == "too_late"
    # One pass skips hundreds of missed occurrences; those within the last hour are still sent.
    assert Glance(works.journal).next_due_ms() == FIRST_MS + 3 * DAY_MS - 70 * MINUTE_MS
    assert works.notes.lines == ["occurrence_skipped"]


@pytest.mark.parametrize(("hours_late", "result"), [(0, "started"), (26, "started"), (28, "too_late")])
async def test_with_local_time_it_is_too_late_when_it_is_for_the_last(works, hours_late, result):
    await works.put("wave", TO_ALL, local_time=True)
    works.at("2023-11-15T19:00:00Z")
    works.control_plane.clock.wall_ms += hours_late * HOUR_MS
    await works.fire()
    await works.plan()
    assert (await works.latest("wave"))["result"] == result
    assert len(Glance(works.journal).cursors()) == (result == "started")


async def test_a_user_whose_own_time_is_long_past_gets_nothing(works):
    await works.put(local_time=True)
    works.at("2023-11-16T06:00:00Z")  # 09:00 in Kolkata was at 03:30
    await works.fire()
    await works.plan()
    assert works.sent() == []
    assert (await works.latest())["result"] == "too_late"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/v1/schedules/daily", TO_ADA | {"name": "changed", "cron": "0 12 * * *"}),
        ("POST", "/v1/schedules/daily/pause", None),
        ("DELETE", "/v1/schedules/daily", None),
    ],
)
async def test_a_timer_of_what_was_changed_since_fires_nothing(works, method, path, body):
    await works.put()
    await works.control_plane.call(method, path, body)
    await works.run_until("2023-11-15T09:30:00Z")
    assert works.sent() == []
    await works.run_until("2023-11-15T12:00:00Z")
    assert works.due() == ([FIRST_MS + 3 * HOUR_MS] if method == "PUT" else [])


async def test_what_was_changed_the_moment_before_counts(works):
    await works.put()
    await works.put("all", TO_ALL)
    works.at("2023-11-15T09:00:00Z")
    await works.fire()
    await works.die_planning()  # having read them
    await works.control_plane.call("POST", "/v1/schedules/daily/pause")
    await works.control_plane.call("DELETE", "/v1/schedules/all")
    await works.plan()
    assert (works.sent(), Glance(works.journal).cursors()) == ([], [])


async def test_removed_nothing_is_kept_of_it(works):
    await works.put()
    await works.run_until("2023-11-15T10:00:00Z")
    partition = schedule_partition("acme", "daily", PARTITIONS)
    assert await latest_of(works.journal, "acme", "daily", partition) is not None
    await works.control_plane.call("DELETE", "/v1/schedules/daily")
    await works.run_until("2023-11-16T10:00:00Z")
    assert await latest_of(works.journal, "acme", "daily", partition) is None
    assert len(works.sent()) == 1


@pytest.mark.parametrize(
    ("key", "change", "gone", "result"),
    [
        ("daily", {}, "/v1/users/ada", "unknown_user"),
        ("daily", {}, ("template", "weekly"), "unknown_template"),
        ("daily", {"category": "alerts"}, ("category", "alerts"), "unknown_category"),
        ("daily", {"to": {"topic": "riders"}}, "/v1/topics/riders", "unknown_topic"),
        ("daily", {"to": {"segment": "pros"}}, ("segment", "pros"), "unknown_segment"),
    ],
)
async def test_what_it_names_is_gone(works, key, change, gone, result):
    await works.control_plane.call("DELETE", "/v1/templates/alert")
    await works.put(key, **change)
    if isinstance(gone, tuple):
        await lose(works.control_plane.control, *gone)
    else:
        await works.control_plane.call("DELETE", gone)
    works.control_plane.settle()
    await works.run_until("2023-11-15T09:00:00Z")
    report = await works.latest()
    assert (report["result"], report["id"]) == (result, None)
    assert (works.sent(), Glance(works.journal).cursors()) == ([], [])
    assert Glance(works.journal).next_due_ms() == FIRST_MS + DAY_MS
    assert works.notes.counts["occurrences", result] == 1


async def test_a_schedule_of_a_newer_build_stops_no_other(works):
    body = msgspec.json.encode(TO_ADA | {"cron": "0 9 * * * in the rain"})
    odd = await definitions_of(works.control_plane.control, works.control_plane.clock).put(
        "acme", Schedule.KIND, "odd", body
    )
    partition = schedule_partition("acme", "odd", PARTITIONS)
    timer = occurrence_timer("acme", "odd", odd.version, FIRST_MS, partition)
    await works.journal.commit(StageResult(timers=[timer]))
    await works.put()
    assert await repair_timers(works.control_plane.control, works.journal, works.now_ms) == 1
    await works.run_until("2023-11-15T09:00:00Z")
    assert works.due() == [FIRST_MS]
    assert works.notes.lines == ["firing_failed"]


async def test_a_workflow_is_started_in_the_version_of_the_day(works):
    steps = [{"kind": "delay", "name": "a", "for": "1h"}]
    put = definitions_of(works.control_plane.control, works.control_plane.clock).put
    await put("acme", "workflow", "onboard", msgspec.json.encode({"steps": steps, "category": "alerts"}))
    await works.put(workflow="onboard", template=None)
    await put("acme", "workflow", "onboard", msgspec.json.encode({"steps": steps, "category": "alerts", "name": "2"}))
    await works.run_until("2023-11-15T09:00:00Z")
    (frame,) = works.sent()
    request = frame.requests[0]
    assert (request.workflow, request.workflow_version, request.template) == ("onboard", 2, "")
    assert (request.category, request.lane) == ("alerts", "high")


async def test_tenants_with_the_same_schedule_share_nothing(works):
    await works.control_plane.call("PUT", "/v1/tenants/other", {"name": "Other"})
    await works.control_plane.call("PUT", "/v1/users/ada", {}, tenant="other")
    await works.control_plane.call(
        "PUT", "/v1/templates/weekly", {"channels": {"inapp": {"title": "x"}}}, tenant="other"
    )
    await works.put()
    await works.control_plane.say("PUT", "/v1/schedules/daily", TO_ADA, tenant="other")
    await works.run_until("2023-11-15T09:00:00Z")
    assert sorted(frame.tenants[0] for frame in works.sent()) == ["acme", "other"]
    assert len({frame.notification_ids[0] for frame in works.sent()}) == 2


def test_the_timer_of_an_occurrence_is_one_and_the_same():
    one, same = (occurrence_timer("acme", "daily", 1, FIRST_MS, 0) for _ in range(2))
    others = [("acm", "edaily", 1, 0), ("acme", "daily", 2, 0), ("acme", "daily", 1, 1), ("acme", "dail", 1, 0)]
    assert one == same
    assert len({one.timer_id, *(occurrence_timer(t, k, v, FIRST_MS + d, 0).timer_id for t, k, v, d in others)}) == 5
