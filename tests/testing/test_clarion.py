"""The installation in a test: its refusals, its results, its isolation and its cleanup."""

import asyncio
import tempfile
import threading
from pathlib import Path

import pytest

from clarion.testing import CallerError, Clarion, InvalidField
from tests.testing.people import bodies, put_person, reasons, sent


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/workflows/w", {"steps": [{"kind": "delay", "name": "a", "for": "2y"}]}, "steps[0].for"),
        ("/v1/workflows/w", {"steps": [{"kind": "condition", "name": "a", "if": "data.n >"}]}, "steps[0].if"),
        ("/v1/templates/t", {"channels": {"sms": {"body": "{{ name"}}}, "channels.sms.body"),
        ("/v1/policy", {"zone": "Atlantis/Capital"}, "zone"),
        ("/v1/users/u", {"email": 7}, "email"),
    ],
)
def test_what_the_api_refuses_is_refused_with_the_path_of_the_fault(clarion, path, body, field):
    with pytest.raises(InvalidField) as refused:
        clarion.call("PUT", path, body)
    assert refused.value.field == field
    with pytest.raises(CallerError, match="unknown"):
        clarion.notify(to="nobody", template="nothing")
    clarion.run_for("1d")
    assert clarion.deliveries == []


def test_definitions_come_from_files_as_well(clarion, tmp_path):
    as_toml, as_json = tmp_path / "flow.toml", tmp_path / "flow.json"
    as_toml.write_text('[[steps]]\nkind = "send"\nname = "tell"\ntemplate = "alert"\n')
    as_json.write_text('{"steps": [{"kind": "send", "name": "tell", "template": "alert"}]}')
    for file in (as_toml, as_json):
        clarion.put_workflow(file.suffix[1:], file)
        clarion.notify(to="ana", workflow=file.suffix[1:])
    assert [(d.template, d.step) for d in clarion.deliveries] == [("alert", "tell")] * 2
    as_toml.write_text("steps = [")
    with pytest.raises(CallerError, match="not valid TOML"):
        clarion.put_workflow("toml", as_toml)


def test_a_delivery_says_all_that_was_sent(clarion):
    clarion.put_category("order", {})
    id_ = clarion.notify(to="ana", template="hello", channels=["push"], category="order", data={"name": "Ana"})
    (delivery,) = clarion.deliveries
    assert delivery == (
        "2026-03-02T09:00:00Z", "ana", "push", "hello", {"title": "Hello Ana"}, "token-of-ana", "order", "", 1, id_,
    )  # fmt: skip


def test_the_inbox_is_there_as_well(clarion):
    put_person(clarion, "kim", "Asia/Seoul")
    clarion.put_template("personal", {"channels": {"inapp": {"title": "Hi {{ user.id }}, {{ word }}"}}})
    clarion.broadcast({"all": True}, template="personal", data={"word": "all"})
    clarion.notify(to="kim", template="personal", data={"word": "you"})
    items = clarion.call("GET", "/v1/inbox", user="kim")["data"]
    assert {item["content"]["title"] for item in items} == {"Hi kim, all", "Hi kim, you"}
    assert sorted(d.content["title"] for d in clarion.deliveries) == ["Hi ana, all", "Hi kim, all", "Hi kim, you"]


def test_the_inbox_fails_and_recovers_like_any_channel(clarion):
    clarion.fail("inapp")
    failed = clarion.notify(to="ana", template="news", channels=["inapp"])
    assert reasons(clarion, failed) == [("inapp", "failed", "refused")]
    for _ in range(2):
        clarion.recover("inapp")
    clarion.notify(to="ana", template="news", channels=["inapp"])
    assert [item["content"] for item in clarion.call("GET", "/v1/inbox", user="ana")["data"]] == [{"title": "News"}]


def test_an_explanation_sends_nothing_and_agrees_with_what_happens(clarion):
    clarion.put_quiet_hours("ana", {"windows": [{"start": "08:00", "end": "20:00"}]})
    result = clarion.explain(to="ana", template="sale")["recipients"][0]["channels"]
    assert clarion.deliveries == []
    id_ = clarion.notify(to="ana", template="sale")
    assert [(one["channel"], "held", one["reason"]) for one in result] == reasons(clarion, id_)
    assert {one["until"] for one in result} == {"2026-03-02T19:00:00Z"}
    clarion.run_for("1d")
    assert {at for at, *_ in sent(clarion)} == {"2026-03-02T19:00:00Z"}


def story():
    with Clarion(start="2026-03-02T09:00:00Z") as clarion:
        clarion.put_template("note", {"channels": {"sms": {"body": "{{ text }}"}, "push": {"title": "{{ text }}"}}})
        for number in range(20):
            put_person(clarion, f"user-{number}", "Europe/Rome")
        clarion.fail("push", "transient", address="token-of-user-1*")
        clarion.notify(to=[f"user-{number}" for number in range(20)], template="note", data={"text": "one"})
        clarion.broadcast({"all": True}, template="note", data={"text": "all"})
        clarion.run_for("3s")
        clarion.recover("push")
        clarion.run_for("1d")
        return clarion.deliveries


def test_two_runs_are_the_same_to_the_last_id():
    first = story()
    assert len(first) == 80
    assert first == story()


def test_nothing_is_left_when_it_is_over(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    threads = threading.active_count()
    story()
    assert threading.active_count() == threads
    assert list(tmp_path.iterdir()) == []


def test_two_installations_know_nothing_of_each_other(clarion):
    with Clarion(start="2030-01-01T00:00:00Z") as other:
        put_person(other, "ana", "Europe/Rome")
        with pytest.raises(InvalidField, match="note"):
            other.notify(to="ana", template="note", data={"text": "here?"})
        clarion.notify(to="ana", template="note", data={"text": "here"})
        assert other.deliveries == []
    assert bodies(clarion) == [("2026-03-02T09:00:00Z", "here")]


def test_time_goes_forward_only_and_says_its_offset(clarion):
    clarion.run_for("90m")
    assert clarion.now == "2026-03-02T10:30:00Z"
    clarion.run(until="2026-03-02T12:00:00.250+01:00")
    assert clarion.now == "2026-03-02T11:00:00.250Z"
    with pytest.raises(ValueError, match="has passed"):
        clarion.run(until="2026-03-02T11:00:00Z")
    with pytest.raises(ValueError, match="offset"):
        clarion.run(until="2026-03-03T09:00:00")
    with pytest.raises(ValueError, match="offset"):
        Clarion(start="2026-03-02T09:00:00")


def test_what_an_operator_would_see_is_in_faults(clarion):
    clarion.put_template("broken", {"channels": {"sms": {"body": "{{ 1 | divided_by: zero }}"}}})
    id_ = clarion.notify(to="ana", template="broken", data={"zero": 0})
    assert reasons(clarion, id_) == [("sms", "failed", "render_failed")]
    assert clarion.faults == []


def test_an_endpoint_that_is_not_there_is_not_found(clarion):
    with pytest.raises(CallerError, match="there is no GET /v1/nothing"):
        clarion.call("GET", "/v1/nothing")


async def test_a_test_that_is_a_coroutine_uses_a_thread():
    deliveries = await asyncio.to_thread(story)
    assert len(deliveries) == 80


def test_the_working_directory_has_no_say(monkeypatch, tmp_path):
    Path(tmp_path, "clarion.toml").write_text("unknown = 1")
    monkeypatch.chdir(tmp_path)
    assert len(story()) == 80
