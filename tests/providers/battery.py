"""The checks of every vendor, run from one table per vendor: tests/providers/tables/<channel>_<vendor>.toml.

A table has an account, a message, the request for them, and responses with the outcome of each. `$RSA_KEY` stands
for a fresh private key; `sealed` marks an encrypted body, which a test of the vendor's own decrypts. The rest, from
truncated bodies to secrets in a repr, is the same for all and is checked here.
"""

import base64
import tomllib
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

import msgspec

from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.limits_delivery import RESPONSE_BYTES_MAX
from clarion.domain.message import (
    AppriseReply,
    HttpRequest,
    HttpResponse,
    LocalReply,
    Message,
    Request,
    SmtpReply,
    SmtpRequest,
)
from clarion.domain.outcome import Accepted, Ambiguous, Outcome, Refused, Throttled, Transient
from clarion.ports.vendor import Vendor
from tests.made_once import rsa_pem

TABLES = Path(__file__).parent / "tables"
NOW_MS = 1_790_000_000_000
DELIVERY = "dlv_" + "0190" * 12
UNICODE = "Grüße 🎉 \u05e9\u05dc\u05d5\u05dd \x7e"
BODIES = (
    b"", b"{", b"null", b"[]", b'"x"', b"\xff\xfe\x00", b"[" * 5_000, b'{"error": 1}', b'{"error": {"details": [1, {}]}}',
    b'{"error": {"details": 5, "status": [], "message": {}}}', b'{"error": {"details": [{"@type": 1, "errorCode": []}]}}',
)  # fmt: skip
OVERSIZE = b'{"error": {"message": "' + b"x" * (RESPONSE_BYTES_MAX - 23)


@cache
def tables(folder: Path = TABLES) -> dict[str, dict[str, Any]]:
    """Return all tables by file name."""
    return {path.stem: tomllib.loads(path.read_text()) for path in sorted(folder.glob("*.toml"))}


def account(table: dict[str, Any]) -> Account:
    given = table.get("account", {})
    credentials = {
        name: rsa_pem() if value == "$RSA_KEY" else value for name, value in given.get("credentials", {}).items()
    }
    settings = given.get("settings", {})
    return Account("acme", "primary", Channel(table["channel"]), table["vendor"], 0, settings, credentials)


def message(table: dict[str, Any], **changes: Any) -> Message:
    given = {
        "delivery_id": DELIVERY,
        "notification_id": "ntf_" + "0190" * 8,
        "tenant": "acme",
        "channel": table["channel"],
        "user_id": "ada",
        "attempt": 1,
        "created_ms": NOW_MS - 1000,
        **table["message"],
        **changes,
    }
    return msgspec.convert(given, Message)


def build(vendor: Vendor, table: dict[str, Any], **changes: Any) -> Request:
    return vendor.build(message(table, **changes), account(table), now_ms=NOW_MS, token=table.get("token"))


def check_request(vendor: Vendor, table: dict[str, Any]) -> None:
    """Check that the request equals the one in the table, and that building it again gives the same."""
    request, expected = build(vendor, table), table["request"]
    assert request == build(vendor, table)
    got = msgspec.structs.asdict(request)
    for name, value in expected.items():
        if name == "json":
            assert msgspec.json.decode(got["body"]) == msgspec.json.decode(value)
        elif name == "form":
            assert parse_qsl(got["body"].decode(), keep_blank_values=True, strict_parsing=True) == [*value.items()]
        elif name == "body_base64url":
            assert base64.urlsafe_b64encode(got["body"]).decode().rstrip("=") == "".join(value.split())
        elif name == "lines":
            assert set(value) <= set(got["payload"].decode().split("\r\n"))
        else:
            assert got[name] == value, name


def answer(vendor: Vendor, table: dict[str, Any], row: dict[str, Any]) -> Outcome:
    """Return the outcome that the vendor reads from a row's response."""
    sent = message(table, **row.get("message", {}))
    owner = account({**table, **row.get("override", {})})
    if vendor.TRAITS.transport == "http":
        headers, body = row.get("headers", {}), row.get("body", "").encode()
        response: Any = HttpResponse(row["status"], headers, body)
    elif vendor.TRAITS.transport == "smtp":
        response = SmtpReply(row["stage"], row["code"], row["text"])
    elif vendor.TRAITS.transport == "apprise":
        response = apprise_reply(row)
    else:
        request = vendor.build(sent, owner, now_ms=NOW_MS, token=None)
        response = LocalReply(request.content)  # type: ignore[union-attr]
    return vendor.read(response, sent, owner, now_ms=NOW_MS)


def apprise_reply(row: dict[str, Any]) -> AppriseReply:
    """Return the library's result in a row: its own text, and the decisive response where there was one."""
    status, headers, body = row.get("status"), row.get("headers", {}), row.get("body", "").encode()
    found = None if status is None else HttpResponse(status, headers, body)
    return AppriseReply(
        row.get("done", False), row.get("why", ""), found, row.get("partly", False), row.get("words", "")
    )


def check_row(vendor: Vendor, table: dict[str, Any], row: dict[str, Any]) -> None:
    """Check that a response leads to the outcome in its row."""
    outcome = answer(vendor, table, row)
    assert type(outcome).__name__ == row["outcome"], outcome
    for name in ("after_ms", "reason", "vendor_message_id", "content", "detail", "scope"):
        if name in row:
            assert getattr(outcome, name) == row[name]


def check_hostile_answers(vendor: Vendor, table: dict[str, Any]) -> None:
    """Check that no status and no body raises; failures stay failures and their details stay short."""
    for status in (200, 201, 204, 301, 302, 400, 401, 403, 404, 408, 409, 410, 413, 418, 425, 429, 500, 502, 503, 504):
        for body in (*BODIES, OVERSIZE):
            response = HttpResponse(status, {}, body)
            outcome = vendor.read(response, message(table), account(table), now_ms=NOW_MS)
            assert not (isinstance(outcome, Accepted) and status >= 300)
            assert len(getattr(outcome, "detail", "")) <= 500
            if isinstance(outcome, Transient | Ambiguous) and status == 503:
                hurried = vendor.read(
                    HttpResponse(503, {"retry-after": "7"}, body), message(table), account(table), now_ms=NOW_MS
                )
                assert getattr(hurried, "after_ms", 7_000) == 7_000, "a requested pause is respected"
            if status >= 500:
                # Ambiguous where the vendor may have sent and a repeat would be a second message.
                assert isinstance(outcome, Transient | Throttled | Ambiguous)


def check_retry_after(vendor: Vendor, table: dict[str, Any]) -> None:
    """Check that 429 is a pause, never a failure: of the seconds or until the date in it, else of no stated length."""
    dates = {"Mon, 21 Sep 2026 14:14:20 GMT": 60_000, "Mon, 21 Sep 2026 14:13:00 GMT": 0}
    for text, expected in {"7": 7_000, "0": 0, **dates}.items():
        outcome = _throttled(vendor, table, {"retry-after": text})
        assert outcome.after_ms == expected or (expected == 0 and outcome.after_ms), text
    for text in (None, "soon", "-1", "1e3", "99999999999999999999", "Mon, 99 Foo 2026 99:99:99 GMT"):
        outcome = _throttled(vendor, table, {"retry-after": text} if text else {})
        assert outcome.after_ms is None or 0 <= outcome.after_ms <= 24 * 3600 * 1000


def _throttled(vendor: Vendor, table: dict[str, Any], headers: dict[str, str]) -> Throttled:
    outcome = vendor.read(HttpResponse(429, headers, b""), message(table), account(table), now_ms=NOW_MS)
    assert isinstance(outcome, Throttled)
    return outcome


def check_unicode(vendor: Vendor, table: dict[str, Any]) -> None:
    """Check that text in any script arrives."""
    parts = {k: UNICODE if isinstance(v, str) else v for k, v in table["message"]["parts"].items()}
    request = build(vendor, table, parts=parts)
    if isinstance(request, HttpRequest):
        assert table.get("sealed") or "🎉" in unquote_plus(request.body.decode())
    elif isinstance(request, SmtpRequest):
        assert request.payload.isascii()


def check_secrets(vendor: Vendor, table: dict[str, Any]) -> None:
    """Check that no credential and no access token is in the repr of an object that could be logged."""
    owner = account(table)
    secrets = [value for value in owner.credentials.values() if value != owner.credentials.get("client_email")]
    seen = [repr(owner), repr(build(vendor, table))]
    seen += [repr(answer(vendor, table, row)) for row in table["rows"]]
    for secret in [*secrets, table.get("token") or "-----"]:
        assert not any(secret in text for text in seen)


def check_traits(vendor: Vendor, table: dict[str, Any]) -> None:
    """Check that the declaration contains what the table uses, and its required fields."""
    for fields, used in ((vendor.TRAITS.settings, "settings"), (vendor.TRAITS.credentials, "credentials")):
        given = table.get("account", {}).get(used, {})
        assert set(given) <= {field.name for field in fields}
        assert {field.name for field in fields if field.required} <= set(given)
    if vendor.TRAITS.parts:
        assert set(table["message"]["parts"]) <= set(vendor.TRAITS.parts)


def run(vendor: Vendor, table: dict[str, Any]) -> None:
    """Run the whole battery."""
    check_traits(vendor, table)
    check_request(vendor, table)
    for row in table["rows"]:
        check_row(vendor, table, row)
    check_unicode(vendor, table)
    check_secrets(vendor, table)
    if vendor.TRAITS.transport == "http":
        check_hostile_answers(vendor, table)
        check_retry_after(vendor, table)
    outcomes = {row["outcome"] for row in table["rows"]}
    assert Accepted.__name__ in outcomes
    assert vendor.TRAITS.transport == "local" or {Refused.__name__, Transient.__name__} & outcomes
