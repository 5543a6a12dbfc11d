"""Real protocols to real servers on loopback: FCM over HTTP/2 and TLS, SMTP with STARTTLS and AUTH, signed webhooks."""

import email
import json
import shutil
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from email import policy

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from clarion_lab.demo.mailbox import USER, Mailbox
from clarion_lab.load.programs import Simulator, System
from clarion_lab.simulate.certificates import identity
from tests.e2e.conftest import QUICK, operator_of, watched
from tests.e2e.outside import HOST, new_tenant, one, until, waits
from tests.e2e.receiver import receiving

FAULTS = {"throttle": 0.2, "error-500": 0.15, "accept-then-drop": 0.15, "reset": 0.1, "invalid-token": 0.1}
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MAIL = {"subject": "Grüße, {{ name }}", "text": "Hello {{ name }}\n.\nline", "html": "<p>Hello <b>{{ name }}</b></p>"}
CONTENT = {
    "push": {"title": "Hello {{ name }}", "body": "b", "data": {"n": "{{ n }}"}, "collapse_key": "c"},
    "email": MAIL,
    "webhook": {"type": "order.shipped", "data": {"order": "{{ n }}", "to": ["{{ name }}"]}},
}
DATA = {"name": "Ada", "n": 7}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with one test identity that every server here shares and the installation trusts."""
    folder = tmp_path_factory.mktemp("wired")
    identity(folder / "certificates", HOST)
    return folder


@pytest.fixture(scope="module")
def mailbox(folder):
    with Mailbox(folder) as mailbox:
        yield mailbox


@pytest.fixture(scope="module")
def receiver(folder):
    files = identity(folder / "certificates", HOST)
    with receiving(files.certificate_file, files.key_file) as receiver:
        yield receiver


def simulator(folder, name, faults):
    shutil.copytree(folder / "certificates", folder / name)
    options = [text for fault, share in faults.items() for text in (f"--{fault}", str(share))]
    return Simulator(folder / name, "--seed", "7", *options)


@pytest.fixture(scope="module")
def fcm(folder):
    started = simulator(folder, "fcm", {})
    yield started.ready
    started.stop()


@pytest.fixture(scope="module")
def faulty_fcm(folder):
    started = simulator(folder, "moody", FAULTS)
    yield started.ready
    started.stop()


@pytest.fixture(scope="module")
def home(folder, tmp_path_factory, mailbox):
    """Yield a tenant of an installation that may call loopback and trusts the servers here; it stops before they do."""
    trusting = {
        "CLARION_EGRESS_ALLOW_PRIVATE": "127.0.0.0/8",
        "CLARION_EGRESS_CA_FILE": str(folder / "certificates" / "ca.pem"),
        "CLARION_WORKERS_COUNT": "1",
    }
    with watched(System(tmp_path_factory.mktemp("trusting"), QUICK | trusting)) as system:
        tenant = new_tenant(operator_of(system))
        tenant.put("/v1/templates/all", {"channels": CONTENT})
        yield tenant


def receipts_of(ready):
    return [json.loads(line) for line in ready.receipts_file.read_text().splitlines()]


def use_fcm(home, ready, breaker=None, **changes):
    account = json.loads(ready.service_account_file.read_text())
    credentials = {name: account[name] for name in ("client_email", "private_key", "private_key_id")}
    settings = {"project_id": account["project_id"], "base_url": ready.base_url, "token_url": ready.token_url}
    body = {"channel": "push", "vendor": "fcm", "credentials": credentials | changes, "settings": settings}
    body["breaker"] = breaker or {}
    view = home.put("/v1/providers/fcm", body)
    assert account["private_key"] not in json.dumps(view)
    assert set(view["credentials_set"]) == set(credentials)
    home.changed()


def pushes(home, name, number):
    """Send this number of pushes in one batch; return their single deliveries at rest."""
    items = [
        {"to": {"push": f"{name}-{n}"}, "template": "all", "data": DATA, "channels": ["push"]} for n in range(number)
    ]
    results = home.post("/v1/notifications/batch", {"notifications": items})["results"]
    return [one(home.ended(result["id"], 40)["deliveries"]) for result in results]


def test_fcm_gets_every_push_once_and_its_name_is_kept(home, fcm):
    use_fcm(home, fcm)
    deliveries = pushes(home, "calm", 100)
    assert Counter(delivery["state"] for delivery in deliveries) == {"sent": 100}
    for delivery in deliveries:
        attempt = one(delivery["attempts"])
        assert (attempt["vendor"], attempt["outcome"]) == ("fcm", "accepted")
        assert attempt["vendor_message_id"] == f"projects/simulator/messages/{delivery['id']}"
    receipts = receipts_of(fcm)
    assert sorted(receipt["key"] for receipt in receipts) == sorted(delivery["id"] for delivery in deliveries)
    assert all(receipt["taken"] for receipt in receipts)


def test_a_faulty_fcm_is_reported_truthfully(home, faulty_fcm):
    use_fcm(home, faulty_fcm, {"calls_min": 1_000_000})  # or its breaker would open after a while
    deliveries = pushes(home, "moody", 60)  # few enough for the retry budget
    arrived = defaultdict(list)
    for receipt in receipts_of(faulty_fcm):
        arrived[receipt["key"]].append(receipt["answer"])
    means = {
        "accepted": "accepted", "throttle": "throttled", "error_500": "transient", "accept_then_drop": "ambiguous",
        "reset": "ambiguous", "invalid_token": "invalid_recipient",
    }  # fmt: skip
    for delivery in deliveries:
        answers = arrived.pop(delivery["id"], [])
        report = [attempt["outcome"] for attempt in delivery["attempts"]]
        assert agree(report, [means[answer] for answer in answers])
        ends = {"accepted": "sent", "invalid_recipient": "failed"}
        assert delivery["state"] == ends.get(report[-1], "dead")
        if delivery["state"] == "dead":
            assert (len(report), delivery["reason"]) == (3, "attempts_exhausted")
    assert not arrived
    found = Counter(attempt["outcome"] for delivery in deliveries for attempt in delivery["attempts"])
    assert len(found) == 5, found
    refused = {delivery["address"] for delivery in deliveries if delivery["state"] == "failed"}
    until(lambda: {s["address"] for s in home.pages("/v1/suppressions", channel="push")} == refused, "suppressions")
    words = [attempt["detail"] for delivery in deliveries for attempt in delivery["attempts"]]
    assert any("QUOTA_EXCEEDED" in text for text in words)
    assert any("UNREGISTERED" in text for text in words)


def agree(report, answers):
    """Return whether the reported outcomes match the responses. A cut connection ends other calls, too: they may have
    arrived or not, and their responses were lost."""
    if not report:
        return not answers
    heard = bool(answers) and agree(report[1:], answers[1:])
    if report[0] == "ambiguous":
        return heard or agree(report[1:], answers)
    return heard and report[0] == answers[0]


def test_an_account_that_fcm_does_not_know_is_misconfigured_in_its_own_words(home, fcm):
    use_fcm(home, fcm, client_email="somebody@else.example")
    delivery = one(pushes(home, "stranger", 1))
    assert waits(delivery)
    assert "invalid_grant" in delivery["detail"]
    use_fcm(home, fcm)
    until(
        lambda: home.seen(delivery["id"].replace("dlv_", "ntf_")[:36])["states"] == {"sent": 1},
        "sent when it is mended",
    )


def use_smtp(home, mailbox, **changes):
    settings = {"host": HOST, "port": mailbox.port, "from_email": "shop@example.com", "from_name": "The Shöp"}
    settings |= changes.pop("settings", {})
    credentials = {"username": USER, "password": mailbox.password} | changes
    home.put(
        "/v1/providers/smtp", {"channel": "email", "vendor": "smtp", "settings": settings, "credentials": credentials}
    )
    home.changed()


def mailed(home, name="Ada", to="ada@example.com", **more):
    report = home.send_and_wait({"email": to}, "all", {"name": name, "n": 1}, channels=["email"], **more)
    return one(report["deliveries"])


def test_a_mail_arrives_whole_over_starttls_and_auth(home, mailbox, folder):
    use_smtp(home, mailbox, settings={"reply_to": "help@example.com"})
    delivery = mailed(home, "Ada <Löw> \U0001f600")
    assert delivery["state"] == "sent"
    assert mailbox.received[delivery["id"]] == "ada@example.com"
    raw = (folder / "mail" / f"{delivery['id']}.eml").read_bytes()
    mail = email.message_from_bytes(raw, policy=policy.default)
    assert mail["subject"] == "Grüße, Ada <Löw> \U0001f600"
    assert (mail["to"], mail["reply-to"]) == ("ada@example.com", "help@example.com")
    sender = one(mail["from"].addresses)
    assert (sender.addr_spec, sender.display_name) == ("shop@example.com", "The Shöp")
    assert mail["message-id"] == f"<{delivery['id']}@example.com>"
    assert one(delivery["attempts"])["vendor_message_id"] == f"{delivery['id']}@example.com"
    assert mail.get_body(("plain",)).get_content().splitlines() == ["Hello Ada <Löw> \U0001f600", ".", "line"]
    assert mail.get_body(("html",)).get_content().strip() == "<p>Hello <b>Ada &lt;Löw&gt; \U0001f600</b></p>"
    assert not mail.defects


@pytest.mark.parametrize("name", ["Eve\r\nBcc: all@example.com", "Eve\nX: y", "Eve\r\n\r\n<script>"])
def test_data_puts_no_line_into_a_mail(home, mailbox, name):
    use_smtp(home, mailbox)
    before = len(mailbox.received)
    delivery = mailed(home, name)
    assert (delivery["state"], delivery["reason"]) == ("failed", "render_failed")
    assert "line break" in delivery["detail"]
    assert len(mailbox.received) == before


def test_a_wrong_password_is_misconfigured_and_never_shown(home, mailbox):
    use_smtp(home, mailbox, password="wrong-password-here")
    delivery = mailed(home)
    assert waits(delivery)
    assert delivery["detail"].startswith("auth: 535")
    assert "wrong-password-here" not in json.dumps([home.seen(delivery["id"].replace("dlv_", "ntf_")[:36])])


def test_a_mail_server_that_is_not_there_is_tried_again_and_then_given_up(home, mailbox):
    use_smtp(home, mailbox, settings={"port": 1_025})
    delivery = mailed(home)
    assert (delivery["state"], delivery["reason"]) == ("dead", "attempts_exhausted")
    assert [attempt["outcome"] for attempt in delivery["attempts"]] == ["transient"] * 3


def test_a_stored_token_is_not_sent_to_a_new_address(home, receiver, folder):
    """Neither `?verify=true` nor a message carries it there; a connection would be enough to fail."""
    files = identity(folder / "certificates", HOST)
    account = {"channel": "chat", "vendor": "slack", "settings": {"base_url": receiver.url}}
    home.put("/v1/providers/bound?verify=true", account | {"credentials": {"bot_token": "xoxb-bound"}})
    home.changed()
    with receiving(files.certificate_file, files.key_file) as other:
        moved = account | {"settings": {"base_url": other.url}}
        for path in ("/v1/providers/bound?verify=true", "/v1/providers/bound"):
            problem = home.refused(422, "PUT", path, moved)
            assert (problem["code"], problem["field"]) == ("credentials_required", "settings.base_url")
        home.changed()
        home.put("/v1/templates/bound", {"channels": {"chat": {"text": "Hello"}}})
        home.send_and_wait({"chat": "C1"}, "bound", {}, channels=["chat"])
        home.put("/v1/providers/bound?verify=true", account)
        assert other.connections == 0
        home.put("/v1/providers/bound?verify=true", moved | {"credentials": {"bot_token": "xoxb-other"}})
        assert {call.headers["authorization"] for call in other.calls} == {"Bearer xoxb-other"}
    tokens = [call.headers["authorization"] for call in receiver.calls if call.path.startswith("/api/")]
    assert tokens.count("Bearer xoxb-bound") == len(tokens) >= 3
    home.delete("/v1/providers/bound")


def use_webhook(home, **credentials):
    body = {"channel": "webhook", "vendor": "webhook", "credentials": {"secret": SECRET} | credentials}
    home.put("/v1/providers/hooks", body)
    home.changed()


def hooked(home, url):
    return one(home.send_and_wait({"webhook": url}, "all", DATA, channels=["webhook"])["deliveries"])


def test_a_webhook_is_signed_as_the_standard_says(home, receiver):
    previous = "whsec_" + "B" * 40
    use_webhook(home, previous_secret=previous)
    delivery = hooked(home, f"{receiver.url}/orders?x=1")
    assert delivery["state"] == "sent"
    call = one(receiver.at("/orders?x=1"))
    for secret in (SECRET, previous):
        content = Webhook(secret).verify(call.body, call.headers)
        assert content["type"] == "order.shipped"
        assert content["data"] == {"order": "7", "to": ["Ada"]}
    assert call.headers["webhook-id"] == delivery["id"]
    assert call.headers["content-type"] == "application/json"
    sent = datetime.fromisoformat(content["timestamp"])
    assert abs(sent - datetime.fromisoformat(delivery["planned_at"])) < timedelta(seconds=5)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(call.body + b" ", call.headers)


def test_a_webhook_is_repeated_with_the_same_id_and_body_until_it_is_taken(home, receiver):
    use_webhook(home)
    receiver.answers["/slow"] = [(503, {"retry-after": "1"}), (500, {}), (200, {})]
    delivery = hooked(home, f"{receiver.url}/slow")
    assert [attempt["outcome"] for attempt in delivery["attempts"]] == ["throttled", "transient", "accepted"]
    assert "503" in delivery["attempts"][0]["detail"]
    calls = receiver.at("/slow")
    assert len({(call.headers["webhook-id"], call.body) for call in calls}) == 1
    assert int(calls[1].headers["webhook-timestamp"]) > int(calls[0].headers["webhook-timestamp"])
    for call in calls:
        Webhook(SECRET).verify(call.body, call.headers)


def test_a_webhook_that_is_gone_is_suppressed_and_a_redirect_is_not_followed(home, receiver):
    use_webhook(home)
    receiver.answers["/gone"] = [(410, {})]
    receiver.answers["/moved"] = [(302, {"location": f"{receiver.url}/elsewhere"})] * 3
    assert hooked(home, f"{receiver.url}/gone")["reason"] == "invalid_recipient"
    assert hooked(home, f"{receiver.url}/gone")["reason"] == "suppressed"
    assert len(receiver.at("/gone")) == 1
    delivery = hooked(home, f"{receiver.url}/moved")
    assert (delivery["state"], delivery["reason"]) == ("dead", "attempts_exhausted")
    assert "redirect" in delivery["detail"]
    assert receiver.at("/elsewhere") == []


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "169.254.169.254", "10.0.0.1", "[::ffff:127.0.0.1]"]
)
def test_nothing_private_is_called_without_leave(tenant, receiver, host):
    """On an installation with default settings."""
    tenant.put("/v1/templates/all", {"channels": CONTENT})
    use_webhook(tenant)
    connections = receiver.connections
    port = receiver.url.rpartition(":")[2]
    delivery = hooked(tenant, f"https://{host}:{port}/orders")
    assert (delivery["state"], delivery["reason"]) == ("failed", "egress_blocked")
    assert one(delivery["attempts"])["outcome"] == "refused"
    assert delivery["detail"]
    assert receiver.connections == connections


def test_plain_http_and_private_providers_are_blocked_too(home, tenant, fcm, mailbox, receiver):
    use_webhook(home)
    delivery = hooked(home, receiver.url.replace("https://", "http://"))
    assert (delivery["reason"], "https" in delivery["detail"]) == ("egress_blocked", True)
    tenant.put("/v1/templates/all", {"channels": CONTENT})
    receipts = len(receipts_of(fcm))
    use_fcm(tenant, fcm)
    delivery = one(pushes(tenant, "blocked", 1))
    assert (delivery["state"], delivery["reason"]) == ("failed", "egress_blocked")
    assert len(receipts_of(fcm)) == receipts
    use_smtp(tenant, mailbox)
    delivery = mailed(tenant)
    assert (delivery["state"], delivery["reason"]) == ("failed", "egress_blocked")
