"""Use cases of product teams, over HTTP."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.e2e.outside import new_tenant, one, until
from tests.e2e.seed import NOTE, phone

ZONE = "Asia/Kolkata"
COMMENTS = {
    "inapp": {"title": "{{ digest.count }} comments", "body": "{% for c in digest.first %}{{ c.who }} {% endfor %}"}
}
NEWS = {
    "push": {"title": "{{ text }}"},
    "sms": {"body": "{{ text }}"},
    "email": {"subject": "{{ text }}", "text": "{{ text }}"},
}


@pytest.fixture
def home(tenant):
    """Return a tenant with Ada in Kolkata, who has a phone and a mailbox."""
    tenant.seed_data({"news": NEWS, "note": NOTE}, ("push", "sms", "email"))
    device = {"id": "phone", "channel": "push", "token": "token-of-ada"}
    tenant.user("ada", zone=ZONE, email="ada@example.com", phone=phone(101), devices=[device])
    return tenant


def states(notification):
    """Return the state of each channel, with the reason where there is one."""
    return {d["channel"]: (d["state"], d["reason"]) if d["reason"] else d["state"] for d in notification["deliveries"]}


def at(text):
    """Return a time in the format of the API."""
    return datetime.fromisoformat(text)


def wall(ahead):
    """Return the local time in Kolkata at this distance from now."""
    return f"{datetime.now(ZoneInfo(ZONE)) + ahead:%H:%M}"


def quiet(home, until_in, since=timedelta(hours=-1)):
    """Set quiet hours for Ada from an hour ago until the full minute at this distance from now; return that minute."""
    home.put("/v1/users/ada/quiet-hours", {"windows": [{"start": wall(since), "end": wall(until_in)}]})
    return (datetime.now(UTC) + until_in).replace(second=0, microsecond=0)


def test_two_hundred_comments_are_one_message_that_counts_them(home):
    home.seed_data({"comments": COMMENTS}, [])
    steps = [
        {"kind": "digest", "name": "collect", "key": "data.post", "first": 3, "window": {"fixed": "2s"}},
        {"kind": "send", "name": "tell", "template": "comments"},
    ]
    home.put("/v1/workflows/comments", {"steps": steps})

    def comment(number):
        return {"to": "ada", "workflow": "comments", "data": {"post": "p1", "who": f"w{number}"}}

    batches = [{"notifications": [comment(50 * part + number) for number in range(50)]} for part in range(4)]
    results = [result for batch in batches for result in home.post("/v1/notifications/batch", batch)["results"]]
    report = [until(lambda id_=result["id"]: ended_run(home, id_), "its run to end") for result in results]
    assert sorted(run["state"] for run, _ in report) == ["completed"] + ["merged"] * 199
    content = one(item["content"] for item in home.inbox_of("ada").get("/v1/inbox")["data"])
    assert content["title"] == "200 comments"
    first, leader = content["body"].split(), one(id_ for run, id_ in report if run["state"] == "completed")
    assert len(first) == 3
    assert home.seen(leader)["data"]["who"] == first[0]
    assert {run["detail"] for run, _ in report if run["state"] == "merged"} == {f"into {leader}"}


def ended_run(home, id_):
    """The run of a notification's workflow with its id, once it has ended."""
    run = next(iter(home.seen(id_).get("instances", [])), None)
    return (run, id_) if run and run["ended_at"] else None


def seen_and_unseen(home, request):
    """Send twice; Ada sees the first push. Return both results when the time to see them is over."""
    ids = [home.post("/v1/notifications", {"to": "ada", "data": {"text": "hi"}, **request})["id"] for _ in range(2)]
    for id_ in ids:
        until(lambda id_=id_: states(home.seen(id_)).get("push") == "sent", "the push")
    assert home.inbox_of("ada").call("POST", f"/v1/notifications/{ids[0]}/seen").status == 204
    until(lambda: states(home.seen(ids[1])).get("sms") == "sent", "the text message")
    # Both were sent before the first was seen, so once the second one's follow-up is decided, the first one's is, too.
    third = home.post("/v1/notifications", {"to": "ada", "data": {"text": "hi"}, **request})["id"]
    until(lambda: states(home.seen(third)).get("sms") == "sent", "the text message of a later one")
    return [states(home.seen(id_)) for id_ in ids]


def test_a_push_unseen_in_time_becomes_a_text_message_by_its_route(home):
    route = {"first": ["push", "sms"], "until": "seen", "within": "1s"}
    home.put("/v1/categories/chat", {"route": route})
    report = seen_and_unseen(home, {"template": "news", "category": "chat"})
    assert report == [{"push": "sent"}, {"push": "sent", "sms": "sent"}]


def test_a_push_unseen_in_time_becomes_a_text_message_by_a_workflow(home):
    steps = [
        {"kind": "send", "name": "first", "template": "news", "channels": ["push"]},
        {"kind": "wait_until", "name": "look", "seen": "first", "timeout": "1s", "next": "end", "on_timeout": "again"},
        {"kind": "send", "name": "again", "template": "news", "channels": ["sms"]},
    ]
    home.put("/v1/workflows/insist", {"steps": steps})
    assert seen_and_unseen(home, {"workflow": "insist"}) == [{"push": "sent"}, {"push": "sent", "sms": "sent"}]


def test_a_push_that_fails_for_good_becomes_a_text_message_at_once(home):
    home.sandbox("push", by_attempt=["refused"])
    home.put("/v1/categories/chat", {"route": {"first": ["push", "sms", "email"], "until": "sent"}})
    id_ = home.send("ada", "news", {"text": "hi"}, category="chat")
    until(lambda: states(home.seen(id_)) == {"push": ("failed", "refused"), "sms": "sent"}, "the text message")
    assert home.ended(id_)["status"] == "completed"


def test_in_quiet_hours_marketing_is_held_with_its_time_and_security_goes_at_once(home):
    home.put("/v1/categories/marketing", {"priority": "bulk"})
    home.put("/v1/categories/security", {"critical": True, "priority": "critical"})
    ends = quiet(home, timedelta(hours=8))
    held = home.send("ada", "news", {"text": "sale"}, category="marketing", channels=["push"])
    alert = home.send_and_wait("ada", "news", {"text": "login"}, category="security")
    assert states(alert) == {"push": "sent", "sms": "sent", "email": "sent"}
    until(lambda: states(home.seen(held)) == {"push": ("held", "quiet_hours")}, "it is held")
    report = home.seen(held)
    assert at(one(report["deliveries"])["retry_at"]) == ends
    assert report["status"] == "in_progress"
    decided = one(one(home.get(f"/v1/notifications/{held}/explain")["recipients"])["channels"])
    assert (decided["decision"], at(decided["until"])) == ("hold", ends)
    assert [m["content"]["parts"]["title"] for m in home.captured(channel="push")] == ["login"]
    home.post(f"/v1/notifications/{held}/cancel")
    until(lambda: home.seen(held)["status"] == "cancelled", "what is held is taken back at once")


@pytest.mark.waits
@pytest.mark.slow
def test_when_quiet_hours_end_what_was_held_is_decided_by_what_holds_then(home):
    home.put("/v1/categories/marketing", {})
    ends = quiet(home, timedelta(minutes=1))
    held = home.send("ada", "news", {"text": "order"}, channels=["push"])
    unwanted = home.send("ada", "news", {"text": "sale"}, category="marketing", channels=["push"])
    taken_back = home.send("ada", "news", {"text": "late"}, channels=["push"])
    for id_ in (held, unwanted, taken_back):
        until(lambda id_=id_: states(home.seen(id_)) == {"push": ("held", "quiet_hours")}, "it is held")
    home.put("/v1/users/ada/preferences", {"marketing": {"*": False}})
    home.post(f"/v1/notifications/{taken_back}/cancel")
    report = home.ended(held, wait_s=75)
    assert states(report) == {"push": "sent"}
    assert timedelta() <= at(one(report["deliveries"])["finished_at"]) - ends < timedelta(seconds=10)
    assert [m["event"] for m in report["timeline"] if m["event"] in ("held", "released")] == ["held", "released"]
    assert states(home.ended(unwanted)) == {"push": ("skipped", "opted_out")}
    for id_, verdicts in ((held, ["pass", "pass"]), (unwanted, ["skip", "pass"])):
        decided = one(one(home.get(f"/v1/notifications/{id_}/explain")["recipients"])["channels"])
        asked = [rule["verdict"] for rule in decided["rules"] if rule["rule"] in ("preferences", "quiet_hours")]
        assert asked == verdicts
    until(lambda: states(home.seen(taken_back)) == {"push": ("cancelled", "cancelled")}, "the end of the cancelled one")
    assert [message["content"]["parts"]["title"] for message in home.captured(channel="push")] == ["order"]


def test_the_fourth_of_three_a_day_is_skipped(home):
    home.put("/v1/categories/tips", {"caps": [{"limit": 3, "per": "1d"}]})
    report = [
        states(home.send_and_wait("ada", "news", {"text": n}, category="tips", channels=["push"])) for n in range(4)
    ]
    assert report == [{"push": "sent"}] * 3 + [{"push": ("skipped", "capped")}]
    home.user("bob", email="bob@example.com")
    assert states(home.send_and_wait("bob", "news", {"text": "b"}, category="tips", channels=["email"])) == {
        "email": "sent"
    }
    assert states(home.send_and_wait("ada", "news", {"text": "other"}, channels=["push"])) == {"push": "sent"}


def test_what_is_over_a_cap_can_wait_for_room(home):
    caps = [{"limit": 30, "per": "1m", "channel": "push"}]
    home.put("/v1/categories/tips", {"caps": caps, "over_cap": "defer"})
    tip = {"to": "ada", "template": "news", "data": {"text": "tip"}, "category": "tips", "channels": ["push"]}
    tips = [result["id"] for result in home.post("/v1/notifications/batch", {"notifications": [tip] * 31})["results"]]
    held = until(lambda: [d for id_ in tips for d in home.seen(id_)["deliveries"] if d["state"] == "held"], "one waits")
    assert [(d["reason"], d["detail"]) for d in held] == [("capped", "over 30 per 1m of tips by push")]
    report = [one(home.ended(id_)["deliveries"]) for id_ in tips]
    assert {delivery["state"] for delivery in report} == {"sent"}
    late = one(delivery for delivery in report if delivery["id"] == held[0]["id"])
    assert at(late["finished_at"]) >= at(held[0]["retry_at"])


def test_what_is_over_a_cap_can_be_collected(home):
    home.seed_data(
        {"more": {"sms": {"body": "{{ digest.count }}: {% for i in digest.items %}{{ i.text }} {% endfor %}"}}}, []
    )
    steps = [
        {"kind": "digest", "name": "collect", "window": {"fixed": "2s"}},
        {"kind": "send", "name": "tell", "template": "more", "category": "roundup"},
    ]
    home.put("/v1/categories/roundup", {})
    home.put("/v1/workflows/roundup", {"steps": steps})
    over = {"over_cap": "digest", "digest_workflow": "roundup"}
    home.put("/v1/categories/tips", {"caps": [{"limit": 1, "per": "1d"}], **over})
    ids = [home.send("ada", "news", {"text": n}, category="tips", channels=["push"]) for n in range(4)]
    report = [states(home.ended(id_)) for id_ in ids]
    assert sorted(map(str, report)) == sorted(map(str, [{"push": "sent"}] + [{"push": ("merged", "merged")}] * 3))
    bodies = until(lambda: [m["content"]["parts"]["body"] for m in home.captured(channel="sms")], "the round-up")
    merged = sorted(n for n, each in enumerate(report) if each != {"push": "sent"})
    (count, listed) = one(bodies).split(": ")
    assert (count, sorted(listed.split())) == ("3", [str(n) for n in merged])


def test_a_journey_is_cancelled_by_its_key_in_the_middle(home):
    steps = [
        {"kind": "send", "name": "hello", "template": "news", "channels": ["push"]},
        {"kind": "delay", "name": "rest", "for": "1s"},
        {"kind": "send", "name": "more", "template": "news", "channels": ["sms"]},
    ]
    home.put("/v1/workflows/trial", {"steps": steps})
    request = {"to": "ada", "workflow": "trial", "data": {"text": "hi"}}
    gone = home.post("/v1/notifications", {**request, "cancellation_key": "trial of ada"})["id"]
    until(lambda: states(home.seen(gone)) == {"push": "sent"}, "its first step")
    assert home.post("/v1/notifications/cancel", {"cancellation_key": "trial of ada"})["notifications"] == 1
    stays = home.post("/v1/notifications", request)["id"]
    assert states(home.ended(stays)) == {"push": "sent", "sms": "sent"}
    run, _ = until(lambda: ended_run(home, gone), "its end")
    assert (run["state"], states(home.seen(gone))) == ("cancelled", {"push": "sent"})


def test_a_critical_one_overtakes_a_backlog_of_bulk(operator):
    home = new_tenant(operator).seed_data({"news": NEWS}, [])
    home.sandbox("sms", latency_ms=100)
    home.put("/v1/categories/security", {"critical": True, "priority": "critical"})
    bulk = [{"to": {"phone": phone(n)}, "template": "news", "data": {"text": n}, "priority": "bulk", "channels": ["sms"]}
            for n in range(1_000)]  # fmt: skip
    results = home.post("/v1/notifications/batch", {"notifications": bulk})["results"]
    assert {result["status"] for result in results} == {"accepted"}
    alerts = [
        home.send({"phone": phone(n)}, "news", {"text": "!"}, category="security", channels=["sms"])
        for n in range(2_000, 2_008)
    ]
    assert {one(home.ended(id_)["deliveries"])["state"] for id_ in alerts} == {"sent"}
    assert [r["id"] for r in results[-10:] if home.seen(r["id"])["states"] != {"sent": 1}], (
        "the backlog was sent before the alerts"
    )
    until(lambda: len(home.captured(channel="sms", limit=200)) == len(bulk) + len(alerts), "the rest", 60)
