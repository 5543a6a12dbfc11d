"""Test sends of templates: through the whole pipeline, marked as a test, to the address in the request."""

import pytest

from clarion.domain.errors import InvalidField, KeyReused, NotFound, QuotaExceeded
from clarion.testing import Clarion

ORDER = {
    "channels": {
        "email": {"subject": "Order {{ number }} for {{ user.name }}", "text": "{{ user.email }} {{ user.locale }}"},
        "sms": {"body": "Order {{ number }}"},
        "push": {"title": "Order {{ number }}", "body": "Thank you"},
        "inapp": {"title": "Order {{ number }}", "body": "Thank you"},
    },
    "locales": {"de": {"channels": {"sms": {"body": "Bestellung {{ number }}"}}}},
    "sample": {"data": {"number": 17}, "user": {"name": "Ana", "locale": "en-GB", "email": "never@example.com"}},
}


@pytest.fixture
def clarion():
    with Clarion() as started:
        started.put_template("order", ORDER)
        started.put_user("bo", {"email": "bo@example.com", "attributes": {"name": "Bo"}})
        yield started


def sent(clarion, body):
    answer = clarion.call("POST", "/v1/templates/order/test", body)
    (delivery,) = clarion.deliveries
    assert delivery.notification == answer["id"]
    assert clarion.notification(answer["id"])["metadata"] == {"clarion.test": "true"}
    return delivery


def refused(clarion, **body):
    with pytest.raises(InvalidField) as error:
        clarion.call("POST", "/v1/templates/order/test", body)
    assert clarion.deliveries == []
    return error.value.field


def test_an_address_gets_the_sample_marked_as_a_test(clarion):
    delivery = sent(clarion, {"channel": "email", "address": "me@example.com"})
    assert (delivery.address, delivery.template) == ("me@example.com", "order@1")
    assert delivery.content["subject"] == "[Test] Order 17 for Ana"
    assert delivery.content["text"] == "me@example.com en-GB"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"channel": "sms", "address": "+4915112345678"}, "[Test] Order 17"),
        ({"channel": "sms", "address": "+4915112345678", "locale": "de"}, "[Test] Bestellung 17"),
        ({"channel": "sms", "address": "+4915112345678", "data": {"number": 3}}, "[Test] Order 3"),
        ({"channel": "push", "address": "token"}, "[Test] Order 17"),
        ({"channel": "inapp", "user": "bo"}, "[Test] Order 17"),
    ],
)
def test_every_channel_has_its_mark(clarion, body, text):
    content = sent(clarion, body).content
    assert content.get("title", content["body"]) == text


def test_a_stored_user_gets_it_where_they_are(clarion):
    delivery = sent(clarion, {"channel": "email", "user": "bo"})
    assert (delivery.address, delivery.content["subject"]) == ("bo@example.com", "[Test] Order 17 for Bo")


def test_messages_to_real_recipients_have_no_mark(clarion):
    clarion.notify("bo", template="order", data={"number": 1}, channels=["sms", "email"])
    assert [delivery.content["subject"] for delivery in clarion.deliveries] == ["Order 1 for Bo"]


def test_a_draft_is_tested_while_recipients_get_the_published_version(clarion):
    draft = {**ORDER, "channels": {**ORDER["channels"], "sms": {"body": "Draft {{ number }}"}}}
    clarion.call("PUT", "/v1/templates/order", draft, publish="false")
    to = {"channel": "sms", "address": "+4915112345678"}
    for version in ({}, {"version": 1}):
        clarion.call("POST", "/v1/templates/order/test", to | version)
    clarion.notify({"phone": "+4915112345678"}, template="order", data={"number": 1}, channels=["sms"])
    assert [(delivery.template, delivery.content["body"]) for delivery in clarion.deliveries] == [
        ("order@2", "[Test] Draft 17"),
        ("order@1", "[Test] Order 17"),
        ("order", "Order 1"),
    ]


def test_an_unsendable_test_is_refused_by_its_field(clarion):
    assert refused(clarion, channel="email") == "address"
    assert refused(clarion, channel="email", address="me@example.com", user="bo") == "address"
    assert refused(clarion, channel="email", address="nobody") == "address"
    assert refused(clarion, channel="email", user="nobody") == "user"
    assert refused(clarion, channel="email", user="bo", locale="de") == "locale"
    assert refused(clarion, channel="email", address="me@example.com", locale="xx-YY") == "locale"
    assert refused(clarion, channel="inapp", address="bo") == "user"
    assert refused(clarion, channel="webhook", address="https://example.com") == "channel"
    assert refused(clarion, channel="sms", address="+4915112345678", data={}) == "data.number"
    for path, body, field in (("other", {}, None), ("order", {"version": 9}, "version")):
        with pytest.raises(NotFound) as error:
            clarion.call("POST", f"/v1/templates/{path}/test", {"channel": "inapp", "user": "bo", **body})
        assert error.value.field == field


def test_a_test_is_sent_once_by_its_idempotency_key(clarion):
    body = {"channel": "sms", "address": "+4915112345678", "idempotency_key": "k"}
    first, second = (clarion.call("POST", "/v1/templates/order/test", body) for _ in range(2))
    assert first == second
    assert len(clarion.deliveries) == 1


def test_the_key_of_one_templates_test_does_not_answer_anothers(clarion):
    clarion.put_template("other", ORDER)
    body = {"channel": "sms", "address": "+4915112345678", "idempotency_key": "k"}
    clarion.call("POST", "/v1/templates/order/test", body)
    with pytest.raises(KeyReused):
        clarion.call("POST", "/v1/templates/other/test", body)


def test_a_test_counts_against_the_quota(clarion):
    clarion.call("PUT", "/v1/tenants/testing/quota", {"daily": 1})
    sent(clarion, {"channel": "sms", "address": "+4915112345678"})
    with pytest.raises(QuotaExceeded):
        clarion.call("POST", "/v1/templates/order/test", {"channel": "sms", "address": "+4915112345678"})
