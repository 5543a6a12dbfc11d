"""Intake called without HTTP: typed requests in, typed acceptances out, and the same one again for the same key."""

from typing import Any

import msgspec
import pytest

from clarion.accept.acceptances import decode_response, encode_response
from clarion.accept.admit import RequestChecks, parse_body
from clarion.accept.definitions import DefinitionNames, Definitions, implied_names, names_in_bodies
from clarion.accept.shapes import BatchOut, BroadcastIn, BroadcastOut, NotificationIn, NotificationOut
from clarion.accept.shapes_events import EventIn
from clarion.accept.submissions import Batch, Item, Key, NotificationTest, digest_of
from clarion.domain.channel import Channel
from clarion.domain.content import Template
from clarion.domain.errors import InvalidField, KeyReused, NotFound
from clarion.domain.workflow import Send, Workflow
from clarion.languages.jsonschema.schemas import JsonSchemas
from clarion.ports.directory import Defined
from clarion.ports.stage_store import AcceptState as Remembered
from clarion.ports.stage_store import IdempotencyEntry, StageResult
from clarion_lab.load.delays import LOCAL
from tests.callers import by_key
from tests.stages.virtual import START_MS, run
from tests.stages.world import TENANT
from tests.unit.accept.harness import BATCH, GOOD, ONE, IntakeHarness

CALLER = by_key(TENANT)
HELLO = NotificationIn(to="u1", template="hello")
KEY = Key("k", digest_of(b"what a caller compares by"))


def test_each_kind_of_request_has_its_acceptance(directory):
    async def scenario(intake: Any) -> None:
        one = await intake.submit(CALLER, HELLO, None)
        assert (one.response.status, one.replayed, one.response.id[:4]) == ("accepted", False, "ntf_")
        marked = await intake.submit(CALLER, NotificationTest(HELLO, {"name": "Ana"}), None)
        assert marked.response.status == "accepted"
        many = await intake.submit(CALLER, Batch([Item(parse_body(HELLO)), Item(None, NotFound("nowhere"))]), None)
        assert [result.status for result in many.response.results] == ["accepted", "refused"]
        blast = BroadcastIn(
            audience=msgspec.convert({"all": True}, BroadcastIn.__annotations__["audience"]), template="hello"
        )
        assert (await intake.submit(CALLER, blast, None)).response.status == "running"
        assert (await intake.submit(CALLER, EventIn(type="nobody.cares"), None)).response.notifications == []

    run(scenario(IntakeHarness(directory).intake))


def test_the_same_key_gets_the_same_acceptance_and_another_digest_is_refused(directory):
    async def scenario(harness: IntakeHarness) -> None:
        submit = harness.intake.submit
        first = await submit(CALLER, HELLO, KEY)
        again = await submit(CALLER, HELLO, KEY)
        assert (again.response, again.replayed, again.quota) == (first.response, True, None)
        with pytest.raises(KeyReused):
            await submit(CALLER, HELLO, Key("k", digest_of(b"another")))
        assert len(list(harness.stored())) == 1

    run(scenario(IntakeHarness(directory)))


def test_a_key_of_another_kind_of_request_is_refused(directory):
    async def scenario(harness: IntakeHarness) -> None:
        await harness.intake.submit(CALLER, HELLO, KEY)
        with pytest.raises(KeyReused):
            await harness.intake.submit(CALLER, EventIn(type="t"), KEY)

    run(scenario(IntakeHarness(directory)))


@pytest.mark.parametrize(
    ("path", "body", "report"),
    [
        (ONE, GOOD, b'{"id":"ntf_1","status":"accepted","accepted_at":"2026-11-21T00:00:00.123000Z"}'),
        (ONE, GOOD, b'{"id":"ntf_1","status":"scheduled","accepted_at":"2026-11-21T00:00:00Z"}'),
        (
            BATCH,
            {"notifications": [GOOD, GOOD]},
            b'{"results":[{"status":"accepted","id":"ntf_1","accepted_at":"2026-11-21T00:00:00.001000Z"},'
            b'{"status":"refused","error":{"code":"c","detail":"d","field":"to"}}]}',
        ),
        ("/v1/broadcasts", {"audience": {"all": True}, "template": "hello"}, b'{"id":"bct_1","status":"running"}'),
    ],
)
def test_an_answer_stored_by_the_previous_build_is_replayed_unchanged(directory, path, body, report):
    async def scenario(harness: IntakeHarness) -> None:
        digest = digest_of(msgspec.json.encode(body))
        entry = IdempotencyEntry(TENANT, "k", digest, report, START_MS + 1_000_000)
        await harness.world.journal.commit(StageResult(accept_state=Remembered(idempotency=[entry])))
        reply = await harness.post(path, body, key="k")
        assert (reply.raw, reply.status, reply.headers) == (report, 202, {"Idempotency-Replayed": "true"})
        assert list(harness.stored()) == []

    run(scenario(IntakeHarness(directory)))


def test_a_batch_item_accepted_by_the_previous_build_is_replayed(directory):
    async def scenario(harness: IntakeHarness) -> None:
        item = {**GOOD, "idempotency_key": "k"}
        report = b'{"status":"accepted","id":"ntf_1","accepted_at":"2026-11-21T00:00:00Z"}'
        entry = IdempotencyEntry(TENANT, "k", digest_of(msgspec.json.encode(item)), report, START_MS + 1_000_000)
        await harness.world.journal.commit(StageResult(accept_state=Remembered(idempotency=[entry])))
        (result,) = (await harness.post_json(BATCH, {"notifications": [item]}))["results"]
        assert result == {**msgspec.json.decode(report), "replayed": True}
        assert (await harness.post_json(ONE, item))["id"] == "ntf_1"

    run(scenario(IntakeHarness(directory)))


def test_stored_answers_are_decoded_whole_and_only_as_their_kind():
    report = BroadcastOut("bct_1", "running")
    assert decode_response(encode_response(report), BroadcastOut) == report
    for kind in (NotificationOut, BatchOut):
        with pytest.raises(KeyReused):
            decode_response(encode_response(report), kind)


class CallCounter:
    """Counts the calls of a directory."""

    def __init__(self, directory: Any) -> None:
        self._directory = directory
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.asked.append(name)
        return getattr(self._directory, name)


def test_a_batch_reads_each_definition_once(directory):
    async def scenario() -> None:
        counted = CallCounter(directory)
        harness = IntakeHarness(counted)
        people = [{**GOOD, "to": f"u{n % 3 + 1}"} for n in range(300)]
        results = (await harness.post_json(BATCH, {"notifications": [*people, {**GOOD, "template": "gone"}]}))[
            "results"
        ]
        assert [one["status"] for one in results].count("accepted") == 300
        asked = [name for name in counted.asked if name not in LOCAL]
        assert sorted(asked) == ["ordinals", "quotas", "templates"]

    run(scenario())


NOTHING = Definitions({}, {}, {}, set(), {})


def test_names_in_bodies_are_unique():
    wants = names_in_bodies([HELLO, HELLO, NotificationIn(to="u1", workflow="w", category="c")])
    assert wants == DefinitionNames({"hello"}, {"w"}, {"c"}, set(), set())


def test_definitions_imply_the_names_they_refer_to():
    flow = Workflow(steps=(Send(name="tell", template="first"),), category="orders")
    found = NOTHING._replace(workflows={"w": Defined("w", 1, flow)}, templates={"t": Template("t", 1, "news", {})})
    more = implied_names(found, DefinitionNames({"t"}, {"w"}, (), (), ()))
    assert (more.templates, more.categories) == ({"first"}, {"news", "orders"})


def test_admission_needs_nothing_but_values():
    template = Template("hello", 1, None, {Channel.SMS: {"body": "x"}})
    admission = RequestChecks(NOTHING._replace(templates={"hello": template}), JsonSchemas(), START_MS)
    assert admission.notification(parse_body(HELLO)).to[0].user_id == "u1"
    with pytest.raises(InvalidField) as refused:
        admission.notification(parse_body(NotificationIn(to="u1", template="other")))
    assert (refused.value.field, refused.value.code) == ("template", "unknown_template")
