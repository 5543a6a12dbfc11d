"""Termii's route, address and error texts; its responses are in the table."""

import msgspec
import pytest

from clarion.domain.outcome import InvalidRecipient, Misconfigured, Refused
from clarion.providers.sms import termii
from tests.providers import battery

TABLE = battery.tables()["sms_termii"]
ACCOUNT = battery.account(TABLE)


def request(**settings):
    account = msgspec.structs.replace(ACCOUNT, settings={**ACCOUNT.settings, **settings})
    return termii.build(battery.message(TABLE), account, now_ms=battery.NOW_MS, token=None)


def outcome(status, message, **more):
    body = msgspec.json.encode({"code": status, "message": message, **more}).decode()
    return battery.answer(termii, TABLE, {"status": status, "body": body})


@pytest.mark.parametrize("route", ["dnd", "generic"])
def test_the_route_is_the_accounts(route):
    assert msgspec.json.decode(request(route=route).body)["channel"] == route


def test_the_base_url_is_the_accounts_own_and_has_no_default():
    assert request(base_url="https://api.ng.termii.com/").url == "https://api.ng.termii.com/api/sms/send"
    base_url = next(field for field in termii.TRAITS.settings if field.name == "base_url")
    assert base_url.required
    assert base_url.default is None


def test_the_key_is_in_no_url():
    assert "canary" not in request().url


@pytest.mark.parametrize("status", [200, 400, 403, 422, 500])
@pytest.mark.parametrize("words", ["YOUR ACCOUNT IS NOT ACTIVE", "Invalid Sender ID", "You have insufficient balance"])
def test_the_accounts_faults_are_recognized_by_words_for_any_status(status, words):
    assert isinstance(outcome(status, words), Misconfigured)


@pytest.mark.parametrize("words", ["The phone number is invalid", "invalid number", "Recipient number is wrong"])
def test_only_422_about_the_number_is_about_the_number(words):
    assert isinstance(outcome(422, words), InvalidRecipient)
    assert outcome(400, words) == Refused("bad_request", f"HTTP 400: {words}")


def test_fields_named_in_errors_are_read():
    assert isinstance(outcome(422, "Invalid.", errors={"to": ["not valid"]}), InvalidRecipient)
    assert isinstance(outcome(422, "Invalid.", errors={"from": ["not valid"]}), Refused)
