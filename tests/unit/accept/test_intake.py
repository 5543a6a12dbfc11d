"""The one door, called without HTTP: typed requests in, typed acceptances out, and the same one again for the same key."""

from typing import Any

import msgspec
import pytest

from clarion.accept.acceptances import kept, recalled
from clarion.accept.admit import Admission, addressed
from clarion.accept.definitions import Definitions, Wants, implied, wants_of
from clarion.accept.shapes import BatchOut, BroadcastIn, BroadcastOut, NotificationIn, NotificationOut
from clarion.accept.shapes_events import EventIn
from clarion.accept.submissions import Batch, Item, Key, Marked, digest_of
from clarion.backends.jsonschema.schemas import JsonSchemas
from clarion.domain.channel import Channel
from clarion.domain.content import Template
from clarion.domain.errors import InvalidField, KeyReused, NotFound
from clarion.domain.workflow import Send, Workflow
from clarion.ports.directory import Defined
from clarion.ports.stage_store import Admission as Remembered
from clarion.ports.stage_store import IdempotencyEntry, StageResult
from clarion.ports.web import Caller
from clarion_lab.load.delays import LOCAL
from tests.stages.virtual import START_MS, run
from tests.stages.world import TENANT
from tests.unit.accept.entrance import BATCH, GOOD, ONE, Entrance

CALLER = Caller(TENANT, "key", frozenset({"*"}))
HELLO = NotificationIn(to="u1", template="hello")
KEY = Key("k", digest_of(b"what a caller compares by"))


def test_each_kind_of_request_has_its_acceptance(directory):
    async def story(intake: Any) -> None:
        one = await intake.submit(CALLER, HELLO, None)
        assert (one.told.status, one.replayed, one.told.id[:4]) == ("accepted", False, "ntf_")
        marked = await intake.submit(CALLER, Marked(HELLO, {"name": "Ana"}), None)
        assert marked.told.status == "accepted"
        many = await intake.submit(CALLER, Batch([Item(HELLO), Item(None, NotFound("nowhere"))]), None)
        assert [result.status for result in many.told.results] == ["accepted", "refused"]
        blast = BroadcastIn(
            audience=msgspec.convert({"all": True}, BroadcastIn.__annotations__["audience"]), template="hello"
        )
        assert (await intake.submit(CALLER, blast, None)).told.status == "running"
        assert (await intake.submit(CALLER, EventIn(type="nobody.cares"), None)).told.notifications == []

    run(story(Entrance(directory).intake))


def test_the_same_key_gets_the_same_acceptance_and_another_digest_is_refused(directory):
    async def story(entrance: Entrance) -> None:
        submit = entrance.intake.submit
        first = await submit(CALLER, HELLO, KEY)
        again = await submit(CALLER, HELLO, KEY)
        assert (again.told, again.replayed, again.quota) == (first.told, True, None)
        with pytest.raises(KeyReused):
            await submit(CALLER, HELLO, Key("k", digest_of(b"another")))
        assert len(list(entrance.stored())) == 1

    run(story(Entrance(directory)))


def test_a_key_of_another_kind_of_request_is_refused(directory):
    async def story(entrance: Entrance) -> None:
        await entrance.intake.submit(CALLER, HELLO, KEY)
        with pytest.raises(KeyReused):
            await entrance.intake.submit(CALLER, EventIn(type="t"), KEY)

    run(story(Entrance(directory)))


@pytest.mark.parametrize(
    ("path", "body", "told"),
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
def test_an_answer_that_the_build_before_remembered_is_given_again_as_it_was(directory, path, body, told):
    async def story(entrance: Entrance) -> None:
        digest = digest_of(msgspec.json.encode(body))
        entry = IdempotencyEntry(TENANT, "k", digest, told, START_MS + 1_000_000)
        await entrance.world.journal.commit(StageResult(admission=Remembered(idempotency=[entry])))
        reply = await entrance.post(path, body, key="k")
        assert (reply.raw, reply.status, reply.headers) == (told, 202, {"Idempotency-Replayed": "true"})
        assert list(entrance.stored()) == []

    run(story(Entrance(directory)))


def test_an_item_of_a_batch_that_the_build_before_took_is_told_again(directory):
    async def story(entrance: Entrance) -> None:
        item = {**GOOD, "idempotency_key": "k"}
        told = b'{"status":"accepted","id":"ntf_1","accepted_at":"2026-11-21T00:00:00Z"}'
        entry = IdempotencyEntry(TENANT, "k", digest_of(msgspec.json.encode(item)), told, START_MS + 1_000_000)
        await entrance.world.journal.commit(StageResult(admission=Remembered(idempotency=[entry])))
        (result,) = (await entrance.say(BATCH, {"notifications": [item]}))["results"]
        assert result == {**msgspec.json.decode(told), "replayed": True}
        assert (await entrance.say(ONE, item))["id"] == "ntf_1"

    run(story(Entrance(directory)))


def test_what_is_kept_comes_back_whole_and_only_as_what_it_is():
    told = BroadcastOut("bct_1", "running")
    assert recalled(kept(told), BroadcastOut) == told
    for kind in (NotificationOut, BatchOut):
        with pytest.raises(KeyReused):
            recalled(kept(told), kind)


class Counted:
    """Counts what a directory is asked."""

    def __init__(self, directory: Any) -> None:
        self._directory = directory
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.asked.append(name)
        return getattr(self._directory, name)


def test_a_batch_asks_for_each_thing_once(directory):
    async def story() -> None:
        counted = Counted(directory)
        entrance = Entrance(counted)
        people = [{**GOOD, "to": f"u{n % 3 + 1}"} for n in range(300)]
        results = (await entrance.say(BATCH, {"notifications": [*people, {**GOOD, "template": "gone"}]}))["results"]
        assert [one["status"] for one in results].count("accepted") == 300
        asked = [name for name in counted.asked if name not in LOCAL]
        assert sorted(asked) == ["ordinals", "quotas", "templates"]

    run(story())


NOTHING = Definitions({}, {}, {}, set(), {})


def test_wants_name_each_thing_once():
    wants = wants_of([HELLO, HELLO, NotificationIn(to="u1", workflow="w", category="c")])
    assert wants == Wants({"hello"}, {"w"}, {"c"}, set(), set())


def test_definitions_imply_what_they_name():
    flow = Workflow(steps=(Send(name="tell", template="first"),), category="orders")
    found = NOTHING._replace(workflows={"w": Defined("w", 1, flow)}, templates={"t": Template("t", 1, "news", {})})
    more = implied(found, Wants({"t"}, {"w"}, (), (), ()))
    assert (more.templates, more.categories) == ({"first"}, {"news", "orders"})


def test_admission_needs_nothing_but_values():
    template = Template("hello", 1, None, {Channel.SMS: {"body": "x"}})
    admission = Admission(NOTHING._replace(templates={"hello": template}), JsonSchemas(), START_MS)
    assert admission.notification(addressed(HELLO)).to[0].user_id == "u1"
    with pytest.raises(InvalidField) as refused:
        admission.notification(addressed(NotificationIn(to="u1", template="other")))
    assert (refused.value.field, refused.value.code) == ("template", "unknown_template")
