"""Connections of an installation, seen from outside: too many of them, clients that are refused while they send, offers to
upgrade, and a stop that no client delays."""

import contextlib
import http.client
import resource
import shutil
import socket
import subprocess

import pytest

from clarion.domain.limits_processes import CONNECTIONS_PER_PEER_MAX
from clarion_lab.load.programs import System, running
from clarion_lab.machine.ports import free_port
from tests.e2e.conftest import operator_of
from tests.e2e.outside import HOST, new_tenant, until
from tests.e2e.test_hostile_clients import HEALTH, OTHER_PEER, status_of

IDLE = 3_000
JAVA = """
import java.net.URI;
import java.net.http.*;

public class Post {
    public static void main(String[] words) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        for (int n = 0; n < 3; n++) {
            HttpRequest request = HttpRequest.newBuilder(URI.create(words[0]))
                .header("Authorization", "Bearer " + words[1]).header("Content-Type", "application/json")
                .method("PUT", HttpRequest.BodyPublishers.ofString("{}")).build();
            System.out.println(client.send(request, HttpResponse.BodyHandlers.ofString()).statusCode());
        }
    }
}
"""


@pytest.fixture
def own(tmp_path):
    """Return an installation of this test's own, with a listener for health, and the port of that."""
    port = free_port()
    system = System(tmp_path, {"CLARION_API_HEALTH_PORT": str(port), "CLARION_WORKERS_COUNT": "1"})
    with running(system):
        yield system, port


def test_idle_connections_of_one_address_keep_no_one_out(own):
    system, health_port = own
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(IDLE + 1_000, resource.getrlimit(resource.RLIMIT_NOFILE)[0]),) * 2)
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(socket.create_connection((HOST, system.port))) for _ in range(IDLE)]
        assert until(lambda: closed(idle) >= IDLE - CONNECTIONS_PER_PEER_MAX, "idle connections are closed")
        assert [status_of(system.port, path, OTHER_PEER) for path in HEALTH] == [200] * 3
        for peer in (HOST, OTHER_PEER):
            assert [status_of(health_port, path, peer) for path in HEALTH] == [200] * 3
        # New connections of the same address have their turn after those that came before.
        assert until(lambda: answers(system.port), "the same address is served")
        assert [status_of(system.port, path) for path in HEALTH] == [200] * 3
        assert status_of(health_port, "/docs") == 404
        new_tenant(operator_of(system)).put("/v1/topics/fans", {})


def answers(port):
    """Return whether a new connection gets a response."""
    try:
        return status_of(port, "/healthz") == 200
    except OSError:
        return False


def closed(connections):
    """Return how many connections the server has closed."""
    number = 0
    for one in connections:
        one.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            number += not one.recv(1)
    return number


def test_a_stop_answers_clients_that_stall_and_kills_nothing(own):
    system, _ = own
    tenant = new_tenant(operator_of(system))
    head = (
        f"PUT /v1/topics/fans HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {tenant.key}\r\ncontent-length: 9\r\n\r\n{{"
    )
    with contextlib.ExitStack() as stack:
        stalled, idle, begun = (stack.enter_context(socket.create_connection((HOST, system.port))) for _ in range(3))
        stalled.sendall(head.encode())
        begun.sendall(b"GET /healthz HTTP/1.1\r\nho")
        idle.sendall(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
        assert idle.recv(10_000).startswith(b"HTTP/1.1 200 ")
        system.stop()
        answer = b""
        while piece := stalled.recv(10_000):
            answer += piece
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert (idle.recv(1), begun.recv(1)) == (b"", b"")
    assert "did not finish in time" not in (system.folder / "clarion.log").read_text()


def test_a_client_that_is_refused_while_it_sends_gets_the_response(tenant):
    for path, key, status in (("/v1/users/a", "wrong", 401), ("/v1/users/a", tenant.key, 413)):
        for chunked in (False, True):
            connection = http.client.HTTPConnection(HOST, tenant.port, timeout=20)
            body = iter([bytes(1_000_000)] * 30) if chunked else bytes(30_000_000)
            headers = {"authorization": f"Bearer {key}", "connection": "close"}
            connection.request("PUT", path, body, headers, encode_chunked=chunked)
            assert connection.getresponse().status == status
            connection.close()


def test_a_client_that_closes_its_sending_side_gets_its_response(tenant):
    body = b'{"to":{"user_id":"nobody"},"template":"none"}'
    with socket.create_connection((HOST, tenant.port), timeout=10) as one:
        head = f"POST /v1/notifications HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {tenant.key}\r\ncontent-length: {len(body)}"
        one.sendall(head.encode() + b"\r\n\r\n" + body)
        one.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := one.recv(10_000):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 4")
    assert answer.endswith(b"}")


@pytest.mark.skipif(shutil.which("java") is None, reason="needs Java")
def test_javas_client_which_offers_to_upgrade_is_served(tenant, tmp_path):
    (tmp_path / "Post.java").write_text(JAVA)
    words = ["java", tmp_path / "Post.java", f"http://{HOST}:{tenant.port}/v1/topics/fans", tenant.key]
    found = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert found.stdout.split() == ["200"] * 3, found
