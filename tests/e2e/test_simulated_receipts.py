"""Simulated vendors that send delivery receipts, with duplicates: verified, shown in the timeline, and applied."""

import json

import pytest

from clarion_lab.load.programs import Simulator, System
from tests.e2e.conftest import QUICK, operator_of, watched
from tests.e2e.outside import Tenant, one, until

MAILS, TEXTS = ("sendgrid", "mailgun", "postmark"), ("twilio", "vonage", "termii", "whatsapp")
VENDORS = (*MAILS, *TEXTS)
CONTENT = {"email": {"subject": "Hello", "text": "Hello"}, "sms": {"body": "Hello"}, "whatsapp": {"body": "Hello"}}
DELIVERED, BOUNCED, COMPLAINED, STOPPED = "777", "550", "551", "552"
DEAD = {"termii": set()}
"""Whose bounces say nothing of the address."""


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """An installation, and a simulator that calls it; each needs the address of the other."""
    folder = tmp_path_factory.mktemp("receipts")
    system = System(
        folder,
        QUICK | {
            "CLARION_EGRESS_ALLOW_PRIVATE": "127.0.0.0/8",
            "CLARION_EGRESS_CA_FILE": str(folder / "simulator" / "ca.pem"),
            "CLARION_WORKERS_COUNT": "1",
        },
    )  # fmt: skip
    url = f"http://127.0.0.1:{system.port}/v1/receipts/{{tenant}}-{{provider}}/{{provider}}"
    simulator = Simulator(folder / "simulator", "--receipts", url, "--tenant", "receipts", "--receipts-chaos")
    with watched(system):
        yield operator_of(system), json.loads((folder / "simulator" / "providers.json").read_text())
    simulator.stop()


def address_of(vendor, end):
    return f"ada.{end}@example.com" if vendor in MAILS else f"+14155550{end}"


@pytest.fixture(scope="module")
def sent(started):
    """Return a message to each kind of address, through each vendor."""
    operator, accounts = started
    found = {}
    for vendor in VENDORS:
        operator.put(f"/v1/tenants/receipts-{vendor}", {"name": vendor})
        made = operator.post(f"/v1/tenants/receipts-{vendor}/keys", {"name": "test", "scopes": ["*"]})
        tenant = Tenant(operator.port, made["key"])
        provider = accounts[vendor]["provider"]
        tenant.put(f"/v1/providers/{vendor}", provider)
        channel = provider["channel"]
        tenant.put("/v1/templates/hello", {"channels": {channel: CONTENT[channel]}})
        contact = "phone" if channel == "sms" else channel
        ends = (DELIVERED, BOUNCED, COMPLAINED if vendor in MAILS else STOPPED)
        found[vendor] = tenant, {end: tenant.send({contact: address_of(vendor, end)}, "hello") for end in ends}
    return found


def state(tenant, id_):
    """Return the state of the delivery, None until it is planned."""
    deliveries = tenant.seen(id_)["deliveries"]
    return one(deliveries)["state"] if deliveries else None


@pytest.mark.parametrize("vendor", VENDORS)
def test_it_is_delivered(sent, vendor):
    tenant, ids = sent[vendor]
    until(lambda: state(tenant, ids[DELIVERED]) == "delivered", f"{vendor} delivered")


@pytest.mark.parametrize("vendor", VENDORS)
def test_it_bounces(sent, vendor):
    tenant, ids = sent[vendor]
    until(lambda: state(tenant, ids[BOUNCED]) == "failed", f"{vendor} bounced")
    dead = DEAD.get(vendor, {address_of(vendor, BOUNCED)})
    until(lambda: {s["address"] for s in tenant.pages("/v1/suppressions")} >= dead, f"{vendor}: suppressed")


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_complaint_or_stop_is_heeded(sent, vendor):
    tenant, _ = sent[vendor]
    end, reason = (COMPLAINED, "complaint") if vendor in MAILS else (STOPPED, "stop")
    wanted = (address_of(vendor, end), reason)
    until(
        lambda: wanted in {(s["address"], s["reason"]) for s in tenant.pages("/v1/suppressions")}, f"{vendor}: {reason}"
    )
