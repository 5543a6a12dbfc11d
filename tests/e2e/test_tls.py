"""An installation with a certificate of its own, and one behind proxies, from outside."""

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl

import pytest

from clarion.app.cli.remote import CA_FILE_VARIABLE, CLIENT_FILE_VARIABLE, Remote
from clarion.domain.limits_processes import PUBLIC_REQUESTS_PER_PEER_MAX
from clarion.edge.safe_headers import SAFE
from clarion_lab.load.programs import CALL_TIMEOUT_S, System, running
from tests.certificates import Authority, ServerFiles, written
from tests.e2e.outside import HOST, until
from tests.e2e.test_cli import Shell

HEADERS = {name.decode(): value.decode() for name, value in SAFE} | {"strict-transport-security": "max-age=31536000"}


class TlsSystem(System):
    """`clarion up` with a certificate for `localhost`."""

    def __init__(self, folder, **settings):
        self.files = ServerFiles(folder)
        own = {
            "CLARION_API_TLS_CERTIFICATE_FILE": str(self.files.certificate),
            "CLARION_API_TLS_KEY_FILE": str(self.files.key),
            "CLARION_LOG_FORMAT": "json",
            "CLARION_WORKERS_COUNT": "1",
        }
        super().__init__(folder, own | settings)

    def client(self, secret="", timeout_s=CALL_TIMEOUT_S):
        return Remote(f"https://localhost:{self.port}", secret, timeout_s)

    def connection(self, **certificate):
        """Return a connection that is kept alive; `certfile` and `keyfile` are the client's."""
        context = ssl.create_default_context(cafile=str(self.files.ca))
        if certificate:
            context.load_cert_chain(**certificate)
        return http.client.HTTPSConnection("localhost", self.port, timeout=20, context=context)

    def lines(self):
        return [json.loads(line) for line in (self.folder / "clarion.log").read_text().splitlines() if line[:1] == "{"]

    def events(self):
        return [line["name"] for line in self.lines() if line["event"] == "security"]


@contextlib.contextmanager
def serving(tmp_path, monkeypatch, **settings):
    system = TlsSystem(tmp_path, **settings)
    monkeypatch.setenv(CA_FILE_VARIABLE, str(system.files.ca))
    with running(system):
        yield system


def answered(connection, method, path):
    connection.request(method, path)
    response = connection.getresponse()
    response.read()
    return response.status, {name.lower(): value for name, value in response.getheaders()}


def serial(connection):
    return connection.sock.getpeercert()["serialNumber"]


def test_every_answer_over_tls_has_the_headers_of_safety(tmp_path, monkeypatch):
    with serving(tmp_path, monkeypatch) as system:
        connection = system.connection()
        for method, path, status in (
            ("GET", "/healthz", 200), ("HEAD", "/healthz", 200), ("GET", "/v1/me/preferences", 401), ("GET", "/no", 404),
            ("OPTIONS", "/v1/users/ada", 405), ("PUT", "/healthz", 405), ("GET", "/docs", 200), ("GET", "/metrics", 200),
            ("POST", "/v1/receipts/acme/none", 401),
        ):  # fmt: skip
            found, headers = answered(connection, method, path)
            assert (found, {name: headers.get(name) for name in HEADERS}) == (status, HEADERS), path
        connection.close()
        connection.connect()
        connection.sock.sendall(b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n")
        response = http.client.HTTPResponse(connection.sock)
        response.begin()
        assert response.status == 400
        assert {name: response.getheader(name) for name in HEADERS} == HEADERS
        connection.close()
        ready = [line for line in system.lines() if line["event"] in ("starting", "api_ready")]
        assert [line.get("api") or line.get("docs") for line in ready] == [
            f"https://127.0.0.1:{system.port}", f"https://127.0.0.1:{system.port}/docs"
        ]  # fmt: skip


@pytest.mark.processes
def test_hanging_up_loads_a_new_certificate_and_ends_nothing(tmp_path, monkeypatch):
    with serving(tmp_path, monkeypatch) as system:
        before = {role: [one.pid for one in processes] for role, processes in system.processes().items()}
        kept = system.connection()
        assert answered(kept, "GET", "/healthz")[0] == 200
        old = serial(kept)
        system.files.renew()
        os.kill(system._process.pid, signal.SIGHUP)
        until(lambda: "certificate_changed" in system.events(), "the new certificate")
        assert answered(kept, "GET", "/healthz")[0] == 200
        fresh = system.connection()
        assert answered(fresh, "GET", "/healthz")[0] == 200
        assert serial(fresh) != old
        written(system.files.key, system.files.authority.issue()[1])
        os.kill(system._process.pid, signal.SIGHUP)
        until(lambda: "certificate_refused" in system.events(), "the refusal")
        assert answered(fresh, "GET", "/healthz")[0] == 200
        for connection in (kept, fresh):
            connection.close()
        assert {role: [one.pid for one in processes] for role, processes in system.processes().items()} == before


@pytest.mark.slow
def test_the_command_line_talks_to_an_api_with_certificates_of_private_cas(tmp_path, monkeypatch):
    clients = Authority("clients")
    ca = written(tmp_path / "clients.pem", clients.pem)
    certificate, key = clients.issue()
    own = str(written(tmp_path / "own.pem", certificate + key))
    monkeypatch.setenv(CLIENT_FILE_VARIABLE, own)
    with serving(tmp_path, monkeypatch, CLARION_API_TLS_CLIENT_CA_FILE=str(ca)) as system:
        operator = (tmp_path / "data" / "operator.key").read_text().strip()
        system.client(operator).put("/v1/tenants/acme", {})
        good = {
            "CLARION_URL": f"https://localhost:{system.port}", "CLARION_KEY": operator,
            CA_FILE_VARIABLE: str(system.files.ca), CLIENT_FILE_VARIABLE: own,
        }  # fmt: skip
        Shell(tmp_path, **good)("keys", "list", "acme")
        for name in (CA_FILE_VARIABLE, CLIENT_FILE_VARIABLE):
            left = {known: value for known, value in good.items() if known != name}
            assert name in Shell(tmp_path, **left)("keys", "list", "acme", code=2)
            assert name in Shell(tmp_path, **good | {name: str(tmp_path / "none.pem")})("keys", "list", "acme", code=2)
        until(lambda: "client_certificate_refused" in system.events(), "the refused client")


@pytest.mark.parametrize("command", ["up", "api"])
def test_a_bad_certificate_is_one_sentence_at_the_start(tmp_path, command):
    files = ServerFiles(tmp_path)
    env = {
        "CLARION_DATA_DIR": str(tmp_path / "data"), "CLARION_API_PORT": "0", "CLARION_WORKERS_COUNT": "1",
        "CLARION_API_TLS_CERTIFICATE_FILE": str(files.certificate), "CLARION_API_TLS_KEY_FILE": str(files.key),
    }  # fmt: skip
    files.key.chmod(0o644)
    said = Shell(tmp_path, **env)(command, code=2, output=False)
    assert f"Setting api.tls.key_file: {files.key} can be read by all users; run: chmod o= {files.key}." in said


def test_clients_behind_a_trusted_proxy_are_counted_by_their_own_addresses(tmp_path):
    with running(
        System(tmp_path, {"CLARION_API_TRUSTED_PROXIES": "127.0.0.1", "CLARION_WORKERS_COUNT": "1"})
    ) as system:
        head = (
            "POST /v1/unsubscribe/x HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\nx-forwarded-for: 10.9.8.7, {}\r\n\r\n"
        )
        with contextlib.ExitStack() as opened:

            def waits(address):
                connection = opened.enter_context(socket.create_connection((HOST, system.port), timeout=10))
                connection.sendall(head.format(address).encode())
                return connection

            for _ in range(PUBLIC_REQUESTS_PER_PEER_MAX):
                waits("198.51.100.7")
            until(lambda: b" 503 " in waits("198.51.100.7").recv(100), "the refusal of one client")
            other = waits("198.51.100.8")
            other.sendall(b"x" * 9)
            assert b" 503 " not in other.recv(100)
