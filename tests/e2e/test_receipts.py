"""Delivery receipts: authenticated by their signature, shown in the timeline, and applied to the next send."""

import base64
import json
import time

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from clarion_lab.load.programs import Simulator, System
from tests.e2e.conftest import QUICK, operator_of, simulator_settings, watched
from tests.e2e.outside import Api, new_tenant, one, until

MAIL = {"email": {"subject": "Hello", "text": "Hello {{ user.id }}"}}
PASSWORD = "canary-password-of-the-webhook"
BASIC = "Basic " + base64.b64encode(f"postmark:{PASSWORD}".encode()).decode()
KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    started = Simulator(tmp_path_factory.mktemp("receipts") / "simulator", "--seed", "7")
    yield started.ready
    started.stop()


@pytest.fixture(scope="module")
def here(tmp_path_factory, simulated):
    with watched(System(tmp_path_factory.mktemp("receipts-system"), QUICK | simulator_settings(simulated))) as system:
        yield operator_of(system)


def connected(here, simulated, vendor, **more):
    """Return a tenant with this vendor for its e-mail."""
    account = json.loads((simulated.receipts_file.parent / "providers.json").read_text())[vendor]["provider"]
    tenant = new_tenant(here, vendor)
    for name, values in more.items():
        account[name] = account[name] | values
    tenant.put("/v1/providers/mail", account)
    tenant.put("/v1/templates/hello", {"channels": MAIL})
    return tenant


@pytest.fixture(scope="module")
def postmark(here, simulated):
    credentials = {"webhook_username": "postmark", "webhook_password": PASSWORD}
    return connected(here, simulated, "postmark", credentials=credentials)


def post_receipt(tenant, body, headers, provider="mail"):
    """Call as a provider does: without an API key."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Api(tenant.port).call("POST", f"/v1/receipts/{tenant.name}/{provider}", raw, headers)


def record(kind, reference, **more):
    return {"RecordType": kind, "MessageID": "m", "Metadata": {"delivery_id": reference}, **more}


def bounced(reference, address):
    return record("Bounce", reference, Type="HardBounce", Email=address, Description="No such mailbox", Inactive=True)


def sent(tenant, address):
    """Send one e-mail; return its notification's id and its delivery once it is sent."""
    result = tenant.send_and_wait({"email": address}, "hello", channels=["email"])
    delivery = one(result["deliveries"])
    assert delivery["state"] == "sent", delivery
    return result["id"], delivery


def shown(tenant, id_, state):
    """Return the notification as soon as its delivery is in a state."""
    return until(
        lambda: (result := tenant.seen(id_))["deliveries"][0]["state"] == state and result, f"{id_} is {state}"
    )


def events(result):
    return [moment["event"] for moment in result["timeline"]]


def test_a_hard_bounce_fails_the_delivery_and_nothing_is_sent_there_again(postmark):
    id_, delivery = sent(postmark, "gone@example.com")
    for _ in range(2):
        answer = post_receipt(postmark, bounced(delivery["id"], "Gone@Example.com"), {"authorization": BASIC})
        assert (answer.status, answer.body) == (200, b"")
    result = shown(postmark, id_, "failed")
    assert result["deliveries"][0]["reason"] == "bounced"
    assert result["deliveries"][0]["detail"] == "HardBounce No such mailbox"
    assert len(result["deliveries"][0]["attempts"]) == 1
    assert events(result) == ["accepted", "planned", "accepted", "bounced"]
    (entry,) = postmark.get("/v1/suppressions", channel="email", address="gone@example.com")["data"]
    assert (entry["reason"], entry["expires_at"]) == ("hard_bounce", None)
    again = postmark.send_and_wait({"email": "gone@example.com"}, "hello", channels=["email"])
    assert [(one_["state"], one_["reason"]) for one_ in again["deliveries"]] == [("skipped", "suppressed")]


def test_what_is_not_provably_the_providers_stores_nothing_and_says_nothing(postmark):
    id_, delivery = sent(postmark, "spoof@example.com")
    forged = bounced(delivery["id"], "spoof@example.com")
    answers = [
        post_receipt(postmark, forged, {"authorization": "Basic " + base64.b64encode(b"postmark:guess").decode()}),
        post_receipt(postmark, forged, {}),
        post_receipt(postmark, forged, {"authorization": f"Bearer {postmark.key}"}),
        post_receipt(postmark, forged, {"authorization": BASIC}, provider="nobody"),
        Api(postmark.port).call("POST", "/v1/receipts/nobody/mail", b"{}", {"authorization": BASIC}),
        Api(postmark.port).call("GET", f"/v1/receipts/{postmark.name}/mail", headers={"authorization": BASIC}),
    ]
    assert {answer.status for answer in answers} == {401}
    assert len({answer.body for answer in answers}) == 1
    large = post_receipt(postmark, b"[" + b" " * 1_100_000 + b"]", {"authorization": BASIC})
    assert large.status == 413
    assert post_receipt(postmark, b"{", {"authorization": BASIC}).status == 400
    assert postmark.seen(id_)["deliveries"][0]["state"] == "sent"
    assert postmark.get("/v1/suppressions", channel="email", address="spoof@example.com")["data"] == []


def test_another_tenants_receipts_move_nothing_of_ours(here, simulated, postmark):
    id_, delivery = sent(postmark, "mine@example.com")
    credentials = {"webhook_username": "postmark", "webhook_password": PASSWORD}
    other = connected(here, simulated, "postmark", credentials=credentials)
    assert post_receipt(other, bounced(delivery["id"], "mine@example.com"), {"authorization": BASIC}).status == 200
    assert post_receipt(postmark, record("Delivery", delivery["id"]), {"authorization": BASIC}).status == 200
    result = shown(postmark, id_, "delivered")
    assert events(result) == ["accepted", "planned", "accepted", "confirmed"]


def signed(batch):
    der = json.dumps(batch).encode() + b"\r\n"
    stamp = str(int(time.time()))
    signature = KEY.sign(stamp.encode() + der, ec.ECDSA(hashes.SHA256()))
    return der, {
        "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
        "X-Twilio-Email-Event-Webhook-Timestamp": stamp,
    }


def test_receipts_in_any_order_end_alike(here, simulated):
    public = KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    settings = {"webhook_public_key": base64.b64encode(public).decode()}
    tenant = connected(here, simulated, "sendgrid", settings=settings)
    id_, delivery = sent(tenant, "ada@example.com")
    now_s = int(time.time())
    batch = [
        {
            "event": name,
            "email": "ada@example.com",
            "sg_event_id": name,
            "timestamp": now_s,
            "delivery_id": delivery["id"],
        }
        for name in ("open", "delivered", "deferred", "processed")
    ]
    for part in (batch[:1], batch[1:], batch):
        assert post_receipt(tenant, *signed(part)).status == 200
    result = shown(tenant, id_, "delivered")
    assert sorted(events(result)) == ["accepted", "accepted", "confirmed", "deferred", "opened", "planned"]
    counted = {row["event"]: row["count"] for row in tenant.get("/v1/counters")["data"]}
    assert [counted[name] for name in ("confirmed", "opened", "deferred")] == [1, 1, 1]


def test_a_broadcast_learns_what_became_of_each_of_its_deliveries(simulated, postmark):
    people = [f"crowd-{n}" for n in range(4)]
    postmark.put("/v1/topics/crowd", {})
    lines = [json.dumps({"id": name, "email": f"{name}@example.com", "topics": ["crowd"]}).encode() for name in people]
    postmark.post("/v1/users/bulk", b"\n".join(lines))
    id_ = postmark.post("/v1/broadcasts", {"audience": {"topic": "crowd"}, "template": "hello", "channels": ["email"]})[
        "id"
    ]
    progress = lambda: postmark.get(f"/v1/broadcasts/{id_}")["states"]  # noqa: E731
    until(lambda: progress() == {"sent": 4}, "all sent", 30)
    arrived = [json.loads(line)["key"] for line in simulated.receipts_file.read_text().splitlines()]
    references = [key for key in arrived if id_.removeprefix("brd_") in key]
    assert len(set(references)) == 4
    kinds = [record("Delivery", references[0]), record("Delivery", references[1]), record("Open", references[1])]
    for result in (*kinds, bounced(references[2], "crowd-x@example.com"), *kinds):
        assert post_receipt(postmark, result, {"authorization": BASIC}).status == 200
    until(lambda: progress() == {"sent": 1, "delivered": 2, "failed": 1}, "receipts are folded")
    found = postmark.get(f"/v1/broadcasts/{id_}/deliveries", state="failed")["data"]
    assert [(one_["reason"], one_["user_id"] in people) for one_ in found] == [("bounced", True)]
