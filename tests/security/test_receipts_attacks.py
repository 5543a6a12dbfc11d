"""Hostile calls: bodies that are costly to read, and shapes that no provider sends, with or without a valid signature."""

import hashlib
import hmac
import json
import time

import pytest

from clarion.domain.limits_delivery import CALL_FORM_BYTES_MAX
from clarion.ports.receipts import Forged, Receipt, ReceiptCall
from tests.security.test_receipts import NOW_MS, VENDORS, account

SECRET = "canary-app_secret"
CALL_MS_MAX = 60
"""What reading the worst body may take of the process that answers everybody; half of it without other load."""


def call(body, headers=None, method="POST", query=""):
    return ReceiptCall(method, f"https://notify.example/v1/receipts/acme/x?{query}", {}, headers or {}, body)


LARGE = {
    "escapes": b"a=" + b"%41" * 300_000,
    "fields": b"a=b&" * 250_000,
    "zeros": b"\0" * 1_000_000,
    "names": b"{" + b",".join(b'"k%d":"v"' % number for number in range(70_000)) + b"}",
    "depth": b"[" * 500_000 + b"]" * 500_000,
    "digits": b'{"signature": {"timestamp": ' + b"1" * 900_000 + b"}}",
    "text": b'{"Type": "Notification", "Message": "' + b"\\u0041" * 150_000 + b'"}',
}
SIGNED = {
    "x-twilio-signature": "x",
    "authorization": "Basic \xff",
    "x-termii-signature": "x",
    "x-hub-signature-256": "x",
}


@pytest.mark.parametrize("vendor", sorted(VENDORS))
def test_a_strangers_large_body_is_refused_before_it_costs_anything(vendor):
    for name, body in LARGE.items():
        begun = time.process_time()
        result = VENDORS[vendor].read_receipts(call(body, SIGNED), account(VENDORS[vendor]), now_ms=NOW_MS, keys={})
        spent_ms = (time.process_time() - begun) * 1000
        assert isinstance(result, Forged), name
        assert spent_ms < CALL_MS_MAX, f"{name} took {spent_ms:.0f} ms"


def test_a_form_as_long_as_any_providers_is_read():
    body = b"a=" + b"b" * (CALL_FORM_BYTES_MAX - 2)
    for vendor, why in (("twilio", "X-Twilio-Signature does not match"), ("vonage", "sig does not match")):
        of = account(VENDORS[vendor])
        result = VENDORS[vendor].read_receipts(call(body, SIGNED), of, now_ms=NOW_MS, keys={})
        assert result == Forged(why)
        longer = VENDORS[vendor].read_receipts(call(body + b"b", SIGNED), of, now_ms=NOW_MS, keys={})
        assert isinstance(longer, Forged)
        assert longer != Forged(why)


@pytest.mark.parametrize("code", [[1], {"a": 1}, None, True, 1.5, "131026", 131026])
def test_a_code_of_any_type_is_read(code):
    status = {"id": "wamid.1", "status": "failed", "recipient_id": "16505551234", "errors": [{"code": code}]}
    body = {"object": "whatsapp_business_account", "entry": [{"changes": [{"value": {"statuses": [status]}}]}]}
    raw = json.dumps(body).encode()
    signature = "sha256=" + hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()
    whatsapp = VENDORS["whatsapp"]
    (result,) = whatsapp.read_receipts(
        call(raw, {"x-hub-signature-256": signature}), account(whatsapp), now_ms=NOW_MS, keys={}
    )
    assert isinstance(result, Receipt)
    assert (result.suppress is not None) == (code in ("131026", 131026))
