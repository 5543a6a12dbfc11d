"""Clients that wait for each response are not slowed by the gathering of requests, whatever others send."""

import http.client
import json
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from clarion_lab.load.programs import System
from tests.e2e.conftest import QUICK, operator_of, watched
from tests.e2e.outside import CALL_TIMEOUT_S, HOST, new_tenant

pytestmark = pytest.mark.measures

LINGER_MS = 600
"""Long enough that a request that was gathered stands out on any machine."""
REQUESTS = 30
NOTE = {"to": "ada", "template": "note", "data": {"n": 1}}
SINGLE = ("/v1/notifications", NOTE, 202)
BATCH = ("/v1/notifications/batch", {"notifications": [NOTE] * 3}, 202)
REFUSED = ("/v1/notifications", {"to": "ada", "template": "nowhere"}, 422)
EVENT = ("/v1/events", {"type": "nothing.follows"}, 202)


@pytest.fixture(scope="module")
def tenant(tmp_path_factory):
    folder = tmp_path_factory.mktemp("linger")
    with watched(System(folder, {**QUICK, "CLARION_API_LINGER_MS": str(LINGER_MS)})) as system:
        tenant = new_tenant(operator_of(system))
        tenant.put("/v1/templates/note", {"channels": {"inapp": {"title": "{{ n }}"}}})
        tenant.put("/v1/users/ada", {})
        yield tenant


def responses_ms(tenant, path, body, status):
    """Return how long each request of one client took that sends the next one after each response."""
    connection = http.client.HTTPConnection(HOST, tenant.port, timeout=CALL_TIMEOUT_S)
    headers = {"authorization": f"Bearer {tenant.key}", "content-type": "application/json"}
    took_ms = []
    for _ in range(REQUESTS):
        began_s = time.monotonic()
        connection.request("POST", path, json.dumps(body), headers)
        answer = connection.getresponse()
        answer.read()
        took_ms.append((time.monotonic() - began_s) * 1_000)
        assert answer.status == status
    connection.close()
    return took_ms


@pytest.mark.parametrize(
    "clients",
    [[SINGLE], [SINGLE] * 4, [BATCH] * 3, [SINGLE] * 3 + [BATCH], [SINGLE, REFUSED], [SINGLE, SINGLE, REFUSED, EVENT]],
    ids=["alone", "singles", "batches", "beside-a-batch", "beside-a-refused-one", "mixed"],
)
def test_clients_that_wait_for_responses_are_not_gathered(tenant, clients):
    with ThreadPoolExecutor(len(clients)) as pool:
        taken = list(pool.map(lambda client: responses_ms(tenant, *client), clients))
    assert [statistics.median(one) < LINGER_MS / 2 for one in taken] == [True] * len(clients), taken
