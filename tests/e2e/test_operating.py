"""The operator's endpoints: health, metrics, tenants, counters, and the description of the API."""

import os
import re
import subprocess
from datetime import UTC, datetime

import pytest

from clarion_lab.machine.engines import chromium, is_required
from tests.e2e.outside import Api, until
from tests.e2e.seed import NOTE, phone

CHROMIUM = chromium()
BROWSER_TIMEOUT_S = 60


def test_it_says_that_it_lives_and_is_ready(system):
    anyone = Api(system.port)
    assert anyone.get("/healthz") == {"status": "ok"}
    report = anyone.get("/readyz")
    assert report["ready"] is True
    assert {check["name"]: check["ok"] for check in report["checks"]} == {"disk": True, "backlog": True}


def samples(api):
    """Return Prometheus samples as a map from the line's name with labels to its value."""
    text = api.call("GET", "/metrics").body.decode()
    lines = [line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def test_metrics_count_what_happens(tenant):
    tenant.seed_data({"note": NOTE}, [])
    tenant.sandbox("sms", by_address={phone(2): "refused"})
    before = samples(tenant)
    for number in (1, 2):
        tenant.send_and_wait({"phone": phone(number)}, "note", {"text": "t"}, channels=["sms"])
    tenant.call("POST", "/v1/notifications", b"{")

    def grown():
        after = samples(tenant)
        return {name: value - before.get(name, 0) for name, value in after.items() if value != before.get(name, 0)}

    expected = {
        'clarion_accepted_total{lane="normal"}': 2,
        'clarion_planned_total{channel="sms",decision="send"}': 2,
        'clarion_attempts_total{channel="sms",outcome="accepted"}': 1,
        'clarion_attempts_total{channel="sms",outcome="refused"}': 1,
        'clarion_refused_total{code="malformed_body"}': 1,
    }
    until(lambda: expected.items() <= grown().items(), f"{expected} in the metrics", 8)
    assert tenant.name not in tenant.call("GET", "/metrics").body.decode()


def test_counters_show_a_tenants_events_per_minute(tenant):
    tenant.seed_data({"note": NOTE}, [])
    tenant.sandbox("sms", by_address={phone(2): "refused"})
    for number in (1, 1, 2):
        tenant.send_and_wait({"phone": phone(number)}, "note", {"text": "t"}, channels=["sms"])
    rows = tenant.get("/v1/counters")["data"]
    found = {}
    for row in rows:
        key = (row["channel"], row["event"], row["reason"])
        found[key] = found.get(key, 0) + row["count"]
    assert found == {("sms", "planned", None): 3, ("sms", "accepted", None): 2, ("sms", "refused", "refused"): 1}
    minutes = {datetime.fromisoformat(row["minute"]) for row in rows}
    assert all(minute.second == 0 and minute <= datetime.now(UTC) for minute in minutes)
    assert tenant.get("/v1/counters", to="2020-01-01T00:00:00Z", **{"from": "2019-12-31T00:00:00Z"})["data"] == []


def test_tenants_are_made_renamed_and_listed(operator):
    made = operator.put("/v1/tenants/acme-1", {"name": "Acme"})
    assert (made["id"], made["name"], made["defaults"]) == ("acme-1", "Acme", {})
    assert operator.put("/v1/tenants/acme-1", {"name": "Acme Inc."})["created_at"] == made["created_at"]
    listed = {item["id"]: item["name"] for item in operator.pages("/v1/tenants", limit=2)}
    assert listed["acme-1"] == operator.get("/v1/tenants/acme-1")["name"] == "Acme Inc."
    key = operator.post("/v1/tenants/acme-1/keys", {"name": "ci", "scopes": ["users:read", "users:read"]})
    assert key["scopes"] == ["users:read"]
    shown = [item for item in operator.pages("/v1/tenants/acme-1/keys") if item["id"] == key["id"]]
    assert shown == [{name: value for name, value in key.items() if name != "key"}]


def test_an_operators_key_is_of_no_use_inside_a_tenant(operator):
    for method, path in (("GET", "/v1/users"), ("POST", "/v1/notifications"), ("GET", "/v1/inbox")):
        operator.refused(403, method, path, {} if method == "POST" else None)


def test_the_description_is_whole(system):
    document = Api(system.port).get("/openapi.json")
    assert document["openapi"] == "3.1.0"
    operations = [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    assert len({operation["operationId"] for _, _, operation in operations}) == len(operations) > 60
    for method, path, operation in operations:
        named = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
        assert named == set(re.findall(r"\{(\w+)\}", path)), path
        assert operation["summary"]
        assert "default" in operation["responses"]
        if method in ("put", "post"):
            assert "requestBody" in operation or path.rpartition("/")[2] in VERBS, path
    text = str(document)
    for reference in set(re.findall(r"#/components/schemas/([\w.]+)", text)):
        assert reference in document["components"]["schemas"]


VERBS = {
    "cancel",
    "pause",
    "resume",
    "seen",
    "read",
    "unread",
    "archive",
    "unarchive",
    "read-all",
    "reset",
    "withdraw",
    "tickets",
}


@pytest.mark.skipif(CHROMIUM is None and not is_required(), reason="no chromium is installed")
def test_the_docs_page_opens_without_a_complaint(system, tmp_path):
    """Headless and with no network but loopback; errors of the page are in the browser's log."""
    picture = tmp_path / "docs.png"
    command = [
        CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
        "--disable-background-networking", "--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}",
        "--window-size=1200,1600", f"--screenshot={picture}", f"http://127.0.0.1:{system.port}/docs",
    ]  # fmt: skip
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=BROWSER_TIMEOUT_S, env=env)
    assert done.returncode == 0, done.stderr
    assert "CONSOLE" not in done.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")
    dumped = [*command[:-2], "--dump-dom", command[-1]]
    page = subprocess.run(dumped, capture_output=True, text=True, timeout=BROWSER_TIMEOUT_S, env=env).stdout
    paths = Api(system.port).get("/openapi.json")["paths"]
    assert all(f"<code>{path}</code>" in page for path in paths)
