"""What a definition names stays as long as it does: a removal says who names it, and of two changes at once one is refused."""

import pytest

from clarion.domain.errors import Conflict, InvalidField, NotFound

NOTE = {"channels": {"sms": {"body": "x"}}}
DIGEST = {"kind": "digest", "name": "nightly", "window": {"at": "09:00"}}
SEND = {"kind": "send", "name": "tell", "template": "note", "category": "news"}
CLOCK = {"cron": "0 9 * * 1"}
NAMED = {
    "/v1/categories/news": {},
    "/v1/templates/note": NOTE,
    "/v1/segments/pros": {"filter": {"locale": "de"}},
    "/v1/workflows/digest": {"steps": [DIGEST, {**SEND, "category": None}]},
}
REFERRERS = {
    "schedule 'weekly'": ("/v1/schedules/weekly", {**CLOCK, "to": {"segment": "pros"}, "template": "note", "category": "news"}),
    "schedule 'flowing'": ("/v1/schedules/flowing", {**CLOCK, "to": {"all": True}, "workflow": "digest"}),
    "event rule 'paid'": (
        "/v1/event-rules/paid", {"event": "paid", "notify": [{"to": "'ada'", "template": "note@1", "category": "news"}]},
    ),
    "event rule 'begun'": ("/v1/event-rules/begun", {"event": "begun", "notify": [{"to": "'ada'", "workflow": "digest"}]}),
    "workflow 'hello'": ("/v1/workflows/hello", {"steps": [SEND]}),
    "category 'daily'": ("/v1/categories/daily", {"digest_workflow": "digest"}),
}  # fmt: skip
NAMES = {
    "schedule 'weekly'": ("/v1/categories/news", "/v1/templates/note", "/v1/segments/pros"),
    "schedule 'flowing'": ("/v1/workflows/digest",),
    "event rule 'paid'": ("/v1/categories/news", "/v1/templates/note"),
    "event rule 'begun'": ("/v1/workflows/digest",),
    "workflow 'hello'": ("/v1/categories/news", "/v1/templates/note"),
    "category 'daily'": ("/v1/workflows/digest",),
}


@pytest.fixture
async def plane(control_plane):
    for path, body in NAMED.items():
        await control_plane.call("PUT", path, body)
    return control_plane


def before_commit(plane, monkeypatch, change):
    """Make another change once, between what the next change gathers and what it commits."""
    documents, calls = plane.control.documents, [change]
    commit = documents.commit

    async def late(*values):
        if calls:
            await plane.call(*calls.pop())
        return await commit(*values)

    monkeypatch.setattr(documents, "commit", late)


@pytest.mark.parametrize("who", REFERRERS)
async def test_what_is_named_is_not_removed_and_the_refusal_says_by_whom(plane, who):
    path, body = REFERRERS[who]
    await plane.call("PUT", path, body)
    for named in NAMES[who]:
        with pytest.raises(Conflict) as refused:
            await plane.call("DELETE", named)
        assert refused.value.code == "in_use"
        assert who in refused.value.detail
    await plane.call("DELETE", path)
    if who != "workflow 'hello'":
        return
    await plane.call("DELETE", "/v1/workflows/digest")
    for named in NAMES[who]:
        assert (await plane.call("DELETE", named)).status == 204


@pytest.mark.parametrize("who", REFERRERS)
async def test_what_is_removed_meanwhile_is_not_named(plane, who, monkeypatch):
    path, body = REFERRERS[who]
    if "workflow" not in NAMES[who][0]:
        await plane.call("DELETE", "/v1/workflows/digest")
    before_commit(plane, monkeypatch, ("DELETE", NAMES[who][0]))
    with pytest.raises(InvalidField) as refused:
        await plane.call("PUT", path, body)
    assert refused.value.code == f"unknown_{'category' if 'categories' in NAMES[who][0] else 'workflow'}"
    with pytest.raises(NotFound, match="no such"):
        await plane.call("GET", path)


@pytest.mark.parametrize("who", REFERRERS)
async def test_what_is_named_meanwhile_is_not_removed(plane, who, monkeypatch):
    before_commit(plane, monkeypatch, ("PUT", *REFERRERS[who]))
    with pytest.raises(Conflict, match=who):
        await plane.call("DELETE", NAMES[who][0])
    assert (await plane.call("GET", REFERRERS[who][0])).status == 200


async def test_a_paused_schedule_still_names_what_it_sends(plane):
    await plane.call("PUT", *REFERRERS["schedule 'weekly'"])
    await plane.call("POST", "/v1/schedules/weekly/pause")
    with pytest.raises(Conflict, match="schedule 'weekly'"):
        await plane.call("DELETE", "/v1/segments/pros")


async def test_a_definition_changed_to_name_something_else_lets_go(plane):
    path, body = REFERRERS["schedule 'weekly'"]
    await plane.call("PUT", path, body)
    await plane.call("PUT", path, body | {"to": {"all": True}})
    assert (await plane.call("DELETE", "/v1/segments/pros")).status == 204
