"""WhatsApp's templates and limits; its responses are in the table."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.limits_content import WHATSAPP_PARAMETER_CHARS_MAX, WHATSAPP_TEXT_CHARS_MAX
from clarion.domain.limits_delivery import RESPONSE_BYTES_MAX
from clarion.domain.message import HttpResponse
from clarion.domain.outcome import Accepted, Throttled
from clarion.providers.whatsapp import whatsapp
from tests.providers import battery

TABLE = battery.tables()["whatsapp_whatsapp"]
TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=200).filter(str.strip)


def sent(settings: dict[str, Any] | None = None, **parts: Any) -> dict[str, Any]:
    account = battery.account(TABLE)
    account = msgspec.structs.replace(account, settings={**account.settings, **(settings or {})})
    message = battery.message(TABLE, parts=parts)
    return msgspec.json.decode(whatsapp.build(message, account, now_ms=battery.NOW_MS, token=None).body)


def test_a_template_goes_before_the_text():
    parts = {"name": "order_shipped", "language": "pt-BR", "parameters": ["Ada", 42, 9.5]}
    body = sent(body="ignored", template=parts)
    assert body["type"] == "template"
    assert "text" not in body
    assert body["template"] == {
        "name": "order_shipped",
        "language": {"code": "pt_BR"},
        "components": [
            {"type": "body", "parameters": [{"type": "text", "text": text} for text in ("Ada", "42", "9.5")]}
        ],
    }


def test_a_template_without_parameters_has_no_components():
    assert sent(template={"name": "hello_world"})["template"] == {"name": "hello_world", "language": {"code": "en"}}
    assert sent({"language": "de"}, template={"name": "hello"})["template"]["language"] == {"code": "de"}


def test_named_parameters():
    template = sent(template={"name": "order", "parameters": [{"name": "customer", "text": "Ada"}]})["template"]
    (component,) = template["components"]
    assert component["parameters"] == [{"type": "text", "parameter_name": "customer", "text": "Ada"}]


def test_headers_and_buttons_go_as_they_are():
    button = {"type": "button", "sub_type": "url", "index": "0", "parameters": [{"type": "text", "text": "123456"}]}
    template = sent(template={"name": "code", "parameters": ["123456"], "components": [button]})["template"]
    assert [component["type"] for component in template["components"]] == ["body", "button"]
    assert template["components"][1] == button


def test_a_template_may_be_json_text():
    assert sent(template='{"name": "order", "parameters": ["Ada"]}')["template"]["name"] == "order"


def test_settings_reach_the_request():
    account = battery.account(TABLE)
    settings = {**account.settings, "base_url": "https://proxy.example/", "api_version": "v24.0", "preview_url": True}
    message = battery.message(TABLE)
    request = whatsapp.build(
        message, msgspec.structs.replace(account, settings=settings), now_ms=battery.NOW_MS, token=None
    )
    assert request.url == "https://proxy.example/v24.0/106540352242922/messages"
    assert msgspec.json.decode(request.body)["text"]["preview_url"] is True


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({}, "body"),
        ({"body": " \n"}, "empty"),
        ({"body": "x" * (WHATSAPP_TEXT_CHARS_MAX + 1)}, "4,096 are"),
        ({"template": "Hello"}, "not an object"),
        ({"template": [1]}, "not an object"),
        ({"template": {"name": "Order Shipped"}}, r"template\.name"),
        ({"template": {"parameters": ["x"]}}, r"template\.name"),
        ({"template": {"name": "x", "language": {"code": "en"}}}, r"template\.language"),
        ({"template": {"name": "x", "parameters": {"1": "x"}}}, "lists"),
        ({"template": {"name": "x", "components": "x"}}, "lists"),
        ({"template": {"name": "x", "parameters": ["fine", ""]}}, r"parameters\[1\]"),
        ({"template": {"name": "x", "parameters": [None]}}, r"parameters\[0\]"),
        ({"template": {"name": "x", "parameters": [True]}}, r"parameters\[0\]"),
        ({"template": {"name": "x", "parameters": [{"text": "x"}]}}, r"parameters\[0\]\.name"),
        ({"template": {"name": "x", "parameters": ["x" * (WHATSAPP_PARAMETER_CHARS_MAX + 1)]}}, "1,024 are"),
    ],
)
def test_what_whatsapp_surely_refuses_is_not_sent(parts, words):
    with pytest.raises(ValueError, match=words):
        sent(**parts)


@pytest.mark.parametrize(
    "address", ["", "ada", "+1650555123x", "00491511234567", "+49 151 1234567", "+123456789012345678"]
)
def test_an_address_that_is_no_number_is_not_sent_to(address):
    with pytest.raises(ValueError, match="phone number"):
        battery.build(whatsapp, TABLE, address=address)


def test_the_longest_text_goes_through():
    assert len(sent(body="é" * WHATSAPP_TEXT_CHARS_MAX)["text"]["body"]) == WHATSAPP_TEXT_CHARS_MAX


@given(TEXTS)
def test_any_text_arrives_as_it_is(text):
    assert sent(body=text)["text"]["body"] == text
    (component,) = sent(template={"name": "x", "parameters": [text]})["template"]["components"]
    assert component["parameters"] == [{"type": "text", "text": text}]


@given(
    st.integers() | st.text() | st.floats(allow_nan=False) | st.none() | st.lists(st.integers()), st.integers(200, 599)
)
def test_no_code_raises_or_counts_as_sent(code, status):
    body = msgspec.json.encode({"error": {"code": code, "error_data": code, "message": code}})
    outcome = whatsapp.read(HttpResponse(status, {}, body), battery.message(TABLE), battery.account(TABLE), now_ms=0)
    assert not isinstance(outcome, Accepted)


@pytest.mark.parametrize("minutes", [-5, 0, 10**12, True, None, "9", [1]])
def test_odd_usages_are_not_believed(minutes):
    usage = msgspec.json.encode({"1": [{"estimated_time_to_regain_access": minutes}]}).decode()
    response = HttpResponse(400, {"x-business-use-case-usage": usage}, b'{"error": {"code": 80007}}')
    outcome = whatsapp.read(response, battery.message(TABLE), battery.account(TABLE), now_ms=0)
    assert isinstance(outcome, Throttled)
    assert outcome.after_ms in {whatsapp.LATER_MS, 24 * 3600 * 1000}


def test_an_oversize_answer_is_read():
    body = b'{"error": {"code": 131026, "message": "' + b"x" * (RESPONSE_BYTES_MAX - 60) + b'"}}'
    outcome = whatsapp.read(HttpResponse(400, {}, body), battery.message(TABLE), battery.account(TABLE), now_ms=0)
    assert len(outcome.detail) <= 500


def test_every_code_has_a_row_and_is_on_the_page():
    rows = {int(code) for row in TABLE["rows"] for code in re.findall(r'"code": (\d+)', row.get("body", ""))}
    page = (Path(__file__).parents[2] / "docs/providers/whatsapp.md").read_text()
    codes = whatsapp.OUTCOMES.keys() - {*range(201, 299)}
    assert codes <= rows
    assert {code for code in codes if not re.search(rf"\b{code}\b", page)} == set()
    assert {word for word in whatsapp.OUTCOMES.values() if f"`{word}`" not in page} == set()
