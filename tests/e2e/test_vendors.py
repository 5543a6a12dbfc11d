"""Every HTTP vendor, end to end: a tenant for each, one installation, and a simulator of all vendors."""

import json
from typing import NamedTuple

import pytest

from clarion_lab.load.programs import Simulator, System
from tests.e2e.conftest import QUICK, operator_of, simulator_settings, watched
from tests.e2e.outside import Tenant, ended, new_tenant, one, until, waits

CONTENT = {
    "email": {"subject": "Grüße, {{ name }}", "text": "Hello {{ name }}", "html": "<p>Hello {{ name }}</p>"},
    "sms": {"body": "Hello {{ name }} & co ü"},
    "push": {"title": "Hello {{ name }}", "body": "b", "data": {"n": "1"}},
    "webpush": {"title": "Hello {{ name }}", "body": "b"},
    "whatsapp": {"body": "Hello {{ name }}"},
    "chat": {"text": "Hello {{ name }}"},
    "webhook": {"type": "hello.said", "data": {"name": "{{ name }}"}},
}
CONTACT = {"sms": "phone"}
"""What `to` calls the address of a channel, where it is not the channel's name."""
CASES = {"well": "777", "dead": "404", "down": "500", "busy": "429"}
"""The end of an address, by which the simulator chooses its answer."""
WRONG = {
    "sendgrid": {"api_key": "SG.canary-of-a-secret"},
    "mailgun": {"api_key": "canary-of-a-secret"},
    "postmark": {"server_token": "canary-of-a-secret"},
    "twilio": {"secret": "canary-of-a-secret"},
    "vonage": {"signature_secret": "canary-of-a-secret"},
    "termii": {"api_key": "canary-of-a-secret"},
    "ses": {"secret_access_key": "canary-of-a-secret"},
    "sns": {"secret_access_key": "canary-of-a-secret"},
    "whatsapp": {"access_token": "canary-of-a-secret"},
    "slack": {"bot_token": "canary-of-a-secret"},
}
WRONG_SETTINGS = {"apns": {"topic": "com.example.other"}, "webpush": {"subject": "mailto:push@shop.invalid"}}
"""Settings that a push service refuses although the key is right."""
VENDORS = sorted(WRONG | WRONG_SETTINGS)
MAY_HAVE_BEEN_SENT = {"twilio", "vonage", "termii", "sns", "whatsapp", "slack"}
"""Vendors for which another attempt after a 5xx may be a second message."""
KEPT = {"ses"}
"""Vendors that do not report dead addresses at once: a refusal is about the message."""


class Played(NamedTuple):
    """Results of one vendor's notifications: the delivery of each case, its timeline, and suppressions."""

    deliveries: dict[str, dict]
    timelines: dict[str, str]
    credentials: dict[str, str]
    tenant: Tenant


def address_of(channel, example, end):
    """Return an address of the channel with this ending."""
    match channel:
        case "email":
            return f"ada-{end}@example.com"
        case "sms" | "whatsapp":
            return f"+14155550{end}"
        case "webpush":
            subscription = json.loads(example)
            return json.dumps(subscription | {"endpoint": f"{subscription['endpoint']}-{end}"})
        case "push":
            return "ad" * 30 + f"a{end}"
        case _:
            return f"C0SHOP{end}"


def connected(operator, provider, name):
    """Return a tenant with this provider and content for its channel."""
    tenant = new_tenant(operator, name)
    view = tenant.put(f"/v1/providers/{name}", provider)
    assert not [secret for secret in provider["credentials"].values() if secret in json.dumps(view)]
    channel = provider["channel"]
    tenant.put("/v1/templates/hello", {"channels": {channel: CONTENT[channel]}})
    return tenant


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vendors")
    started = Simulator(folder / "simulator", "--by-address", "--seed", "7")
    yield started.ready
    started.stop()


@pytest.fixture(scope="module")
def accounts(simulated):
    return json.loads((simulated.receipts_file.parent / "providers.json").read_text())


@pytest.fixture(scope="module")
def here(tmp_path_factory, simulated):
    """Yield the operator's client of an installation that may call loopback and trusts the simulator."""
    with watched(System(tmp_path_factory.mktemp("vendors-system"), QUICK | simulator_settings(simulated))) as system:
        yield operator_of(system)


@pytest.fixture(scope="module")
def played(here, accounts):
    """Return every case of every vendor at rest, sent one after the other: concurrent messages may share a call and its result."""
    seen, tenants, strangers = {}, {}, {}
    for vendor in VENDORS:
        provider = accounts[vendor]["provider"]
        tenants[vendor] = connected(here, provider, vendor)
        wrong = provider | {
            "credentials": provider["credentials"] | WRONG.get(vendor, {}),
            "settings": provider["settings"] | WRONG_SETTINGS.get(vendor, {}),
        }
        strangers[vendor] = connected(here, wrong, vendor)
    for case, end in [*CASES.items(), ("stranger", "777")]:
        sent = {}
        for vendor in VENDORS:
            channel = accounts[vendor]["provider"]["channel"]
            to = {CONTACT.get(channel, channel): address_of(channel, accounts[vendor]["address"], end)}
            tenant = (strangers if case == "stranger" else tenants)[vendor]
            sent[vendor] = tenant, tenant.send(to, "hello", {"name": "Ada"}, channels=[channel])
        for vendor, (tenant, id_) in sent.items():
            seen[vendor, case] = until(lambda t=tenant, i=id_: ended(t.seen(i)), f"{vendor} {case}", 40)
    return {
        vendor: Played(
            {case: one(result["deliveries"]) for (of, case), result in seen.items() if of == vendor},
            {case: json.dumps(result) for (of, case), result in seen.items() if of == vendor},
            accounts[vendor]["provider"]["credentials"],
            tenants[vendor],
        )
        for vendor in VENDORS
    }


@pytest.fixture(scope="module")
def receipts(played, simulated):
    return [json.loads(line) for line in simulated.receipts_file.read_text().splitlines()]


def outcomes(delivery):
    return [attempt["outcome"] for attempt in delivery["attempts"]]


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_message_is_sent_and_the_vendors_id_is_kept(played, receipts, vendor):
    delivery = played[vendor].deliveries["well"]
    assert (delivery["state"], outcomes(delivery)) == ("sent", ["accepted"]), delivery
    id_ = one(delivery["attempts"])["vendor_message_id"]
    assert id_
    receipt = one(r for r in receipts if r.get("vendor") == vendor and r.get("vendor_message_id") == id_)
    assert (receipt["answer"], receipt["arrival"], receipt["channel"]) == ("accepted", 1, delivery["channel"])
    assert receipt["key"] == delivery["id"] or vendor in ("twilio", "termii", "sns")


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_dead_address_fails_and_is_suppressed_where_the_vendor_knows_it(played, vendor):
    result = played[vendor]
    delivery = result.deliveries["dead"]
    reason = "refused" if vendor in KEPT else "invalid_recipient"
    assert (delivery["state"], delivery["reason"]) == ("failed", reason), delivery
    assert len(delivery["attempts"]) == 1
    suppressed = [] if vendor in KEPT else [delivery["address"]]

    def listed():
        return [s["address"] for s in result.tenant.pages("/v1/suppressions", channel=delivery["channel"])]

    until(lambda: listed() == suppressed, f"suppressions of {vendor}")


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_failure_of_the_vendor_is_tried_again(played, receipts, vendor):
    delivery = played[vendor].deliveries["down"]
    first = "ambiguous" if vendor in MAY_HAVE_BEEN_SENT else "transient"
    assert (delivery["state"], outcomes(delivery)) == ("sent", [first, "accepted"]), delivery
    id_ = delivery["attempts"][1]["vendor_message_id"]
    receipt = one(r for r in receipts if r.get("vendor") == vendor and r.get("vendor_message_id") == id_)
    assert receipt["arrival"] == 2
    assert [r["answer"] for r in receipts if r["key"] == receipt["key"]] == ["error_500", "accepted"]


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_limit_is_a_pause(played, vendor):
    delivery = played[vendor].deliveries["busy"]
    assert (delivery["state"], outcomes(delivery)) == ("sent", ["throttled", "accepted"]), delivery


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_stranger_is_misconfigured_and_nothing_is_suppressed(played, receipts, vendor):
    result = played[vendor]
    delivery = result.deliveries["stranger"]
    assert waits(delivery), delivery
    assert set(outcomes(delivery)) == {"misconfigured"}
    assert delivery["detail"]
    assert "unauthenticated" in {r["answer"] for r in receipts if r.get("vendor") == vendor}


@pytest.mark.parametrize("vendor", VENDORS)
def test_no_timeline_shows_a_secret(played, vendor):
    result = played[vendor]
    secrets = [*result.credentials.values(), "canary-of-a-secret"]
    for case, text in result.timelines.items():
        assert not [secret for secret in secrets if secret in text], case


def test_a_webhook_of_slack_needs_no_credentials(here, accounts):
    hook = accounts["slack-webhook"]
    tenant = connected(here, hook["provider"], "slack-webhook")
    ends = {"well": "777", "dead": "404", "stranger": None}
    sent = {
        case: tenant.send(
            {"chat": hook["address"] + end if end else hook["address"][:-4] + "0000"}, "hello", {"name": "A"}
        )
        for case, end in ends.items()
    }
    result = {case: one(tenant.ended(id_)["deliveries"]) for case, id_ in sent.items()}
    assert (result["well"]["state"], outcomes(result["well"])) == ("sent", ["accepted"])
    assert (result["dead"]["state"], result["dead"]["reason"]) == ("failed", "invalid_recipient")
    assert (result["stranger"]["state"], result["stranger"]["reason"]) == ("failed", "refused")


@pytest.mark.parametrize("vendor", ["fcm", "webhook", "smtp"])
def test_the_others_are_connected_from_the_same_file(here, accounts, vendor):
    """Their failures are tested in `test_providers.py`."""
    provider = accounts[vendor]["provider"]
    tenant = connected(here, provider, vendor)
    channel = provider["channel"]
    result = tenant.send_and_wait({channel: accounts[vendor]["address"]}, "hello", {"name": "Ada"}, channels=[channel])
    delivery = one(result["deliveries"])
    assert (delivery["state"], outcomes(delivery)) == ("sent", ["accepted"]), delivery
