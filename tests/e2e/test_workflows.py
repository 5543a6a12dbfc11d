"""Workflows over HTTP: fetch steps, digests, fallbacks of unseen messages, and killed processes."""

import pytest

from clarion_lab.load.programs import System
from tests.e2e.conftest import QUICK, operator_of, watched
from tests.e2e.outside import new_tenant, one, until
from tests.e2e.receiver import receiving
from tests.e2e.seed import ADA, NOTE
from tests.e2e.test_restart import kill_everything

OUTGOING = {"CLARION_EGRESS_ALLOW_PRIVATE": "127.0.0.0/8", "CLARION_EGRESS_ALLOW_HTTP": "true"}


def step(kind, name, **more):
    return {"kind": kind, "name": name, **more}


def template(name, text, **more):
    return step("send", name, template="note", channels=["inapp"], data={"text": text}, **more)


def titles(tenant, user):
    return [item["content"]["title"] for item in tenant.inbox_of(user).get("/v1/inbox")["data"]]


def ended(tenant, id_):
    """Return the notification's instances once all have ended."""

    def found():
        shown = tenant.seen(id_)
        return shown["status"] in ("completed", "cancelled") and shown.get("instances")

    return until(found, f"the instances of {id_} to end")


@pytest.fixture(scope="module")
def home(operator):
    tenant = new_tenant(operator).seed_data({"note": NOTE}, ("sms",))
    for user in ("ada", "bob"):
        tenant.user(user, phone=ADA["phone"])
    return tenant


def test_many_events_are_one_digest(home):
    text = "string(digest.count) + ' comments, first ' + string(digest.first[0].n)"
    steps = [step("digest", "gather", window={"fixed": "2s"}, key="data.post", first=3), template("tell", text)]
    home.put("/v1/workflows/comments", {"steps": steps})
    batch = [{"to": "ada", "workflow": "comments", "data": {"post": 7, "n": n}} for n in range(200)]
    answers = home.post("/v1/notifications/batch", {"notifications": batch})["results"]
    runs = [one(ended(home, answer["id"])) for answer in answers]
    assert [run["state"] for run in runs].count("merged") == 199
    assert [run["state"] for run in runs].count("completed") == 1
    until(lambda: titles(home, "ada"), "the digest")
    assert titles(home, "ada") == ["200 comments, first 0"]


def test_an_unseen_message_continues_as_sms_and_a_seen_one_does_not(home):
    steps = [
        template("first", "'look'"),
        step("wait_until", "look", seen="first", timeout="3s", next="end", on_timeout="again"),
        step("send", "again", template="note", channels=["sms"], data={"text": "'by sms'"}),
    ]
    home.put("/v1/workflows/unseen", {"steps": steps})
    id_ = home.post("/v1/notifications", {"to": ["ada", "bob"], "workflow": "unseen"})["id"]
    until(lambda: "look" in titles(home, "bob"), "the first message")
    assert home.inbox_of("bob").call("POST", f"/v1/notifications/{id_}/seen").status == 204
    runs = {run["user_id"]: [line["event"] for line in run["progress"]] for run in ended(home, id_)}
    assert runs == {
        "ada": ["started", "step", "waiting", "step", "completed"],
        "bob": ["started", "step", "waiting", "completed"],
    }
    texts = [d for d in home.ended(id_)["deliveries"] if d["channel"] == "sms"]
    assert [(d["user_id"], d["state"]) for d in texts] == [("ada", "sent")]


def test_a_broken_condition_says_in_which_step_and_why(home):
    home.put("/v1/workflows/broken", {"steps": [step("condition", "check", **{"if": "data.total > 3"})]})
    id_ = home.post("/v1/notifications", {"to": "ada", "workflow": "broken"})["id"]
    run = one(ended(home, id_))
    assert run["state"] == "failed"
    assert run["detail"].startswith("step check: ") and "total" in run["detail"]


def test_new_instances_take_the_new_version_and_old_ones_finish_on_theirs(home):
    pause = step("delay", "pause", **{"for": "2s"})
    home.put("/v1/workflows/versions", {"steps": [pause, template("tell", "'old'")]})
    home.changed()
    old = home.post("/v1/notifications", {"to": "bob", "workflow": "versions"})["id"]
    home.put("/v1/workflows/versions", {"steps": [template("tell", "'new'")]})
    home.changed()
    new = home.post("/v1/notifications", {"to": "bob", "workflow": "versions"})["id"]
    assert [one(ended(home, id_))["version"] for id_ in (new, old)] == [2, 1]
    until(lambda: {"old", "new"} <= set(titles(home, "bob")), "both messages")


@pytest.fixture(scope="module")
def outgoing(tmp_path_factory):
    """Return an installation that may call this machine."""
    with watched(System(tmp_path_factory.mktemp("outgoing"), {**QUICK, **OUTGOING})) as started:
        yield started


def test_a_fetch_is_tried_again_and_keeps_to_its_policy(outgoing):
    tenant = new_tenant(operator_of(outgoing)).seed_data({"note": NOTE}, ())
    tenant.user("ada")
    with receiving() as receiver:
        receiver.answers["/orders/a%2Fb"] = [(503, {}), (200, {})]
        receiver.answers["/gone"] = [(500, {}), (500, {})]
        ask = step(
            "fetch", "ask", url=receiver.url + "/orders/{data.order}", method="POST", body="{'user': user.id}",
            headers={"x-source": "clarion {data.n}"},
        )  # fmt: skip
        lost = step(
            "fetch", "lost", url=receiver.url + "/gone", method="POST", body="1", attempts=2, on_error="continue"
        )
        tell = template("tell", "string(steps.ask.status) + ' ' + steps.lost.error")
        tenant.put("/v1/workflows/orders", {"steps": [ask, lost, tell]})
        id_ = tenant.post("/v1/notifications", {"to": "ada", "workflow": "orders", "data": {"order": "a/b", "n": 1}})[
            "id"
        ]
        assert one(ended(tenant, id_))["state"] == "completed"
        calls = receiver.at("/orders/a%2Fb")
        assert [call.body for call in calls] == [b'{"user":"ada"}'] * 2
        assert {call.headers["x-source"] for call in calls} == {"clarion 1"}
        assert len({call.headers["idempotency-key"] for call in calls}) == 1
        assert len(receiver.at("/gone")) == 2
    until(lambda: titles(tenant, "ada"), "the message")
    assert titles(tenant, "ada") == ["200 status 500"]


def test_a_fetch_may_not_call_this_machine_unless_it_is_allowed(home):
    with receiving() as receiver:
        home.put("/v1/workflows/inside", {"steps": [step("fetch", "ask", url=receiver.url + "/", attempts=1)]})
        id_ = home.post("/v1/notifications", {"to": "ada", "workflow": "inside"})["id"]
        assert one(ended(home, id_))["state"] == "failed"
        assert receiver.connections == 0


@pytest.mark.waits
@pytest.mark.processes
def test_after_kills_every_instance_ends_once_and_every_event_is_in_one_digest(tmp_path):
    """Killed while instances wait, and again at about the time at which digests close."""
    people, events = 10, 300
    steps = [
        step("delay", "pause", **{"for": "1s"}),
        step("digest", "gather", window={"fixed": "4s"}),
        step("send", "tell", template="list", channels=["inapp"]),
    ]
    with watched(System(tmp_path, QUICK)) as system:
        listing = {"inapp": {"title": "{% for item in digest.items %}{{ item.n }} {% endfor %}"}}
        tenant = new_tenant(operator_of(system)).seed_data({"list": listing}, ())
        for number in range(people):
            tenant.user(f"u{number}")
        tenant.put("/v1/workflows/gather", {"steps": steps})
        tenant.changed()
        batch = [{"to": f"u{n % people}", "workflow": "gather", "data": {"n": n}} for n in range(events)]
        ids = [taken["id"] for taken in tenant.post("/v1/notifications/batch", {"notifications": batch})["results"]]
        for _ in range(2):
            kill_everything(system)
            system.start()
            system.wait_ready()
        runs = [one(ended(tenant, id_)) for id_ in ids]
        for run in runs:
            endings = [line for line in run["progress"] if line["event"] in ("completed", "merged")]
            assert len(endings) == 1, run["progress"]
            assert run["ended_at"] is not None
        digests = sum(run["state"] == "completed" for run in runs)
        until(lambda: sum(len(titles(tenant, f"u{n}")) for n in range(people)) == digests, "all digests to arrive")
        for number in range(people):
            result = [int(n) for title in titles(tenant, f"u{number}") for n in title.split()]
            assert sorted(result) == list(range(number, events, people))
