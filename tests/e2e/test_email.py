"""E-mail end to end: files by content and by URL through a mail server, and one-click unsubscription."""

import base64
import contextlib
import email
import threading
from email import policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from clarion_lab.demo.mailbox import USER, Mailbox
from clarion_lab.load.programs import System
from tests.e2e.conftest import QUICK, operator_of, watched
from tests.e2e.outside import HOST, Api, new_tenant, one, until

MAIL = {"subject": "Your invoice", "text": "Here it is.", "html": "<p>Here it is. <img src='cid:logo'></p>"}
LOGO = {"filename": "logo.png", "content": base64.b64encode(b"\x89PNG\r\n").decode(), "inline_cid": "logo"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
ONE_CLICK = b"List-Unsubscribe=One-Click"


class Files(BaseHTTPRequestHandler):
    """Responds with the status at the start of the path; `busy` gets a 503 the first time."""

    asked: ClassVar[list[str]] = []

    def do_GET(self):
        self.asked.append(self.path)
        name = self.path[1:]
        if name == "busy":
            status = 503 if self.asked.count(self.path) == 1 else 200
        else:
            status = int(name) if name.isdecimal() else 200
        body = bytes(16 * 1024 * 1024) if name == "huge" else b"%PDF-1.7 " * 100_000
        self.send_response(status)
        self.send_header("content-type", "application/pdf")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def files():
    server = ThreadingHTTPServer((HOST, 0), Files)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://{HOST}:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("mailed")


@pytest.fixture(scope="module")
def mailbox(folder):
    with Mailbox(folder) as mailbox:
        yield mailbox


@pytest.fixture(scope="module")
def home(tmp_path_factory, mailbox):
    """Return a tenant of an installation whose public address is https."""
    trusting = {
        "CLARION_API_PUBLIC_URL": "https://notify.example.com",
        "CLARION_EGRESS_ALLOW_PRIVATE": "127.0.0.0/8",
        "CLARION_EGRESS_ALLOW_HTTP": "true",
        "CLARION_EGRESS_CA_FILE": str(mailbox.ca_file),
        "CLARION_WORKERS_COUNT": "1",
    }
    with watched(System(tmp_path_factory.mktemp("reached"), QUICK | trusting)) as system:
        tenant = new_tenant(operator_of(system))
        settings = {"host": HOST, "port": mailbox.port, "from_email": "shop@example.com"}
        credentials = {"username": USER, "password": mailbox.password}
        tenant.put(
            "/v1/providers/smtp",
            {"channel": "email", "vendor": "smtp", "settings": settings, "credentials": credentials},
        )
        for category, rules in {"news": {}, "security": {"critical": True}}.items():
            tenant.put(f"/v1/categories/{category}", rules)
            tenant.put(f"/v1/templates/{category}", {"channels": {"email": MAIL}, "category": category})
        tenant.put("/v1/templates/plain", {"channels": {"email": MAIL}})
        tenant.user("ada", email="ada@example.com")
        tenant.changed()
        yield tenant


def sent(home, folder, to, template="news", **more):
    delivery = one(home.send_and_wait(to, template, **more)["deliveries"])
    assert delivery["state"] == "sent", delivery
    raw = (folder / "mail" / f"{delivery['id']}.eml").read_bytes()
    return email.message_from_bytes(raw, policy=policy.default)


def click(home, mail, method="POST", body=ONE_CLICK, headers=FORM):
    link = mail["List-Unsubscribe"].strip("<>")
    return Api(home.port).call(method, link.removeprefix("https://notify.example.com"), body, headers)


def test_files_by_content_and_by_url_arrive(home, folder, files):
    by_url = {"filename": "Rechnung März.pdf", "url": f"{files}/invoice"}
    mail = sent(home, folder, "ada", attachments=[LOGO, by_url])
    (invoice,) = mail.iter_attachments()
    assert (invoice.get_filename(), invoice.get_content_type()) == ("Rechnung März.pdf", "application/pdf")
    assert invoice.get_content() == b"%PDF-1.7 " * 100_000
    assert [part.get_content() for part in mail.walk() if part["Content-ID"] == "<logo>"] == [b"\x89PNG\r\n"]


@pytest.mark.parametrize(("path", "why"), [("404", "HTTP 404"), ("302", "HTTP 302"), ("huge", "too large")])
def test_a_file_that_cannot_be_fetched_is_reported(home, files, path, why):
    result = home.send_and_wait("ada", "news", attachments=[{"filename": "a.pdf", "url": f"{files}/{path}"}])
    delivery = one(result["deliveries"])
    assert (delivery["state"], delivery["reason"]) == ("failed", "refused")
    assert f"attachment a.pdf: {'the files' if path == 'huge' else 'HTTP'}" in delivery["detail"]
    assert why in delivery["detail"]


def test_a_file_on_the_network_of_the_installation_is_not_fetched(home):
    result = home.send_and_wait(
        "ada", "news", attachments=[{"filename": "a.pdf", "url": "http://169.254.169.254/latest/meta-data"}]
    )
    delivery = one(result["deliveries"])
    assert (delivery["state"], delivery["reason"]) == ("failed", "refused")
    assert "link-local" in delivery["detail"]


def test_a_file_that_cannot_be_fetched_now_is_retried(home, files):
    id_ = home.send("ada", "news", attachments=[{"filename": "a.pdf", "url": f"{files}/busy"}])

    def waiting():
        deliveries = home.seen(id_).get("deliveries") or [{"attempts": []}]
        return [attempt for attempt in deliveries[0]["attempts"] if attempt["outcome"]]

    attempt = one(until(waiting, "an attempt that ended"))
    assert (attempt["outcome"], attempt["event"]) == ("throttled", "retry")
    assert "attachment a.pdf: HTTP 503" in attempt["detail"]
    assert attempt["retry_at"]


@pytest.mark.parametrize(
    ("file", "field"),
    [
        ({"filename": "a.exe", "content": ""}, "attachments[0].filename"),
        ({"filename": "a.pdf"}, "attachments[0]"),
        ({"filename": "a.pdf", "content": "%"}, "attachments[0].content"),
    ],
)
def test_an_invalid_file_is_refused_at_intake(home, file, field):
    body = {"to": "ada", "template": "news", "attachments": [file]}
    assert home.refused(422, "POST", "/v1/notifications", body)["field"] == field


def test_one_click_ends_mail_of_that_category(home, folder):
    home.user("eve", email="eve@example.com")
    mail = sent(home, folder, "eve")
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    page = click(home, mail, "GET", None)
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert home.get("/v1/users/eve/preferences") == {}
    done = click(home, mail)
    assert (done.status, "set-cookie" in done.headers, "location" in done.headers) == (200, False, False)
    assert click(home, mail).status == 200
    assert home.get("/v1/users/eve/preferences") == {"news": {"email": False}}
    consent = one(home.pages("/v1/users/eve/consents"))
    assert (consent["allowed"], consent["source"]) == (False, "unsubscribe")
    delivery = one(home.send_and_wait("eve", "news")["deliveries"])
    assert (delivery["state"], delivery["reason"]) == ("skipped", "opted_out")
    assert sent(home, folder, "eve", "plain")["List-Unsubscribe"] is None
    assert sent(home, folder, "eve", "security")["List-Unsubscribe"] is None


def test_one_click_of_somebody_who_is_no_user_suppresses_the_address(home, folder):
    mail = sent(home, folder, {"email": "guest@example.com"})
    boundary = {"Content-Type": "multipart/form-data; boundary=x"}
    body = b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n'
    assert click(home, mail, body=body, headers=boundary).status == 200
    entry = one(home.pages("/v1/suppressions", address="guest@example.com"))
    assert (entry["channel"], entry["reason"]) == ("email", "unsubscribed")


def test_a_link_is_only_good_as_it_is(home, folder):
    link = sent(home, folder, "ada")["List-Unsubscribe"].strip("<>").removeprefix("https://notify.example.com")
    outside = Api(home.port)
    assert outside.call("POST", link[:-1], ONE_CLICK, FORM).status == 404
    assert outside.call("POST", link, b"", FORM).status == 400
    assert outside.call("POST", link, b"x" * 10_000, FORM).status == 413
    assert home.get("/v1/users/ada/preferences") == {}
