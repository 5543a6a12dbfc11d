"""Workflows that are refused when they are stored, each fault with its path."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.control.workflows.graph import before, check_graph
from clarion.control.workflows.rules import check_content, check_workflow, references
from clarion.control.workflows.schema import workflow_schema
from clarion.domain.channel import Channel
from clarion.domain.errors import InvalidField
from clarion.domain.limits import WORKFLOW_STEPS_MAX
from clarion.domain.workflow import END, Condition, Workflow, follows
from clarion.languages.cel.expressions import CelExpressions
from clarion.ports.expressions import ExpressionError
from clarion.ports.web import invalid_field

TEMPLATES = {"hello": {Channel.PUSH, Channel.SMS}}


def step(kind, name="it", **fields):
    return {"kind": kind, "name": name, **fields}


def send(name="tell", **fields):
    return step("send", name, template="hello", **fields)


def fault_of(text, names):
    try:
        CelExpressions().compile(text, names)
    except ExpressionError as error:
        return str(error)
    return ""


def read(written):
    try:
        return msgspec.json.decode(msgspec.json.encode(written), type=Workflow)
    except msgspec.ValidationError as error:
        raise invalid_field(error) from None


def stored(*steps, **fields):
    """Read and check a workflow as the API does."""
    workflow = read({"steps": steps, **fields})
    check_workflow(workflow, fault_of)
    check_content(workflow, TEMPLATES)
    for one in references(workflow):
        if (one.kind, one.key) not in {("template", "hello"), ("category", "news")}:
            raise one.unknown()
    return workflow


EACH_KIND = (
    step("condition", "choose", **{"if": "user.plan == 'pro'", "then": "push", "otherwise": "nightly"}),
    step("digest", "nightly", window={"at": "09:00", "days": [1, 5]}, key="data.post", first=3),
    step("throttle", "limit", limit=2, per="1d", key="data.post", otherwise="look_up"),
    step("set", "remember", values={"name": "data.items.exists(i, i.open) ? 'open' : 'done'"}),
    step("fetch", "look_up", url="https://api.example.com/{data.id}?q={user.zone}", method="POST", body="{'n': vars.name}",
         headers={"Authorization": "Bearer {data.token}"}, timeout="5s", attempts=2, on_error="continue"),
    step("delay", "pause", **{"for": "2w"}),
    step("delay", "until", until="timestamp(data.starts_at) - duration('1h')"),
    step("delay", "morning", at="08:00", days=[6, 7]),
    send("push", channels=["push"], data={"n": "digest.count"}, category="news"),
    step("wait_until", "seen", seen="push", timeout="2m", on_timeout="text"),
    step("wait_until", "paid", event="order.paid", where="event.order == data.order", timeout="3d", next="end"),
    send("text", route={"first": ["push", "sms"], "until": "seen", "within": "1m"}),
)  # fmt: skip


def test_every_kind_of_step_round_trips():
    workflow = stored(*EACH_KIND, name="All", category="news", defaults={"*": True, "sms": False}, variables=["post"])
    assert read(workflow) == workflow
    assert [follows(workflow, index)["next"] for index in (1, 10, 11)] == ["limit", END, END]


FAULTS = {
    "no steps": ([], "steps"),
    "too many steps": ([send(f"s{n}") for n in range(WORKFLOW_STEPS_MAX + 1)], "steps"),
    "too many expressions": ([step("set", f"s{n}", values={str(m): "1" for m in range(99)}) for n in range(4)], "steps"),
    "too many values": ([step("set", values={str(m): "1" for m in range(101)})], "steps[0].values"),
    "an unknown kind": ([send(), step("teleport")], "steps[1].kind"),
    "a name missing": ([send(), {"kind": "send", "template": "hello"}], "steps[1].name"),
    "a field that is none": ([send(), step("set", values={"a": "1"}, iff="x")], "steps[1].iff"),
    "a wrong type": ([send(), step("throttle", limit="2", per="1d")], "steps[1].limit"),
    "an unknown channel": ([send(channels=["pigeon"])], "steps[0].channels[0]"),
    "a name in capitals": ([send("Tell")], "steps[0].name"),
    "the name end": ([send("end")], "steps[0].name"),
    "an empty name": ([send("")], "steps[0].name"),
    "a name twice": ([send("a"), send("b"), send("a")], "steps[2].name"),
    "no such next": ([send("a", next="z"), send("b")], "steps[0].next"),
    "an empty next": ([send("a", next="")], "steps[0].next"),
    "no such then": ([step("condition", **{"if": "true", "then": "z"})], "steps[0].then"),
    "no such otherwise": ([step("throttle", limit=1, per="1d", otherwise="z")], "steps[0].otherwise"),
    "no such on_timeout": ([send("a"), step("wait_until", seen="a", timeout="1m", on_timeout="z")], "steps[1].on_timeout"),
    "a step back to itself": ([send("a", next="a")], "steps[0].next"),
    "a cycle": ([send("a"), send("b", next="c"), send("c", next="b")], "steps[2].next"),
    "a cycle nobody reaches": ([send("a", next="end"), send("b", next="c"), send("c", next="b")], "steps[2].next"),
    "an unreachable step": ([send("a", next="c"), send("b"), send("c")], "steps[1]"),
    "a condition that does not parse": ([send("a"), step("condition", **{"if": "data.x >"})], "steps[1].if"),
    "a name no expression has": ([step("condition", **{"if": "event.x"})], "steps[0].if"),
    "a function there is not": ([send(data={"n": "shout(data.n)"})], "steps[0].data.n"),
    "a where that does not parse": ([step("wait_until", event="e", where="(", timeout="1m")], "steps[0].where"),
    "a key that does not parse": ([step("digest", key="[", window={"fixed": "1h"})], "steps[0].key"),
    "an until that does not parse": ([step("delay", until="noon o'clock")], "steps[0].until"),
    "a value that does not parse": ([step("set", values={"a": "1", "b": ")"})], "steps[0].values.b"),
    "nothing to set": ([step("set", values={})], "steps[0].values"),
    "a delay of nothing": ([step("delay")], "steps[0]"),
    "a delay of two things": ([step("delay", **{"for": "1m", "at": "09:00"})], "steps[0]"),
    "a delay over a year": ([send("a"), step("delay", **{"for": "53w"})], "steps[1].for"),
    "a delay of no time": ([step("delay", **{"for": "0s"})], "steps[0].for"),
    "a delay that is none": ([step("delay", **{"for": "soon"})], "steps[0].for"),
    "a time of day that is none": ([step("delay", at="24:00")], "steps[0].at"),
    "days that are none": ([step("delay", at="09:00", days=[0])], "steps[0].days"),
    "days of a plain delay": ([step("delay", days=[1], **{"for": "1m"})], "steps[0].days"),
    "two windows": ([step("digest", window={"fixed": "1h", "at": "09:00"})], "steps[0].window"),
    "no window": ([step("digest", window={})], "steps[0].window"),
    "a window over a year": ([step("digest", window={"fixed": "366d"})], "steps[0].window.fixed"),
    "at_most without sliding": ([step("digest", window={"fixed": "1h", "at_most": "2h"})], "steps[0].window.at_most"),
    "at_most below sliding": ([step("digest", window={"sliding": "1h", "at_most": "2m"})], "steps[0].window.at_most"),
    "days of a fixed window": ([step("digest", window={"fixed": "1h", "days": [1]})], "steps[0].window.days"),
    "a first of none": ([step("digest", window={"fixed": "1h"}, first=0)], "steps[0].first"),
    "a throttle of none": ([step("throttle", limit=0, per="1d")], "steps[0].limit"),
    "a throttle over a year": ([step("throttle", limit=1, per="53w")], "steps[0].per"),
    "waiting for nothing": ([step("wait_until", timeout="1m")], "steps[0]"),
    "waiting for two things": ([send("a"), step("wait_until", seen="a", event="e", timeout="1m")], "steps[1]"),
    "waiting without end": ([step("wait_until", event="e", timeout="366d")], "steps[0].timeout"),
    "where without an event": ([send("a"), step("wait_until", seen="a", where="true", timeout="1m")], "steps[1].where"),
    "seen of no step": ([send("a"), step("wait_until", seen="b", timeout="1m")], "steps[1].seen"),
    "seen of a later step": ([step("wait_until", "w", seen="a", timeout="1m"), send("a")], "steps[0].seen"),
    "seen of another kind": ([step("set", "a", values={"b": "1"}), step("wait_until", seen="a", timeout="1m")],
                             "steps[1].seen"),
    "channels and a route": ([send(channels=["sms"], route={"all": ["push"]})], "steps[0].route"),
    "a channel twice": ([send(channels=["sms", "sms"])], "steps[0].channels"),
    "a route that is none": ([send("a"), send("b", route={"first": ["push"], "within": "1m"})], "steps[1].route.within"),
    "a template there is not": ([send("a"), step("send", "b", template="gone")], "steps[1].template"),
    "content there is not": ([send(channels=["sms", "email"])], "steps[0].channels[1]"),
    "content a route needs": ([send(route={"all": ["push", {"first": ["email"]}]})], "steps[0].route"),
    "a category there is not": ([send(category="gone")], "steps[0].category"),
    "an address of a file": ([step("fetch", url="file:///etc/passwd")], "steps[0].url"),
    "an address without a host": ([step("fetch", url="/orders")], "steps[0].url"),
    "an address with a password": ([step("fetch", url="https://me:pw@example.com/")], "steps[0].url"),
    "a host from data": ([step("fetch", url="https://{data.host}/")], "steps[0].url"),
    "a scheme from data": ([step("fetch", url="{data.url}")], "steps[0].url"),
    "a line break in an address": ([step("fetch", url="https://example.com/\r\nx: y")], "steps[0].url"),
    "a brace left open": ([step("fetch", url="https://example.com/{data.id")], "steps[0].url"),
    "a placeholder that does not parse": ([step("fetch", url="https://example.com/{data.}")], "steps[0].url"),
    "a line break in a header": ([step("fetch", url="https://example.com", headers={"X": "a\r\nb: c"})],
                                 "steps[0].headers.X"),
    "a header that is none": ([step("fetch", url="https://example.com", headers={"X Y": "a"})], "steps[0].headers.X Y"),
    "another host": ([step("fetch", url="https://example.com", headers={"Host": "a"})], "steps[0].headers.Host"),
    "a header that does not parse": ([step("fetch", url="https://example.com", headers={"X": "{1 +}"})],
                                     "steps[0].headers.X"),
    "too many headers": ([step("fetch", url="https://example.com", headers={f"X{n}": "a" for n in range(21)})],
                         "steps[0].headers"),
    "a body of a GET": ([step("fetch", url="https://example.com", body="data")], "steps[0].body"),
    "a body that does not parse": ([step("fetch", url="https://example.com", method="POST", body="{")], "steps[0].body"),
    "a method that is none": ([step("fetch", url="https://example.com", method="PUT")], "steps[0].method"),
    "a time-out too long": ([step("fetch", url="https://example.com", timeout="2m")], "steps[0].timeout"),
    "attempts without end": ([step("fetch", url="https://example.com", attempts=11)], "steps[0].attempts"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_refused_with_its_path(fault):
    steps, field = FAULTS[fault]
    with pytest.raises(InvalidField) as refused:
        stored(*steps)
    assert refused.value.field == field, refused.value.detail


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"category": "gone"}, "category"),
        ({"defaults": {"pigeon": True}}, "defaults.pigeon"),
        ({"variables": ["a", "a"]}, "variables[1]"),
        ({"variables": [""]}, "variables[0]"),
        ({"variables": [str(n) for n in range(101)]}, "variables"),
        ({"name": "two\nlines"}, "name"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_a_fault_outside_of_steps_is_refused_too(fields, field):
    with pytest.raises(InvalidField) as refused:
        stored(send(), **fields)
    assert refused.value.field == field, refused.value.detail


def test_the_schema_names_every_kind_of_step_and_what_it_needs():
    schema = workflow_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    kinds = schema["$defs"]["Workflow"]["properties"]["steps"]["items"]["discriminator"]["mapping"]
    assert set(kinds) == {"send", "delay", "digest", "throttle", "condition", "wait_until", "fetch", "set"}
    for definition in schema["$defs"].values():
        assert definition["title"]
        assert "enum" in definition or definition["additionalProperties"] is False
    assert "if" in schema["$defs"]["Condition"]["required"]


NAMES = [f"s{number}" for number in range(8)]
links = st.sampled_from([*NAMES, END]) | st.none()
graphs = st.lists(st.tuples(links, links), min_size=1, max_size=len(NAMES))


@given(graphs)
def test_a_graph_is_accepted_exactly_when_every_step_is_reachable_and_there_is_no_cycle(drawn):
    names = NAMES[: len(drawn)]
    steps = tuple(
        Condition(name=name, if_="true", then=then, otherwise=otherwise)
        for name, (then, otherwise) in zip(names, drawn, strict=True)
    )
    workflow = Workflow(steps=steps)
    ways = {step.name: set(follows(workflow, index).values()) - {END} for index, step in enumerate(steps)}
    # Reachability by brute force: step sets grown once for each step.
    above = {name: ways[name] & set(names) for name in names}
    for _ in names:
        above = {name: found | {more for one in found for more in above[one]} for name, found in above.items()}
    whole = all(found <= set(names) for found in ways.values())
    good = whole and not any(name in above[name] for name in names) and set(names[1:]) <= above[names[0]]
    try:
        check_graph(workflow)
    except InvalidField as refused:
        assert not good, refused.detail
    else:
        assert good
        for index, name in enumerate(names):
            assert before(workflow, index) == {other for other in names if name in above[other]}
