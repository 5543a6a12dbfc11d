"""Provider outages: failover to other accounts, deliveries that wait, fallback channels, and unaffected tenants."""

import itertools
import json
from collections import Counter
from datetime import datetime, timedelta

import psutil
import pytest
from pyreqwest.client import SyncClientBuilder

from clarion.domain.channel import Channel
from clarion_lab.load.programs import Simulator, System
from tests.e2e.conftest import operator_of, watched
from tests.e2e.outside import new_tenant, one, until
from tests.e2e.seed import phone

TOUCHY = {"failure_rate": 0.5, "calls_min": 2, "open_ms": 1_000, "open_max_ms": 1_000}
"""A breaker that opens after two failures and probes every second."""
PAUSES = {f"CLARION_DELIVER_RETRY_PAUSES_MS_{channel.name}": "100,200,400" for channel in Channel}
MAIL = {"email": {"subject": "Hello", "text": "Hello"}}
NUMBERS = itertools.count(100)


class Place:
    """An installation, a simulator and its accounts."""

    def __init__(self, system, simulator):
        self.system, self.simulator = system, simulator
        folder = simulator.ready.receipts_file.parent
        self.accounts = json.loads((folder / "providers.json").read_text())

    def outages(self, *texts):
        """Replace the present outages by these."""
        pem = self.simulator.ready.ca_file.read_bytes()
        with (
            SyncClientBuilder()
            .http2(True)
            .add_root_certificate_pem(pem)
            .timeout(timedelta(seconds=10))
            .build() as client
        ):
            url = f"{self.simulator.ready.base_url}/outages"
            answer = client.post(url).body_json({"outages": list(texts)}).build().send()
            assert answer.status < 300, answer.text()

    def tenant(self, *vendors, **changes):
        """Return a tenant that mails through these vendors, the first one preferred."""
        tenant = new_tenant(operator_of(self.system), "mailing")
        tenant.put("/v1/templates/hello", {"channels": MAIL})
        for priority, vendor in enumerate(vendors):
            provider = self.accounts[vendor]["provider"]
            tenant.put(f"/v1/providers/{vendor}", {**provider, "priority": priority, "breaker": TOUCHY, **changes})
        return tenant

    def taken(self):
        """Return how often vendors accepted the message of each delivery, and which vendors did."""
        lines = [json.loads(line) for line in self.simulator.ready.receipts_file.read_text().splitlines()]
        return Counter(line["key"] for line in lines if line["taken"])

    def log(self):
        return (self.system.folder / "clarion.log").read_text(errors="replace").splitlines()


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    simulator = Simulator(tmp_path_factory.mktemp("outages") / "simulator", "--by-address", "--seed", "7")
    trusting = {
        "CLARION_EGRESS_ALLOW_PRIVATE": "127.0.0.0/8",
        "CLARION_EGRESS_CA_FILE": str(simulator.ready.ca_file),
        "CLARION_WORKERS_COUNT": "2",
    }
    with watched(System(tmp_path_factory.mktemp("outages-system"), PAUSES | trusting)) as system:
        yield Place(system, simulator)
    simulator.stop()


@pytest.fixture
def place(running):
    yield running
    running.outages()


def mailed(tenant, count, **more):
    return [tenant.send({"email": f"ada{next(NUMBERS)}-777@example.com"}, "hello", **more) for _ in range(count)]


def deliveries(tenant, ids):
    """Return the deliveries of notifications to one recipient each."""
    return [one(found) for id_ in ids if (found := tenant.seen(id_)["deliveries"])]


def all_in(tenant, ids, *states, wait_s=20.0):
    def there():
        found = deliveries(tenant, ids)
        return found if len(found) == len(ids) and all(each["state"] in states for each in found) else None

    return until(there, f"{len(ids)} deliveries {states}", wait_s)


def health(tenant, name):
    return tenant.get(f"/v1/providers/{name}/health")


def at(text):
    return datetime.fromisoformat(text)


def test_a_second_account_takes_over_at_once_and_nothing_is_sent_twice(place):
    place.outages("sendgrid down")
    tenant = place.tenant("sendgrid", "postmark")
    found = all_in(tenant, mailed(tenant, 30), "sent")
    assert {each["attempts"][-1]["provider"] for each in found} == {"postmark"}
    assert {each["attempts"][-1]["outcome"] for each in found} == {"accepted"}
    for each in found:
        first, *_, last = each["attempts"] if len(each["attempts"]) > 1 else each["attempts"] * 2
        assert at(last["started_at"]) - at(first["finished_at"]) < timedelta(seconds=1)
    taken = place.taken()
    assert [taken[each["id"]] for each in found] == [1] * 30
    assert health(tenant, "sendgrid")["state"] in ("open", "half_open")
    assert health(tenant, "postmark")["state"] == "closed"


def test_what_nobody_can_take_waits_and_goes_when_the_outage_ends(place):
    place.outages("sendgrid down", "postmark down")
    tenant = place.tenant("sendgrid", "postmark")
    ids = mailed(tenant, 20)

    def waiting():
        timelines = [[moment["event"] for moment in tenant.seen(id_)["timeline"]] for id_ in ids]
        return sum("parked" in events for events in timelines) >= len(ids) / 2

    until(waiting, "at least half of the deliveries wait for a provider")
    assert "provider_down" in {each["reason"] for each in all_in(tenant, ids, "retrying")}
    result = health(tenant, "sendgrid")
    assert result["state"] in ("open", "half_open")
    assert result["detail"]
    until(lambda: health(tenant, "sendgrid")["changes"], "the change is recorded")
    place.outages()
    found = all_in(tenant, ids, "sent", wait_s=30)
    taken = place.taken()
    assert [taken[each["id"]] for each in found] == [1] * 20


def test_a_wrong_account_costs_nothing_and_concerns_nobody_else(place):
    """Two tenants at one vendor: the one with wrong credentials waits until they are corrected."""
    neighbour = place.tenant("sendgrid")
    right = place.accounts["sendgrid"]["provider"]["credentials"]
    tenant = place.tenant("sendgrid", credentials={**right, "api_key": "SG.canary-of-a-secret"})
    ids = mailed(tenant, 10)
    found = all_in(tenant, ids, "retrying")
    assert {each["reason"] for each in found} <= {"misconfigured", "provider_down"}
    until(lambda: health(tenant, "sendgrid")["state"] in ("open", "half_open"), "its account is not called any more")
    others = all_in(neighbour, mailed(neighbour, 10), "sent")
    assert {len(each["attempts"]) for each in others} == {1}
    assert health(neighbour, "sendgrid")["state"] == "closed"
    provider = place.accounts["sendgrid"]["provider"]
    tenant.put("/v1/providers/sendgrid", {**provider, "breaker": TOUCHY})
    found = all_in(tenant, ids, "sent", wait_s=30)
    taken = place.taken()
    assert [taken[each["id"]] for each in found] == [1] * 10
    opened = [line for line in place.log() if "provider_open" in line and tenant.name in line]
    assert 1 <= len(opened) <= 10
    assert not [line for line in place.log() if "canary-of-a-secret" in line]


def test_a_route_continues_while_a_channel_is_down_unless_its_category_waits(place):
    tenant = new_tenant(operator_of(place.system), "routes")
    tenant.put("/v1/templates/hello", {"channels": {"push": {"title": "Hello"}, "sms": {"body": "Hello"}}})
    tenant.sandbox("sms")
    push = {"channel": "push", "vendor": "sandbox", "settings": {"by_attempt": ["transient"]}}
    tenant.put("/v1/providers/sandbox-push", {**push, "breaker": {**TOUCHY, "calls_min": 1, "open_ms": 60_000,
                                                                 "open_max_ms": 60_000}})  # fmt: skip
    route = {"first": ["push", "sms"], "until": "sent"}
    tenant.put("/v1/categories/orders", {"route": route})
    tenant.put("/v1/categories/offers", {"route": route, "on_outage": "wait"})
    tenant.user("ada", phone=phone(1), devices=[{"id": "d", "channel": "push", "token": "t1"}])
    tenant.changed()
    tenant.send("ada", "hello", channels=["push"])
    until(lambda: health(tenant, "sandbox-push")["state"] == "open", "push is down")
    tenant.changed()
    order = tenant.send("ada", "hello", category="orders")
    offer = tenant.send("ada", "hello", category="offers")

    def of(id_):
        return {each["channel"]: (each["state"], each["reason"]) for each in tenant.seen(id_)["deliveries"]}

    until(lambda: of(order).get("sms", ("",))[0] == "sent", "the order goes by SMS")
    assert of(order)["push"] == ("failed", "provider_down")
    until(lambda: of(offer).get("push") == ("retrying", "provider_down"), "the offer waits")
    assert "sms" not in of(offer)
    assert not list(tenant.pages("/v1/dead-letters")), "a delivery sent on another channel is no dead letter"


def test_limits_hold_over_all_workers(place):
    tenant = new_tenant(operator_of(place.system), "paced")
    tenant.put("/v1/templates/hello", {"channels": {"sms": {"body": "Hello"}}})
    body = {"channel": "sms", "vendor": "sandbox", "limits": {"per_second": 20}}
    tenant.put("/v1/providers/sandbox-sms", body)
    tenant.changed()
    ids = [tenant.send({"phone": phone(n)}, "hello", channels=["sms"]) for n in range(80)]
    found = all_in(tenant, ids, "sent", wait_s=30)
    moments = sorted(at(each["attempts"][-1]["started_at"]) for each in found)
    assert moments[-1] - moments[0] >= timedelta(seconds=(80 - 10) / 20 * 0.9)
    busiest = max(sum(begin <= other < begin + timedelta(seconds=1) for other in moments) for begin in moments)
    assert busiest <= 30 + 3, "one and a half times the limit, with a tolerance for clocks"


@pytest.mark.processes
def test_killed_workers_in_an_outage_lose_nothing(place):
    place.outages("sendgrid 50% 503")
    tenant = place.tenant("sendgrid", "postmark")
    ids = mailed(tenant, 15)
    place.outages("sendgrid down", "postmark down")
    ids += mailed(tenant, 15)
    workers = place.system.processes()["worker"]
    for process in workers:
        process.kill()
    psutil.wait_procs(workers, 10)
    ids += mailed(tenant, 10)
    all_in(tenant, ids, "sent", "retrying", "ambiguous", "sending")
    place.outages()
    found = all_in(tenant, ids, "sent", wait_s=40)
    taken = place.taken()
    for each in found:
        lost = sum(attempt["outcome"] == "ambiguous" for attempt in each["attempts"])
        assert 1 <= taken[each["id"]] <= 1 + lost
