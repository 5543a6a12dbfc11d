"""Slack's escaping, limits and webhooks; its responses are in the table."""

import html
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.limits_content import SLACK_BLOCKS_MAX, SLACK_TEXT_CHARS_MAX
from clarion.domain.message import HttpRequest, HttpResponse
from clarion.domain.outcome import Accepted, Ambiguous, InvalidRecipient, Misconfigured, Throttled, Transient
from clarion.providers.chat import slack
from tests.providers import battery

TABLE = battery.tables()["chat_slack"]
HOOK = "https://hooks.slack.com/services/T000/B000/canary-of-a-webhook"
SECTION = {"type": "section", "text": {"type": "mrkdwn", "text": "x"}}


def request(settings: dict[str, Any] | None = None, address: str = "C0123456789", **parts: Any) -> HttpRequest:
    account = msgspec.structs.replace(battery.account(TABLE), settings=settings or {})
    message = battery.message(TABLE, parts=parts, address=address)
    return slack.build(message, account, now_ms=battery.NOW_MS, token=None)


def sent(settings: dict[str, Any] | None = None, **parts: Any) -> dict[str, Any]:
    return msgspec.json.decode(request(settings, **parts).body)


def read(status: int, body: bytes, address: str = "C0123456789", **headers: str) -> Any:
    message = battery.message(TABLE, address=address)
    return slack.read(HttpResponse(status, headers, body), message, battery.account(TABLE), now_ms=battery.NOW_MS)


def test_a_webhook_gets_the_content_and_no_token():
    made = request(address=HOOK, text="a < b", blocks=[SECTION])
    assert made.url == HOOK
    assert made.headers == {"content-type": "application/json; charset=utf-8"}
    assert msgspec.json.decode(made.body) == {"text": "a &lt; b", "blocks": [SECTION]}


def test_the_url_of_a_webhook_does_not_show():
    assert "canary-of-a-webhook" not in repr(request(address=HOOK, text="x"))
    with pytest.raises(ValueError, match="incoming webhook") as caught:
        request(address="https://evil.example/canary-of-a-webhook", text="x")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/services/T/B/X",
        "https://hooks.slack.com.evil.example/services/T/B/X",
        "https://hooks.slack.com@evil.example/services/T/B/X",
        "http://hooks.slack.com/services/T/B/X",
        "https://hooks.slack.com/services/",
        "https://hooks.slack.com/services/../api",
        "https://hooks.slack.com/triggers/T/1/X",
        "https://hooks.slack.com/services/T/B/X?to=elsewhere",
        "https://hooks.slack.com/services/T/B/X\n",
    ],
)
def test_no_other_url_is_called(address):
    with pytest.raises(ValueError, match="incoming webhook"):
        request(address=address, text="x")


def test_origins_are_settings():
    settings = {"base_url": "https://slack-gov.com/", "webhook_base_url": "https://hooks.slack-gov.com"}
    assert request(settings, text="x").url == "https://slack-gov.com/api/chat.postMessage"
    hook = HOOK.replace("slack.com", "slack-gov.com")
    assert request(settings, address=hook, text="x").url == hook


def test_an_account_without_a_token_sends_to_webhooks_only():
    account = msgspec.structs.replace(battery.account(TABLE), credentials={})
    for address in (HOOK, "C0123456789"):
        message = battery.message(TABLE, address=address)
        if address == HOOK:
            assert slack.build(message, account, now_ms=0, token=None).url == HOOK
        else:
            with pytest.raises(ValueError, match="bot_token"):
                slack.build(message, account, now_ms=0, token=None)


def test_markup_is_sent_as_it_is_when_the_account_says_so():
    assert sent({"markup": True}, text="<!here> a & b")["text"] == "<!here> a & b"
    assert sent(text="<!here> a & b")["text"] == "&lt;!here&gt; a &amp; b"


def test_blocks_may_be_json_text():
    assert sent(blocks=msgspec.json.encode([SECTION]).decode())["blocks"] == [SECTION]


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({}, "text or blocks"),
        ({"text": "", "blocks": []}, "text or blocks"),
        ({"text": "x" * (SLACK_TEXT_CHARS_MAX + 1)}, "40,000 are"),
        ({"text": "&" * (SLACK_TEXT_CHARS_MAX // 5 + 1)}, "40,000 are"),
        ({"blocks": "not JSON"}, "not JSON"),
        ({"blocks": "[" * 100_000}, "not JSON"),
        ({"blocks": "{}"}, "not a list"),
        ({"blocks": [1]}, "not a list"),
        ({"blocks": [{"text": "x"}]}, "not a list"),
        ({"blocks": [SECTION] * (SLACK_BLOCKS_MAX + 1)}, "50 are allowed"),
        ({"blocks": [SECTION, {"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3_001}}]}, r"blocks\[1\]"),
        ({"blocks": [{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}]}, r"blocks\[0\]"),
    ],
)
def test_what_slack_would_not_show_is_not_sent(parts, words):
    with pytest.raises(ValueError, match=words):
        request(**parts)


def test_the_most_slack_takes_goes_through():
    section = {"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3_000}}
    body = sent(text="x" * SLACK_TEXT_CHARS_MAX, blocks=[section] * SLACK_BLOCKS_MAX)
    assert (len(body["text"]), len(body["blocks"])) == (SLACK_TEXT_CHARS_MAX, SLACK_BLOCKS_MAX)


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=200))
def test_escaped_text_reads_as_written_and_holds_no_markup(text):
    escaped = sent(text=text)["text"]
    assert not {"<", ">"} & set(escaped)
    assert escaped.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") == text
    assert html.escape(text, quote=False) == escaped


@pytest.mark.parametrize("body", [*battery.BODIES, b"invalid_token", b"INVALID_TOKEN", b"x" * 5_000])
def test_no_answer_of_a_webhook_is_the_accounts_fault(body):
    for status in range(200, 600):
        outcome = read(status, body, HOOK)
        assert not isinstance(outcome, Misconfigured | Accepted | InvalidRecipient)
        if status >= 500 and body != b"invalid_token":
            assert isinstance(outcome, Transient)
        if status < 300 and body != b"invalid_token":
            assert isinstance(outcome, Ambiguous)


@pytest.mark.parametrize(
    ("text", "after_ms"), [("7", 7_000), ("soon", 1_000), ("", 1_000), ("Mon, 21 Sep 2026 14:14:20 GMT", 60_000)]
)
@pytest.mark.parametrize("address", [HOOK, "C0123456789"])
def test_a_429_of_either_kind_is_a_pause(address, text, after_ms):
    outcome = read(429, b"", address, **{"retry-after": text})
    assert isinstance(outcome, Throttled)
    assert outcome.after_ms == after_ms


@pytest.mark.parametrize(("outcomes", "of_hook"), [(slack.OUTCOMES, False), (slack.WEBHOOK_OUTCOMES, True)])
def test_every_word_has_a_row_and_is_on_the_page(outcomes, of_hook):
    bodies = [row.get("body", "") for row in TABLE["rows"] if ("message" in row) == of_hook]
    page = (Path(__file__).parents[2] / "docs/providers/slack.md").read_text()
    api, _, hooks = page.partition("Meanings of the response of a webhook.")
    assert {word for word in outcomes if word not in bodies and f'"{word}"' not in "".join(bodies)} == set()
    assert {word for word in outcomes if f"`{word}`" not in (hooks if of_hook else api)} == set()
