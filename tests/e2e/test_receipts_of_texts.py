"""SMS and WhatsApp from the send to the delivery receipt: sent through a simulator, with receipts and signatures in the
vendors' formats."""

import base64
import hmac
import json
import time
from urllib.parse import urlencode

import pytest

from clarion_lab.load.programs import Simulator, System
from tests.e2e.conftest import QUICK, operator_of, watched
from tests.e2e.outside import new_tenant, one, until

NUMBER = "+14155550777"
SECRETS = {
    "termii": {"secret_key": "canary-termii"},
    "whatsapp": {"app_secret": "canary-app", "verify_token": "canary-token"},
}
VENDORS = ("twilio", "vonage", "termii", "whatsapp")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    started = Simulator(tmp_path_factory.mktemp("texts") / "simulator", "--by-address", "--seed", "7")
    yield started.ready
    started.stop()


@pytest.fixture(scope="module")
def here(tmp_path_factory, simulated):
    trusting = {"CLARION_EGRESS_ALLOW_PRIVATE": "127.0.0.0/8", "CLARION_EGRESS_CA_FILE": str(simulated.ca_file)}
    system = System(tmp_path_factory.mktemp("texts-system"), QUICK | trusting | {"CLARION_WORKERS_COUNT": "1"})
    with watched(system) as started:
        yield operator_of(started)


@pytest.fixture(params=VENDORS)
def shop(request, here, simulated):
    """Return a tenant with one vendor, whose receipts are on, and the secrets that sign them."""
    provider = json.loads((simulated.receipts_file.parent / "providers.json").read_text())[request.param]["provider"]
    provider["credentials"] |= SECRETS.get(request.param, {})
    tenant = new_tenant(here, request.param)
    tenant.path = f"/v1/receipts/{tenant.name}/texts"
    tenant.address = f"http://127.0.0.1:{tenant.port}{tenant.path}"
    if request.param == "twilio":
        provider["settings"]["status_callback"] = tenant.address
    tenant.vendor, tenant.secrets, tenant.channel = request.param, provider["credentials"], provider["channel"]
    tenant.put("/v1/providers/texts", provider)
    tenant.put("/v1/templates/hello", {"channels": {tenant.channel: {"body": "Hello"}}})
    return tenant


def hexed(secret, body, method):
    return hmac.new(secret.encode(), body, method).hexdigest()


def by_twilio(shop, delivery, word):
    query = "" if word else f"?ref={delivery['id']}"
    form = {"MessageSid": one(delivery["attempts"])["vendor_message_id"], "To": NUMBER, "MessageStatus": "delivered"}
    if word:
        form = {"MessageSid": f"SM{time.time_ns()}", "From": NUMBER, "SmsStatus": "received", "Body": word}
    text = shop.address + query + "".join(name + form[name] for name in sorted(form))
    sign = hmac.new(shop.secrets["secret"].encode(), text.encode(), "sha1").digest()
    return query, urlencode(form).encode(), {"X-Twilio-Signature": base64.b64encode(sign).decode()}


def by_vonage(shop, delivery, word):
    form = {"msisdn": NUMBER[1:], "to": "Shop", "timestamp": str(int(time.time()))}
    if word:
        form |= {"messageId": str(time.time_ns()), "text": word, "type": "text"}
    else:
        form |= {"messageId": "0A0000000123ABC1", "client-ref": delivery["id"], "status": "delivered", "err-code": "0"}
    line = "".join(f"&{name}={form[name]}" for name in sorted(form))
    form["sig"] = hexed(shop.secrets["signature_secret"], line.encode(), "sha256")
    return "", urlencode(form).encode(), {}


def by_termii(shop, delivery, word):
    event = {"type": "outbound", "message_id": one(delivery["attempts"])["vendor_message_id"], "status": "DELIVERED"}
    if word:
        event = {"type": "inbound", "id": str(time.time_ns()), "sender": NUMBER[1:], "message": word}
    body = json.dumps(event).encode()
    return "", body, {"X-Termii-Signature": hexed(shop.secrets["secret_key"], body, "sha512")}


def by_whatsapp(shop, delivery, word):
    value = {"statuses": [{"id": "wamid.1", "status": "delivered", "biz_opaque_callback_data": delivery["id"]}]}
    if word:
        value = {"messages": [{"id": f"wamid.{time.time_ns()}", "from": NUMBER[1:], "text": {"body": word}}]}
    body = json.dumps({"object": "whatsapp_business_account", "entry": [{"changes": [{"value": value}]}]}).encode()
    return "", body, {"X-Hub-Signature-256": "sha256=" + hexed(shop.secrets["app_secret"], body, "sha256")}


def receipt_call(shop, delivery, word=""):
    """Return the vendor's call with a receipt of a delivered message, or with an inbound word."""
    return globals()[f"by_{shop.vendor}"](shop, delivery, word)


def called(shop, query, body, headers):
    headers = {
        "Content-Type": "application/json" if body[:1] == b"{" else "application/x-www-form-urlencoded"
    } | headers
    return shop.call("POST", shop.path + query, body, headers).status


def test_a_receipt_moves_its_delivery_and_a_stop_holds(shop):
    contact = {"phone" if shop.channel == "sms" else shop.channel: NUMBER}
    result = shop.send_and_wait(contact, "hello", channels=[shop.channel])
    id_, sent = result["id"], one(result["deliveries"])
    assert sent["state"] == "sent", sent
    query, body, headers = receipt_call(shop, sent)

    assert called(shop, query, body + b" ", headers) == 401
    assert called(shop, query, body.replace(b"elivered", b"eliverex").replace(b"ELIVERED", b"ELIVEREX"), headers) == 401
    assert one(shop.seen(id_)["deliveries"])["state"] == "sent"
    for _ in range(2):
        assert called(shop, query, body, headers) == 200
    until(lambda: one(shop.seen(id_)["deliveries"])["state"] == "delivered", "delivered")

    assert called(shop, *receipt_call(shop, sent, "Stop")) == 200
    stopped = one(shop.get("/v1/suppressions", channel=shop.channel)["data"])
    assert (stopped["address"], stopped["reason"]) == (NUMBER, "stop")
    skipped = one(shop.send_and_wait(contact, "hello", channels=[shop.channel])["deliveries"])
    assert (skipped["state"], skipped["reason"]) == ("skipped", "suppressed")

    assert called(shop, *receipt_call(shop, sent, "START")) == 200
    assert shop.get("/v1/suppressions", channel=shop.channel)["data"] == []
    assert one(shop.send_and_wait(contact, "hello", channels=[shop.channel])["deliveries"])["state"] == "sent"


def test_whatsapp_shakes_hands(here):
    tenant = new_tenant(here, "handshake")
    secrets = {"access_token": "EAAG", **SECRETS["whatsapp"]}
    settings = {"phone_number_id": "106540352242922"}
    body = {"channel": "whatsapp", "vendor": "whatsapp", "credentials": secrets, "settings": settings}
    tenant.put("/v1/providers/chat", body)
    path = f"/v1/receipts/{tenant.name}/chat"
    query = {"hub.mode": "subscribe", "hub.verify_token": "canary-token", "hub.challenge": "1158201444"}
    answer = tenant.call("GET", path, query=query)
    assert (answer.status, answer.body) == (200, b"1158201444")
    assert tenant.call("GET", path, query=query | {"hub.verify_token": "canary"}).status == 401
