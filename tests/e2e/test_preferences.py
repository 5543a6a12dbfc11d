"""Skipped and held deliveries, and the reason in the timeline."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.e2e.outside import one, until

CONTENT = {
    "email": {"subject": "s", "text": "t"},
    "sms": {"body": "b"},
    "inapp": {"title": "t"},
}
SHOWN = {"email", "sms", "inapp"}


@pytest.fixture
def home(tenant):
    """Return a tenant with three categories with a template each; `plain` has none."""
    tenant.seed_data({"plain": CONTENT}, ["email", "sms"])
    tenant.put("/v1/categories/orders", {"priority": "high"})
    tenant.put("/v1/categories/marketing", {"defaults": {"sms": False}, "priority": "bulk"})
    tenant.put("/v1/categories/security", {"critical": True, "priority": "critical"})
    for category in ("orders", "marketing", "security"):
        tenant.put(f"/v1/templates/{category}", {"channels": CONTENT, "category": category})
    tenant.user("ada", email="Ada@Example.com", phone="+14155550101")
    return tenant


def outcome(home, template, to="ada", **more):
    """Return the result of a notification per channel: `sent`, or (reason, detail) as in delivery and timeline."""
    result = home.send_and_wait(to, template, **more)
    skips = {(m["channel"], m["reason"], m["detail"]) for m in result["timeline"] if m["event"] == "skipped"}
    found = {d["channel"]: d for d in result["deliveries"]}
    assert {(c, d["reason"], d["detail"]) for c, d in found.items() if d["state"] == "skipped"} == skips
    assert all(not delivery["attempts"] for delivery in found.values() if delivery["state"] == "skipped")
    return {c: d["state"] if d["state"] == "sent" else (d["reason"], d["detail"]) for c, d in found.items()}


def prefer(home, preferences, user_id="ada"):
    home.put(f"/v1/users/{user_id}/preferences", preferences)


def test_nothing_said_means_everything_is_sent(home):
    assert outcome(home, "plain") == outcome(home, "orders") == dict.fromkeys(SHOWN, "sent")


def test_an_opt_out_holds_for_its_category_and_channel(home):
    prefer(home, {"orders": {"email": False}})
    sent = dict.fromkeys(SHOWN, "sent")
    assert outcome(home, "orders") == sent | {"email": ("opted_out", "user preference orders.email")}
    assert outcome(home, "plain") == sent
    prefer(home, {})
    assert outcome(home, "orders") == sent


def test_the_more_specific_wins_and_the_user_before_the_defaults(home):
    prefer(home, {"*": {"*": False}, "orders": {"sms": True}})
    assert outcome(home, "orders") == {
        "email": ("opted_out", "user preference *.*"),
        "sms": "sent",
        "inapp": ("opted_out", "user preference *.*"),
    }
    prefer(home, {})
    assert outcome(home, "marketing")["sms"] == ("opted_out", "category default marketing.sms")
    prefer(home, {"marketing": {"sms": True}})
    assert outcome(home, "marketing")["sms"] == "sent"


def test_a_tenants_defaults_hold_for_users_without_a_choice(home):
    home.put("/v1/preferences/defaults", {"*": {"email": False}})
    assert home.get("/v1/preferences/defaults") == {"*": {"email": False}}
    assert outcome(home, "orders")["email"] == ("opted_out", "tenant default *.email")
    prefer(home, {"*": {"email": True}})
    assert outcome(home, "orders")["email"] == "sent"


def test_an_opt_out_ends_when_it_says(home):
    soon = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
    prefer(home, {"orders": {"email": {"allowed": False, "until": soon}}, "*": {"email": True}})
    assert outcome(home, "orders")["email"] == ("opted_out", "user preference orders.email")
    until(lambda: outcome(home, "orders")["email"] == "sent", "the opt-out is over", 10)


def test_users_choose_for_themselves_and_the_source_is_stored(home):
    ada = home.inbox_of("ada")
    ada.put("/v1/me/preferences", {"orders": {"sms": False}})
    assert home.get("/v1/users/ada/preferences") == ada.get("/v1/me/preferences") == {"orders": {"sms": False}}
    assert outcome(home, "orders")["sms"] == ("opted_out", "user preference orders.sms")
    prefer(home, {})
    history = list(home.pages("/v1/users/ada/consents", limit=1))
    assert [(entry["channel"], entry["allowed"]) for entry in history] == [("sms", None), ("sms", False)]
    assert history[1]["source"] == "user" != history[0]["source"]
    home.refused(403, "PUT", "/v1/me/preferences", {})
    ada.refused(403, "PUT", "/v1/users/ada/preferences", {})


def test_quiet_hours_hold_what_disturbs_but_nothing_critical(home):
    home.put("/v1/users/ada/quiet-hours", quiet_now())
    id_ = home.send("ada", "orders")
    held = until(lambda: held_by(home.seen(id_)), "the text message is held")
    assert held == {"sms": "quiet_hours"}
    assert outcome(home, "security") == dict.fromkeys(SHOWN, "sent")
    home.delete("/v1/users/ada/quiet-hours")
    assert outcome(home, "orders") == dict.fromkeys(SHOWN, "sent")


def test_a_tenants_quiet_hours_hold_for_who_has_none_and_a_category_may_ignore_them(home):
    home.put("/v1/policy", {"quiet_hours": quiet_now("Asia/Tokyo"), "zone": "Asia/Tokyo"})
    home.put("/v1/categories/orders", {"priority": "high", "quiet_hours": False})
    id_ = home.send("ada", "plain")
    assert until(lambda: held_by(home.seen(id_)), "the text message is held") == {"sms": "quiet_hours"}
    assert outcome(home, "orders") == dict.fromkeys(SHOWN, "sent")
    home.put("/v1/users/ada/quiet-hours", {"windows": []})
    assert outcome(home, "plain") == dict.fromkeys(SHOWN, "sent")


def quiet_now(zone="UTC"):
    """Return quiet hours for text messages that last from an hour ago until in two hours."""
    now = datetime.now(ZoneInfo(zone))
    start, end = (f"{now + timedelta(hours=hours):%H:%M}" for hours in (-1, 2))
    return {"windows": [{"start": start, "end": end}], "channels": ["sms"]}


def held_by(notification):
    """Return the held channels with their reason, once all other channels are sent."""
    found = {d["channel"]: (d["state"], d["reason"]) for d in notification["deliveries"]}
    rest = {state for state, _ in found.values()} <= {"held", "sent"}
    return {channel: why for channel, (state, why) in found.items() if state == "held"} if rest else None


def test_every_contact_of_a_channel_is_written_to(home):
    home.user("ada", email="ada@example.com", contacts={"email": ["office@example.com", "ada@example.com"]})
    result = home.send_and_wait("ada", "orders", channels=["email"])
    assert {(d["address"], d["state"]) for d in result["deliveries"]} == {
        ("ada@example.com", "sent"),
        ("office@example.com", "sent"),
    }


def test_reading_the_inbox_is_being_seen(home):
    assert home.get("/v1/users/ada")["last_seen_at"] is None
    home.inbox_of("ada").get("/v1/inbox")
    assert home.get("/v1/users/ada")["last_seen_at"] is not None


def test_critical_is_sent_regardless_of_preferences(home):
    problem = home.refused(422, "PUT", "/v1/users/ada/preferences", {"security": {"*": False}})
    assert (problem["field"], problem["code"]) == ("security.*", "critical_category")
    prefer(home, {"*": {"*": False}})
    home.put("/v1/preferences/defaults", {"*": {"*": False}})
    assert outcome(home, "security") == dict.fromkeys(SHOWN, "sent")
    assert home.send_and_wait("ada", "security")["priority"] == "critical"
    assert outcome(home, "plain", category="security") == dict.fromkeys(SHOWN, "sent")


def test_a_request_may_name_the_category_and_lower_the_lane_only(home):
    prefer(home, {"marketing": {"inapp": False}})
    assert outcome(home, "plain", category="marketing")["inapp"] == ("opted_out", "user preference marketing.inapp")
    assert home.send_and_wait("ada", "orders", priority="bulk")["priority"] == "bulk"
    assert home.send_and_wait("ada", "orders", priority="critical")["priority"] == "high"


def test_a_suppressed_address_is_skipped_until_it_is_lifted(home):
    home.post("/v1/suppressions", {"channel": "email", "address": "ADA@example.com", "reason": "complaint"})
    listed = one(home.pages("/v1/suppressions", channel="email"))
    assert (listed["address"], listed["reason"]) == ("ada@example.com", "complaint")
    assert outcome(home, "orders") == dict.fromkeys(SHOWN, "sent") | {"email": ("suppressed", "complaint")}
    # Critical ignores opt-outs, but not suppressed addresses.
    assert outcome(home, "security")["email"] == ("suppressed", "complaint")
    inline = outcome(home, "orders", to={"email": "aDa@example.com"})
    assert inline["email"] == ("suppressed", "complaint")
    home.delete("/v1/suppressions", channel="email", address="ada@EXAMPLE.com")
    assert outcome(home, "orders")["email"] == "sent"
    home.refused(404, "DELETE", "/v1/suppressions", query={"channel": "email", "address": "ada@example.com"})


def test_a_suppression_ends_when_it_says(home):
    soon = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    home.post("/v1/suppressions", {"channel": "sms", "address": "+1 415 555 0101", "expires_at": soon})
    assert outcome(home, "orders")["sms"] == ("suppressed", "manual")
    until(lambda: outcome(home, "orders")["sms"] == "sent", "the suppression is over", 5)


def test_an_erased_user_is_unknown(home):
    home.delete("/v1/users/ada")
    home.refused(404, "GET", "/v1/users/ada")
    problem = home.refused(422, "POST", "/v1/notifications", {"to": "ada", "template": "orders"})
    assert problem["code"] == "unknown_user"
