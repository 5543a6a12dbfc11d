"""A page of a broadcast from facts alone: rows and their facts in, chunks and claims out."""

import msgspec
import pytest

from clarion.content.render import NotGathered, Rendering
from clarion.domain import ids
from clarion.domain.channel import Channel, Lane
from clarion.domain.content import Category, Template
from clarion.domain.decision import Reason
from clarion.domain.delivery_state import State
from clarion.domain.limits_processes import CAP_BLOCK_USERS
from clarion.domain.route import Route
from clarion.journal.codec import decode
from clarion.journal.events import AcceptedFrame, Audience, BroadcastJob, ChunkFrame, Request
from clarion.plan.broadcast.facts import PageFacts
from clarion.plan.broadcast.pages import PlannedPage, plan_page
from clarion.plan.rules.chunks import Code
from clarion.plan.rules.need import MissingFacts
from clarion.plan.rules.request_facts import CapRule, RequestFacts
from clarion.ports.stage_store import Cursor
from tests.stages.world import TENANT

NOW_MS = 1_700_000_000_000
NOW_S = NOW_MS // 1000
EMAIL, SMS = Channel.EMAIL, Channel.SMS
PASS = Code(int(State.PLANNED))
NO = Code(int(State.SKIPPED), int(Reason.OPTED_OUT))
CAP = CapRule(b"rule-one", "1 per 1h", None, 1, 3600)
KEY = (TENANT, CAP.rule)
JOB = BroadcastJob(Audience(), Request([], "hello", None, None, Lane.BULK, {}))
CURSOR = Cursor(
    ids.notification_id(NOW_MS, 0, bytes(ids.ENTROPY_BYTES)), TENANT, 0, "running", 0, 0, 0, 0, NOW_MS, NOW_MS, b""
)
COLUMNS = ("email", "phone", "more_contacts")
ROWS = [(n, f"u{n}", 1 + n % 2, "", f"mail-{n}" if n != 3 else None, f"phone-{n}", None) for n in range(1, 6)]


def request_facts(**more: object) -> RequestFacts:
    values: dict[str, object] = {
        "template": Template("hello", 1, None, {EMAIL: {}, SMS: {}}),
        "category": Category("news"),
        "channels": (EMAIL, SMS),
        "sendable": frozenset({EMAIL, SMS}),
        "defaults": {},
        **more,
    }
    return RequestFacts(**values)  # type: ignore[arg-type]


def facts(shared: RequestFacts, **more: object) -> PageFacts:
    codes = {channel: {1: PASS, 2: PASS} for channel in shared.channels}
    values: dict[str, object] = {"codes": codes, **more}
    return PageFacts(shared, COLUMNS, ROWS, 5, True, 5, **values)  # type: ignore[arg-type]


def plan(known: PageFacts, job: BroadcastJob = JOB) -> PlannedPage:
    return plan_page(known, CURSOR, job, Rendering({}), 1, NOW_MS)


def reached(page: PlannedPage, channel: Channel) -> list[tuple[str, State, Reason]]:
    """Return the users in the chunks of a channel, from the frames for the record."""
    chunks = [event for frame in page.frames if isinstance(event := decode(frame.payload), ChunkFrame)]
    own = {chunk.chunk_id: chunk for chunk in chunks if chunk.channel == channel}
    return [
        (user, State(state), Reason(reason))
        for chunk in own.values()
        for user, state, reason in zip(chunk.user_ids, chunk.states, chunk.reasons, strict=True)
    ]


def block(**arrivals_s: int) -> dict[tuple[str, bytes], dict[int, memoryview]]:
    times = memoryview(bytearray(CAP_BLOCK_USERS * 4)).cast("I")
    for name, at_s in arrivals_s.items():
        times[int(name[1:])] = at_s
    return {KEY: {0: times}}


def test_a_page_is_the_same_whenever_it_is_planned_from_the_same_facts():
    known = facts(request_facts(caps=(CAP,)), caps=block(u1=NOW_S + 3600))
    first, again = plan(known), plan(known)
    assert first == again
    assert (first.position, first.users, first.done) == (5, 5, True)
    assert known.caps[KEY][0][2] == 0, "claims change no fact"


def test_shared_decisions_of_a_profile_hold_for_all_its_users():
    known = facts(request_facts(), codes={EMAIL: {1: PASS, 2: NO}, SMS: {1: PASS, 2: PASS}})
    page = plan(known)
    skipped = (State.SKIPPED, Reason.OPTED_OUT)
    assert [one[1:] for one in reached(page, EMAIL) if one[0] in ("u1", "u5")] == [skipped, skipped]
    assert page.counts == {("email", "send"): 2, ("email", "skip"): 3, ("sms", "send"): 5}
    assert (page.planned, page.skipped, page.cost) == (7, 3, 10)


@pytest.mark.parametrize("looked_up", [True, False])
def test_suppressed_addresses_are_skipped_with_and_without_a_lookup(looked_up):
    addresses = {EMAIL: [(row[4],) if row[4] else () for row in ROWS]} if looked_up else {}
    page = plan(facts(request_facts(), addresses=addresses, suppressed={EMAIL: {"mail-2": "bounced"}}))
    result = {user: (state, reason) for user, state, reason in reached(page, EMAIL)}
    assert result["u2"] == (State.SKIPPED, Reason.SUPPRESSED)
    assert result["u3"] == (State.SKIPPED, Reason.NO_CONTACT)
    assert result["u1"] == (State.PLANNED, Reason.NONE)


def test_a_route_continues_for_users_its_first_channel_does_not_reach():
    page = plan(facts(request_facts(route=Route(first=(EMAIL, SMS))), suppressed={EMAIL: {"mail-2": "bounced"}}))
    assert {user for user, _, _ in reached(page, SMS)} == {"u2", "u3"}


def test_unreachable_users_are_not_charged():
    known = facts(request_facts(caps=(CAP,), channels=(EMAIL,)), caps=block(u1=NOW_S + 7200))
    page = plan(known)
    (write,) = page.caps
    assert [slot for slot, _, _ in write.changes] == [2, 4, 5]
    assert dict(item[:2] for item in reached(page, EMAIL))["u1"] is not State.PLANNED


def test_missing_caps_are_requested():
    with pytest.raises(MissingFacts):
        plan(facts(request_facts(caps=(CAP,))))


def test_a_workflow_starts_for_everyone_in_their_own_time():
    late_ms = 86_400_000
    request = msgspec.structs.replace(JOB.request, workflow="welcome", workflow_version=1)
    job = BroadcastJob(Audience(local_ms=NOW_MS + late_ms), request)
    page = plan(facts(request_facts(), zones={1: "UTC", 2: "Asia/Tokyo"}), job)
    (frame,) = [decode(one.payload) for one in page.frames]
    assert isinstance(frame, AcceptedFrame)
    due_ms = {one.to[0].user_id: one.send_at_ms for one in frame.requests}
    assert due_ms["u2"] == NOW_MS + late_ms
    assert due_ms["u1"] == NOW_MS + late_ms - 9 * 3600 * 1000


def test_an_in_app_part_is_never_rendered_from_missing_facts():
    shared = request_facts(channels=(Channel.INAPP,), template=Template("hello", 1, None, {Channel.INAPP: {}}))
    with pytest.raises(NotGathered):
        plan(facts(shared, codes={Channel.INAPP: {1: Code(int(State.SENT)), 2: Code(int(State.SENT))}}))
