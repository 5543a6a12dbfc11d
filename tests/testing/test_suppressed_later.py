"""An address that is suppressed while a delivery waits: the suppression is checked again before the send."""

import pytest

from clarion.testing import Clarion

PUSH = {"title": "Hello", "body": "You"}
TOKEN = "token-of-ana"


@pytest.fixture
def clarion():
    with Clarion() as one:
        one.put_category("order", {"route": {"first": ["push", "sms"], "until": "sent"}})
        one.put_template("order", {"category": "order", "channels": {"push": PUSH, "sms": {"body": "You"}}})
        one.put_template("hello", {"channels": {"push": PUSH}})
        yield one


def suppress(clarion):
    body = {"channel": "push", "address": TOKEN, "reason": "manual"}
    clarion.call("POST", "/v1/suppressions", body)


def test_what_waits_is_not_sent_any_more(clarion):
    clarion.fail("push", "transient")
    ids = [clarion.notify({"push": TOKEN}, template="hello") for _ in range(3)]
    suppress(clarion)
    clarion.recover("push")
    clarion.run_for("1d")
    assert clarion.deliveries == []
    result = [clarion.notification(id_)["deliveries"][0] for id_ in ids]
    assert [(one["state"], one["reason"]) for one in result] == [("failed", "suppressed")] * 3


def test_one_dead_token_stops_the_others_that_wait_for_it(clarion):
    clarion.fail("push", "transient")
    ids = []
    for _ in range(3):
        ids.append(clarion.notify({"push": TOKEN}, template="hello"))
        clarion.run_for("2s")
    clarion.fail("push", "invalid_recipient", address=TOKEN)
    clarion.run_for("1d")
    result = [clarion.notification(id_)["deliveries"][0] for id_ in ids]
    assert {one["state"] for one in result} == {"failed"}
    assert sorted(one["reason"] for one in result)[1:] == ["suppressed", "suppressed"]


def test_a_route_continues_instead(clarion):
    clarion.fail("push", "misconfigured")
    clarion.notify({"push": TOKEN, "phone": "+12025550143"}, template="order")
    suppress(clarion)
    clarion.recover("push")
    clarion.run_for("1d")
    assert [one.channel for one in clarion.deliveries] == ["sms"]
