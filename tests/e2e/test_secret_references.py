"""Secrets by reference from outside: read by the worker, rotated without a restart, refused where not permitted."""

import base64
import json
import time

import pytest
from standardwebhooks import Webhook

from clarion.domain.limits_processes import SECRET_REREAD_MS
from clarion_lab.load.programs import System
from clarion_lab.simulate.certificates import identity
from tests.e2e.conftest import QUICK, operator_of, watched
from tests.e2e.outside import HOST, Tenant, one, until, waits
from tests.e2e.receiver import receiving

HOOK = "whsec_" + base64.b64encode(b"c4nary-in-the-environment").decode()
FIRST, SECOND, LATE = "SG.c4nary-first-key", "SG.c4nary-second-key", "SG.c4nary-late-key"
SENDS = "/v3/mail/send"
TAKEN, REFUSED = (202, {"x-message-id": "taken"}), (401, {})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("secrets")


@pytest.fixture(scope="module")
def receiver(folder):
    files = identity(folder / "certificates", HOST)
    with receiving(files.certificate_file, files.key_file) as receiver:
        yield receiver


@pytest.fixture(scope="module")
def system(folder, receiver, tmp_path_factory):
    settings = {
        "CLARION_EGRESS_ALLOW_PRIVATE": "127.0.0.0/8",
        "CLARION_EGRESS_CA_FILE": str(folder / "certificates" / "ca.pem"),
        "CLARION_WORKERS_COUNT": "1",
        "CLARION_SECRETS_ALLOW": f"file:{folder}/{{tenant}}/*, acme env:ACME_*",
        "ACME_HOOK": HOOK,
    }
    with watched(System(tmp_path_factory.mktemp("referring"), QUICK | settings)) as system:
        yield system


@pytest.fixture(scope="module")
def home(system, folder):
    operator = operator_of(system)
    operator.put("/v1/tenants/acme", {"name": "acme"})
    home = Tenant(system.port, operator.post("/v1/tenants/acme/keys", {"name": "test", "scopes": ["*"]})["key"])
    (folder / "acme").mkdir()
    content = {"email": {"subject": "Hi", "text": "Hi"}, "webhook": {"data": {"order": "7"}}}
    home.put("/v1/templates/hi", {"channels": content})
    return home


def use_sendgrid(home, receiver, path):
    account = {
        "channel": "email", "vendor": "sendgrid", "credentials": {"api_key": {"from": f"file:{path}"}},
        "settings": {"base_url": receiver.url, "from_email": "shop@example.com"},
        "breaker": {"open_ms": 1_000, "open_max_ms": 1_000},
    }  # fmt: skip
    shown = home.put("/v1/providers/mail", account)
    home.changed()
    return shown


def mail(home):
    return one(home.send_and_wait({"email": "ada@example.com"}, "hi", channels=["email"])["deliveries"])


def keys(receiver):
    return [call.headers["authorization"].removeprefix("Bearer ") for call in receiver.at(SENDS)]


def test_a_rotated_file_is_used_by_the_message_that_its_old_key_would_have_cost(home, receiver, folder):
    path = folder / "acme" / "sendgrid"
    path.write_text(FIRST + "\n")
    shown = use_sendgrid(home, receiver, path)
    assert shown["credentials_from"] == {"api_key": f"file:{path}"}
    receiver.answers[SENDS] += [TAKEN, REFUSED, TAKEN, TAKEN]
    assert mail(home)["state"] == "sent"
    path.write_text(SECOND)
    time.sleep(SECRET_REREAD_MS / 1000)
    assert [mail(home)["state"], mail(home)["state"]] == ["sent", "sent"]
    assert keys(receiver) == [FIRST, FIRST, SECOND, SECOND]


def test_a_secret_of_the_environment_signs(home, receiver):
    home.put(
        "/v1/providers/hooks",
        {"channel": "webhook", "vendor": "webhook", "credentials": {"secret": {"from": "env:ACME_HOOK"}}},
    )
    home.changed()
    delivery = one(home.send_and_wait({"webhook": f"{receiver.url}/hook"}, "hi", channels=["webhook"])["deliveries"])
    assert delivery["state"] == "sent"
    call = one(receiver.at("/hook"))
    assert Webhook(HOOK).verify(call.body, call.headers)["data"] == {"order": "7"}


@pytest.mark.parametrize(
    "source",
    ["env:PATH", "env:CLARION_DATA_DIR", "file:/etc/shadow", "file:{folder}/other/key", "file:{data}/master.key"],
)
def test_a_tenant_reads_nothing_else_of_the_server(home, system, folder, receiver, source):
    source = source.format(folder=folder, data=system.folder / "data")
    account = {"channel": "chat", "vendor": "slack", "credentials": {"bot_token": {"from": source}}}
    calls = receiver.connections
    problem = home.refused(422, "PUT", "/v1/providers/spy", account | {"settings": {"base_url": receiver.url}})
    assert (problem["code"], problem["field"]) == ("secret_not_permitted", "credentials.bot_token")
    assert receiver.connections == calls


@pytest.mark.processes  # in one process, the value that was read when the account was checked is still fresh
def test_a_delivery_waits_for_a_missing_secret_and_is_sent_when_it_is_there(home, system, receiver, folder):
    path = folder / "acme" / "late"
    path.write_text(LATE)
    use_sendgrid(home, receiver, path)
    path.unlink()
    delivery = mail(home)
    assert waits(delivery)
    words = f"secret_missing: credentials.api_key: the secret file:{path} does not exist"
    assert delivery["detail"] == words
    health = home.get("/v1/providers/mail/health")
    assert words in health["changes"][0]["detail"]
    assert "secret_unavailable" in log_of(system)
    path.write_text(LATE)
    receiver.answers[SENDS].append(TAKEN)
    id_ = delivery["id"].replace("dlv_", "ntf_")[:36]
    until(lambda: home.seen(id_)["states"] == {"sent": 1}, "sent when its secret is there")
    assert keys(receiver)[-1] == LATE


def test_no_secret_is_in_a_file_an_answer_or_the_log(home, system):
    """Runs after the others: each of their secrets begins alike."""
    places = ["/v1/providers", "/v1/providers/mail/health", "/v1/providers/hooks/health", "/v1/notifications"]
    shown = json.dumps([home.get(place) for place in places])
    assert "env:ACME_HOOK" in shown
    needles = [b"c4nary", HOOK.encode(), HOOK.removeprefix("whsec_").encode()]
    found = [path for path in (system.folder / "data").rglob("*") if path.is_file()]
    assert len(found) > 5 or not (system.folder / "data" / "control.db").exists()
    for path in found:
        content = path.read_bytes()
        assert not any(needle in content for needle in needles), path
    assert not any(needle.decode() in shown + log_of(system) for needle in needles)


def log_of(system):
    return (system.folder / "clarion.log").read_text(errors="replace")
