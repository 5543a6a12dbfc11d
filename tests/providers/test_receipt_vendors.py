"""Every vendor with delivery receipts, against unauthenticated calls."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.ports.receipts import Forged, NeedKey, ReceiptCall, Unreadable
from clarion.providers import catalogue
from tests.providers import battery

VENDORS = catalogue.load()
TABLES = [table for table in battery.tables().values() if VENDORS[table["channel"], table["vendor"]].TRAITS.receipts]
IDS = [f"{table['channel']}_{table['vendor']}" for table in TABLES]
URL = "https://notify.shop.example/v1/receipts/acme/it"
HEADERS = (
    "authorization", "content-type", "x-amz-sns-message-type", "x-hub-signature-256", "x-termii-signature",
    "x-twilio-email-event-webhook-signature", "x-twilio-email-event-webhook-timestamp", "x-twilio-signature",
)  # fmt: skip
TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
BODIES = st.binary(max_size=60) | JSON.map(msgspec.json.encode)


@pytest.mark.parametrize("vendor", VENDORS.values(), ids=lambda vendor: vendor.TRAITS.vendor)
def test_a_vendor_says_whether_it_has_receipts(vendor):
    assert vendor.TRAITS.receipts == hasattr(vendor, "read_receipts")


@pytest.mark.parametrize("table", TABLES, ids=IDS)
@given(
    method=st.sampled_from(["GET", "POST"]),
    url=TEXT.map(lambda text: f"{URL}?{text}"),
    query=st.dictionaries(st.sampled_from(["hub.mode", "hub.verify_token", "hub.challenge", "sig", "timestamp"]), TEXT),
    headers=st.dictionaries(st.sampled_from(HEADERS), TEXT),
    body=BODIES,
)
def test_an_unsigned_call_has_no_events(table, method, url, query, headers, body):
    vendor = VENDORS[table["channel"], table["vendor"]]
    call = ReceiptCall(method, url, query, headers, body)
    parsed = vendor.read_receipts(call, battery.account(table), now_ms=battery.NOW_MS, keys={})
    assert isinstance(parsed, Forged | Unreadable | NeedKey)
    secrets = battery.account(table).credentials.values()
    assert not any(str(secret) in repr(parsed) for secret in secrets)


@pytest.mark.parametrize("table", TABLES, ids=IDS)
def test_without_any_secret_no_call_has_events(table):
    account = msgspec.structs.replace(battery.account(table), credentials={})
    vendor = VENDORS[table["channel"], table["vendor"]]
    for method in ("GET", "POST"):
        call = ReceiptCall(method, URL, {}, dict.fromkeys(HEADERS, ""), b"{}")
        assert isinstance(vendor.read_receipts(call, account, now_ms=battery.NOW_MS, keys={}), Forged | Unreadable)
