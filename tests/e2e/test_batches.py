"""Many e-mails at once through vendors with batch calls: each arrives once, in fewer calls than e-mails."""

import collections
import json

import pytest

from clarion_lab.load.programs import Simulator, System
from tests.e2e.conftest import QUICK, operator_of, simulator_settings, watched
from tests.e2e.outside import ended, new_tenant, one, until

CONTENT = {"subject": "Grüße", "text": "We are closed on Monday.", "html": "<p>We are closed on Monday.</p>"}
COUNT, DEAD = 200, 117
VENDORS = ["mailgun", "postmark", "sendgrid", "ses"]
NO_DEAD = {"ses": "refused"}
"""SES takes mail for mailboxes that are not there; what it refuses at once is about the message."""


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    started = Simulator(tmp_path_factory.mktemp("batches") / "simulator", "--by-address", "--seed", "7")
    yield started.ready
    started.stop()


@pytest.fixture(scope="module")
def here(tmp_path_factory, simulated):
    """Yield the operator's client of an installation that may call loopback and trusts the simulator."""
    with watched(System(tmp_path_factory.mktemp("batches-system"), QUICK | simulator_settings(simulated))) as system:
        yield operator_of(system)


@pytest.mark.parametrize("vendor", VENDORS)
def test_each_arrives_once_and_one_dead_address_is_one(here, simulated, vendor):
    provider = json.loads((simulated.receipts_file.parent / "providers.json").read_text())[vendor]["provider"]
    tenant = new_tenant(here, vendor)
    tenant.put(f"/v1/providers/{vendor}", provider)
    tenant.put("/v1/templates/closed", {"channels": {"email": CONTENT}})
    to = [f"ada-{number}-{404 if number == DEAD else 777}@example.com" for number in range(COUNT)]
    asked = [{"to": {"email": address}, "template": "closed"} for address in to]
    report = tenant.post("/v1/notifications/batch", {"notifications": asked})["results"]
    seen = [until(lambda id_=result["id"]: ended(tenant.seen(id_)), result["id"], 40) for result in report]
    deliveries = {address: one(notification["deliveries"]) for address, notification in zip(to, seen, strict=True)}

    failed = {address: delivery["reason"] for address, delivery in deliveries.items() if delivery["state"] != "sent"}
    assert failed == {to[DEAD]: NO_DEAD.get(vendor, "invalid_recipient")}
    assert {tuple(attempt["outcome"] for attempt in delivery["attempts"]) for delivery in deliveries.values()} == {
        ("accepted",),
        (NO_DEAD.get(vendor, "invalid_recipient"),),
    }
    assert all(one(deliveries[address]["attempts"])["vendor_message_id"] for address in to if address != to[DEAD])

    receipts = [json.loads(line) for line in simulated.receipts_file.read_text().splitlines()]
    receipts = [receipt for receipt in receipts if receipt.get("vendor") == vendor]
    arrived = collections.Counter(receipt["key"] for receipt in receipts if receipt["taken"])
    assert arrived == {deliveries[address]["id"]: 1 for address in to if address != to[DEAD]}
    # The messages of one call have one body.
    assert len({receipt["hash"] for receipt in receipts}) < COUNT // 2
