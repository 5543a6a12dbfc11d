"""An installation under attack by clients without a credential: health is answered, tenants are served, and no attack
leaves an error in the log."""

import contextlib
import http.client
import re
import socket
import threading
import time

import pytest

from clarion.domain.limits_processes import PUBLIC_BODIES_PER_PEER_BYTES_MAX, PUBLIC_REQUESTS_PER_PEER_MAX
from clarion_lab.edge.wire import DOCS, UNSUBSCRIBE, receipt
from tests.e2e.outside import HOST, new_tenant, until

pytestmark = pytest.mark.measures

OTHER_PEER = "127.0.0.9"
LIMITED_NEVER = 'clarion_security_events_total{event="request_limit_reached"} 0'
HEALTH = ("/healthz", "/readyz", "/metrics")


def status_of(port, path, peer=HOST, method="GET", body=None):
    """Return the status of a call without a credential from an address of this machine."""
    connection = http.client.HTTPConnection(HOST, port, timeout=10, source_address=(peer, 0))
    try:
        connection.request(method, path, body)
        return connection.getresponse().status
    finally:
        connection.close()


def limited(port):
    """Return how often a limit on requests or connections was reached."""
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return float(
        re.search(r'clarion_security_events_total{event="request_limit_reached"} (\S+)', text + LIMITED_NEVER)[1]
    )


@contextlib.contextmanager
def attackers(port, number, sent):
    """Hold connections that have sent something and read nothing. Yields a function that holds one more."""
    with contextlib.ExitStack() as stack:

        def attack():
            one = stack.enter_context(socket.create_connection((HOST, port)))
            one.settimeout(0.2)
            with contextlib.suppress(TimeoutError, ConnectionError):
                one.sendall(sent)

        for _ in range(number):
            attack()
        yield attack


def is_served(tenant):
    """Check that health and a tenant are served."""
    assert [status_of(tenant.port, path) for path in HEALTH] == [200] * 3
    tenant.put("/v1/topics/fans", {})


def test_public_requests_without_an_end_take_the_slots_of_their_address_alone(operator):
    tenant = new_tenant(operator)
    with attackers(tenant.port, PUBLIC_REQUESTS_PER_PEER_MAX + 50, UNSUBSCRIBE):
        assert until(lambda: status_of(tenant.port, "/docs") == 503, "the attack holds")
        assert status_of(tenant.port, "/docs", OTHER_PEER) == 200
        is_served(tenant)
    assert until(lambda: status_of(tenant.port, "/docs") == 200, "the slots are free")


def test_bodies_without_an_end_take_the_memory_of_their_address_alone(operator):
    tenant = new_tenant(operator)
    size, large = 1024 * 1024, b"x" * 20_000
    number = PUBLIC_BODIES_PER_PEER_BYTES_MAX // size + 4
    with attackers(tenant.port, number, receipt(size) + b"x" * (size - 1_000)) as attack:

        def attack_holds():
            attack()  # of bodies that arrive at the same time, all may be refused
            return status_of(tenant.port, "/v1/receipts/a/b", method="POST", body=large) == 503

        assert until(attack_holds, "the attack holds")
        assert status_of(tenant.port, "/v1/receipts/a/b", OTHER_PEER, "POST", large) != 503
        is_served(tenant)
    assert until(
        lambda: status_of(tenant.port, "/v1/receipts/a/b", method="POST", body=large) != 503, "the slots are free"
    )


def test_a_flood_of_connections_takes_the_rate_of_its_address_alone(operator):
    tenant = new_tenant(operator)
    with contextlib.ExitStack() as stack:
        many = []
        for _ in range(1_800):
            many.append(
                stack.enter_context(socket.create_connection((HOST, tenant.port), source_address=(OTHER_PEER, 0)))
            )
            many[-1].setblocking(False)
        assert until(lambda: limited(tenant.port) >= 100, "connections are closed")
        began_s = time.monotonic()
        is_served(tenant)
        assert time.monotonic() - began_s < 2
    assert until(lambda: status_of(tenant.port, "/docs", OTHER_PEER) == 200, "the others had their turn")


def test_clients_that_send_ahead_and_never_read_delay_no_one(operator):
    tenant = new_tenant(operator)
    for _ in range(2):
        with attackers(tenant.port, 50, DOCS * 5_000):
            is_served(tenant)
        is_served(tenant)


def test_a_client_that_sends_ahead_gets_its_answers_in_order(operator):
    number, answers = 5_000, b""
    with socket.create_connection((HOST, operator.port)) as one:
        one.settimeout(20)
        sender = threading.Thread(
            target=one.sendall, args=(b"".join(b"GET /no/%d HTTP/1.1\r\nhost: a\r\n\r\n" % n for n in range(number)),)
        )
        sender.start()
        while answers.count(b'"code":') < number:
            answers += (piece := one.recv(4 * 1024 * 1024))
            assert piece, "the connection was closed"
        sender.join()
    assert [int(n) for n in re.findall(rb"there is nothing at /no/(\d+)", answers)] == list(range(number))
