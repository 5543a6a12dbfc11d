"""An explanation predicts the actual result, for every reason."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.e2e.outside import one, until
from tests.e2e.seed import phone

CONTENT = {
    "push": {"title": "{{ text }}"},
    "sms": {"body": "{{ text }}, {{ user.id }}"},
    "email": {"subject": "{{ text }}", "text": "{{ text }}"},
}
VERDICT_OF = {"sent": "send", "held": "hold", "skipped": "skip", "merged": "merge"}
RULES = ["content", "provider", "preferences", "quiet_hours", "contact", "suppression", "caps"]


@pytest.fixture
def home(tenant):
    """Return a tenant where Ada has a mailbox and a phone, but no device."""
    tenant.seed_data({"news": CONTENT}, ("push", "sms", "email"))
    tenant.user("ada", email="ada@example.com", phone=phone(101), zone="Asia/Kolkata")
    return tenant


def explained(home, **request):
    """Explain, then send. Return the explained channels, once the actual results and the explanation of the sent
    notification agree with them."""
    body = {"to": "ada", "template": "news", "data": {"text": "hi"}, **request}
    (would,) = home.post("/v1/notifications/explain", body)["recipients"]
    promised = {one["channel"]: one for one in would["channels"]}
    assert home.get("/v1/notifications")["data"] == [], "an explanation sends nothing"
    id_ = home.post("/v1/notifications", body)["id"]
    happened = until(lambda: decided(home.seen(id_)), "it is decided")
    expected = {name: word(one) for name, one in promised.items() if not elsewhere(one)}
    assert {name: (VERDICT_OF[state], reason) for name, (state, reason) in happened.items()} == expected
    (was,) = home.get(f"/v1/notifications/{id_}/explain")["recipients"]
    assert {one["channel"]: word(one) for one in was["channels"]} == {n: word(one) for n, one in promised.items()}
    return promised


def decided(notification):
    """Return state and reason of each channel, or None while a delivery is in progress."""
    found = {d["channel"]: (d["state"], d["reason"]) for d in notification["deliveries"]}
    return found if found and {state for state, _ in found.values()} <= VERDICT_OF.keys() else None


def word(channel):
    return channel["decision"], channel.get("reason")


def elsewhere(channel):
    """Return whether the route does not reach the channel, so that it has no delivery."""
    return channel["decision"] == "later" or channel.get("reason") == "routed_elsewhere"


def verdict_of(channel, rule):
    """Return the verdict of a rule for a channel."""
    found = one(each for each in channel["rules"] if each["rule"] == rule)
    return found["verdict"], found.get("reason"), found["saw"]


def test_sent_and_no_contact_with_every_rule_in_order(home):
    result = explained(home)
    assert {name: word(one) for name, one in result.items()} == {
        "push": ("skip", "no_contact"), "sms": ("send", None), "email": ("send", None)
    }  # fmt: skip
    sms = result["sms"]
    assert [each["rule"] for each in sms["rules"]] == RULES
    assert {each["verdict"] for each in sms["rules"]} == {"pass"}
    assert (sms["addresses"], sms["template"], sms["template_version"]) == ([phone(101)], "news", 1)
    assert (sms["provider"], sms["content"]) == ("sandbox-sms", {"body": "hi, ada"})
    assert verdict_of(sms, "content")[2] == {"template": "news", "version": 1, "channels": ["push", "sms", "email"]}
    assert verdict_of(result["push"], "contact")[:2] == ("skip", "no_contact")


def test_opted_out(home):
    home.put("/v1/categories/marketing", {"defaults": {"email": False}})
    home.put("/v1/users/ada/preferences", {"marketing": {"sms": False}})
    result = explained(home, category="marketing")
    assert word(result["sms"]) == word(result["email"]) == ("skip", "opted_out")
    assert verdict_of(result["sms"], "preferences")[2]["setting"] == "user preference marketing.sms"
    assert verdict_of(result["email"], "preferences")[2]["setting"] == "category default marketing.email"


def test_quiet(home):
    now = datetime.now(UTC)
    window = {"start": f"{now - timedelta(hours=1):%H:%M}", "end": f"{now + timedelta(hours=2):%H:%M}"}
    home.put("/v1/users/ada", {"phone": phone(101), "zone": "UTC"})
    home.put("/v1/users/ada/quiet-hours", {"windows": [window], "channels": ["sms"]})
    sms = explained(home, channels=["sms"])["sms"]
    assert word(sms) == ("hold", "quiet_hours")
    ends = (now + timedelta(hours=2)).replace(second=0, microsecond=0)
    assert datetime.fromisoformat(sms["until"]) == ends
    verdict, _, saw = verdict_of(sms, "quiet_hours")
    assert (verdict, saw["zone"], saw["of"]) == ("hold", "UTC", "user")
    assert saw["windows"] == [f"{window['start']}-{window['end']}"]


def test_recipients_without_an_id_are_distinguished_each_in_their_zone(home):
    now = datetime.now(UTC)
    window = {"start": f"{now - timedelta(hours=1):%H:%M}", "end": f"{now + timedelta(hours=2):%H:%M}"}
    home.put("/v1/policy", {"quiet_hours": {"windows": [window]}, "zone": "UTC"})
    to = [{"phone": phone(7)}, {"phone": phone(8), "zone": "Pacific/Auckland"}]
    body = {"to": to, "template": "news", "data": {"text": "hi"}, "channels": ["sms"]}

    def result(answer):
        channels = [one(each["channels"]) for each in answer["recipients"]]
        return {(one(c["addresses"]), word(c), verdict_of(c, "quiet_hours")[0]) for c in channels}

    would = result(home.post("/v1/notifications/explain", body))
    assert would == {(phone(7), ("hold", "quiet_hours"), "hold"), (phone(8), ("send", None), "pass")}
    id_ = home.post("/v1/notifications", body)["id"]
    until(lambda: {d["state"] for d in home.seen(id_)["deliveries"]} == {"held", "sent"}, "one waits, one is sent")
    assert result(home.get(f"/v1/notifications/{id_}/explain")) == would


@pytest.mark.parametrize(("over_cap", "verdict"), [("skip", "skip"), ("defer", "hold")])
def test_capped(home, over_cap, verdict):
    home.put("/v1/categories/tips", {"caps": [{"limit": 1, "per": "1h"}], "over_cap": over_cap})
    first = {"to": "ada", "template": "news", "data": {"text": "hi"}, "category": "tips", "channels": ["sms"]}
    for _ in range(3):  # an explanation does not count
        (would,) = home.post("/v1/notifications/explain", first)["recipients"]
        assert word(one(would["channels"])) == ("send", None)
    home.send_and_wait(**first)
    id_ = home.send(**first)
    (would,) = home.post("/v1/notifications/explain", first)["recipients"]
    assert word(one(would["channels"])) == (verdict, "capped")
    assert verdict_of(one(would["channels"]), "caps")[:2] == (verdict, "capped")
    assert until(lambda: decided(home.seen(id_)), "it is decided") == {
        "sms": ("held" if over_cap == "defer" else "skipped", "capped")
    }


def test_suppressed(home):
    home.post("/v1/suppressions", {"channel": "email", "address": "ada@example.com", "reason": "complaint"})
    email = explained(home, channels=["email"])["email"]
    assert (word(email), email["detail"]) == (("skip", "suppressed"), "complaint")
    assert verdict_of(email, "suppression") == ("skip", "suppressed", {"ada@example.com": "complaint"})


def test_routed(home):
    home.put("/v1/categories/chat", {"route": {"first": ["push", "sms", "email"]}})
    result = explained(home, category="chat")
    assert {name: word(one) for name, one in result.items()} == {
        "push": ("skip", "no_contact"),
        "sms": ("send", None),
        "email": ("skip", "routed_elsewhere"),
    }
    assert verdict_of(result["email"], "route")[:2] == ("skip", "routed_elsewhere")


def test_a_workflow_is_explained_step_by_step(home):
    steps = [
        {"kind": "send", "name": "ask", "template": "news", "channels": ["sms"]},
        {"kind": "delay", "name": "rest", "for": "1h"},
        {"kind": "send", "name": "remind", "template": "news", "channels": ["push"]},
    ]
    home.put("/v1/workflows/ask", {"steps": steps})
    body = {"to": "ada", "workflow": "ask", "data": {"text": "hi"}}
    would = home.post("/v1/notifications/explain", body)["recipients"]
    assert [(each["step"], word(one(each["channels"]))) for each in would] == [
        ("ask", ("send", None)), ("remind", ("skip", "no_contact"))
    ]  # fmt: skip
    id_ = home.post("/v1/notifications", body)["id"]
    until(lambda: decided(home.seen(id_)), "the first step")
    was = home.get(f"/v1/notifications/{id_}/explain")["recipients"]
    assert [(each["step"], word(one(each["channels"]))) for each in was] == [("ask", ("send", None))]


def test_what_could_not_be_sent_cannot_be_explained(home, operator):
    for body, field in (
        ({"to": "nobody", "template": "news", "data": {"text": "x"}}, "to"),
        ({"to": "ada", "template": "gone"}, "template"),
        ({"to": "ada", "template": "news"}, "data.text"),
    ):
        assert home.refused(422, "POST", "/v1/notifications/explain", body)["field"] == field
        assert home.refused(422, "POST", "/v1/notifications", body)["field"] == field
    home.refused(404, "GET", "/v1/notifications/ntf_gone/explain")


def test_what_is_to_be_sent_later_is_decided_for_then(home):
    start = datetime.now(UTC) + timedelta(hours=2)
    quiet = {"windows": [{"start": f"{start:%H}:00", "end": f"{start + timedelta(hours=2):%H}:00"}]}
    home.put("/v1/users/ada", {"email": "ada@example.com", "zone": "UTC", "quiet_hours": quiet})
    body = {"to": "ada", "template": "news", "channels": ["email"], "data": {"text": "hi"}}
    later = {**body, "send_at": (start + timedelta(minutes=30)).isoformat()}
    for asked, decision in ((body, "send"), (later, "hold")):
        (would,) = home.post("/v1/notifications/explain", asked)["recipients"]
        assert one(would["channels"])["decision"] == decision


def test_shown_is_what_would_be_sent_escaped_where_that_is(home):
    home.put("/v1/templates/page", {"channels": {"email": {"subject": "{{ text }}", "html": "<p>{{ text }}</p>"}}})
    body = {"to": "ada", "template": "page", "data": {"text": "<b>"}}
    (would,) = home.post("/v1/notifications/explain", body)["recipients"]
    assert one(would["channels"])["content"] == {
        "subject": "<b>",
        "html": "<p>&lt;b&gt;</p>",
        "text": "<b>",
    }


def test_an_explanation_is_about_few_recipients(home):
    everyone = [{"phone": f"+1415555{number:04}"} for number in range(2_000, 2_021)]
    body = {"to": everyone, "template": "news", "data": {"text": "hi"}}
    assert home.refused(422, "POST", "/v1/notifications/explain", body)["field"] == "to"
