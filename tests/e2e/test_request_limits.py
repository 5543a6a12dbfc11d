"""Limits on requests as clients meet them: who is refused, what a refusal says, and that nobody else notices."""

import contextlib
import http.client
import socket
import time

import pytest

from clarion.domain.limits_processes import CREDENTIAL_DELAY_MS_MIN
from clarion_lab.load.programs import System
from tests.e2e.conftest import operator_of, watched
from tests.e2e.outside import HOST, Api, new_tenant, until
from tests.unit.ways_in.http.test_rate_limit_fields import parsed

FREE, SLOTS = 5, 8
OTHER_PEER, GUESSER = "127.0.0.9", "127.0.0.7"
TOPICS, TOPIC = "/v1/topics", "/v1/topics/fans"
WRONG = "clk_0123456789abcdef_" + "w" * 43


@pytest.fixture(scope="module")
def limited(tmp_path_factory):
    settings = {
        "CLARION_API_LIMITS_REFUSED_KEYS": str(FREE),
        "CLARION_API_LIMITS_PUBLIC_PER_S": "1",
        "CLARION_API_LIMITS_PUBLIC_BURST": "5",
        "CLARION_API_MAX_REQUESTS_PER_TENANT": str(SLOTS),
        "CLARION_WORKERS_COUNT": "1",
    }
    with watched(System(tmp_path_factory.mktemp("limited"), settings)) as started:
        yield started


@pytest.fixture
def operator(limited):
    return operator_of(limited)


def answer_from(peer, port, path, key="", method="GET"):
    """Return the status and the Retry-After header of a call from an address of this machine."""
    connection = http.client.HTTPConnection(HOST, port, timeout=10, source_address=(peer, 0))
    try:
        body = b"{}" if method == "PUT" else None
        connection.request(method, path, body, {"Authorization": f"Bearer {key}"} if key else {})
        response = connection.getresponse()
        return response.status, response.headers["retry-after"]
    finally:
        connection.close()


def status_from(*call, **options):
    return answer_from(*call, **options)[0]


def health_answers(port):
    assert [Api(port).call("GET", path).status for path in ("/healthz", "/readyz", "/metrics")] == [200] * 3


def test_a_key_over_its_limit_is_told_when_to_come_back_and_others_go_on(operator):
    home, other = new_tenant(operator), new_tenant(operator)
    home.user("ada")
    inbox = home.inbox_of("ada")
    operator.put(f"/v1/tenants/{home.name}/quota", {"requests_per_s": 1, "requests_burst": 3})
    home.changed()
    home.changed()
    answers = [home.call("PUT", TOPIC, {}) for _ in range(5)]
    assert {answer.status for answer in answers} == {200, 429}
    assert parsed(answers[0].headers["ratelimit-policy"]) == {"requests": {"q": 3, "w": 3}}
    assert parsed(answers[0].headers["ratelimit"])["requests"]["r"] <= 2
    refused = answers[-1]
    problem = refused.json
    assert (refused.status, problem["code"]) == (429, "request_limit_reached")
    assert problem["detail"] == "the limit of this tenant is 1 requests a second, 3 at once"
    wait_s = int(refused.headers["retry-after"])
    assert parsed(refused.headers["ratelimit"]) == {"requests": {"r": 0, "t": wait_s}}
    other.put(TOPIC, {})
    inbox.get("/v1/inbox")
    health_answers(home.port)
    time.sleep(wait_s)  # as a client does with Retry-After
    home.put(TOPIC, {})


def test_an_address_over_the_limit_of_a_public_route_leaves_it_to_others(operator):
    port = operator.port
    path = "/v1/workflows/schema"
    statuses = [status_from(HOST, port, path) for _ in range(10)]
    assert statuses[:5] == [200] * 5
    assert 429 in statuses
    assert status_from(OTHER_PEER, port, path) == 200
    assert status_from(HOST, port, "/openapi.json") == 200
    health_answers(port)


def test_guesses_of_an_address_are_delayed_and_a_known_key_of_it_is_not(operator):
    home, late, port = new_tenant(operator), new_tenant(operator), operator.port
    home.put(TOPIC, {})
    assert [status_from(GUESSER, port, TOPICS, WRONG) for _ in range(FREE + 1)] == [401] * (FREE + 1)
    status, wait_s = until(lambda: _delayed(port, WRONG), "guesses are delayed")
    assert (status, int(wait_s) >= CREDENTIAL_DELAY_MS_MIN // 1000) == (429, True)
    for key in [home.key, operator.key] * 10:
        assert status_from(GUESSER, port, "/v1/tenants" if key == operator.key else TOPICS, key) == 200
    health_answers(port)
    assert 'clarion_security_events_total{event="credential_delayed"}' in operator.call("GET", "/metrics").body.decode()
    # A key that this process has not seen is checked when the wait is over, and at once from another address.
    until(lambda: _delayed(port, WRONG), "guesses are delayed")
    until(lambda: status_from(GUESSER, port, TOPIC, late.key, "PUT") == 200, "the wait is over")
    assert status_from(OTHER_PEER, port, TOPIC, new_tenant(operator).key, "PUT") == 200


def _delayed(port, key):
    answer = answer_from(GUESSER, port, TOPICS, key)
    return answer if answer[0] == 429 else None


def test_slow_bodies_of_a_tenant_do_not_stop_another(operator):
    slow, other = new_tenant(operator), new_tenant(operator)
    slow.put(TOPIC, {})
    other.put(TOPIC, {})
    head = f"PUT {TOPIC} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {slow.key}\r\ncontent-length: 9\r\n\r\n{{"
    with contextlib.ExitStack() as stack:
        for _ in range(SLOTS):
            stack.enter_context(socket.create_connection((HOST, slow.port))).sendall(head.encode())
        refused = until(lambda: _refused(slow), "the slots of the tenant are taken")
        assert (refused.status, refused.json["code"]) == (503, "concurrency_limit_reached")
        assert refused.headers["retry-after"] == "1"
        for _ in range(20):
            other.put(TOPIC, {})
            operator.get("/v1/tenants")
        health_answers(slow.port)
    assert until(lambda: slow.call("PUT", TOPIC, {}).status == 200, "the slots are free")


def _refused(client):
    answer = client.call("PUT", TOPIC, {})
    return answer if answer.status != 200 else None
