"""The PostgreSQL server dies under load and comes back: requests are refused meanwhile, every loop goes on by itself, and what
was accepted is delivered exactly once."""

import contextlib
import http.client
import time
from collections import Counter

import pytest

from clarion_lab.load.programs import System
from clarion_lab.machine.engines import postgres_folders
from tests.e2e.conftest import QUICK, operator_of, watched
from tests.e2e.outside import new_tenant, until
from tests.e2e.receiver import receiving
from tests.engines.postgres import SUPERUSER, Server, engine

pytestmark = [pytest.mark.processes, pytest.mark.engines]
GONE_S = 3
SLOW_S = 30
"""How long a slow machine has for as many notifications as a test needs."""
SECRET = "whsec_" + "A" * 44
SETTINGS = {
    "CLARION_STORE": "postgres",
    "CLARION_EGRESS_ALLOW_PRIVATE": "127.0.0.0/8",
    "CLARION_EGRESS_ALLOW_HTTP": "true",
    "CLARION_WORKERS_COUNT": "2",
    # A worker keeps the results of attempts for as long as it holds its lease.
    "CLARION_LEASE_TTL_MS": "20000",
}


@pytest.fixture
def server():
    engine()  # where no server can be started, the test is skipped
    started = Server(postgres_folders()[0])
    started.wait()
    yield started
    started.stop()


class Load:
    """Notifications to a webhook, one after another; each is a call to `url` with its number."""

    def __init__(self, tenant, url):
        self._tenant = tenant
        self._url = url
        self.accepted = {}
        self.refused = Counter()
        self._number = 0

    def send(self):
        """Send one and return the response, None when there is none."""
        number, self._number = self._number, self._number + 1
        body = {"to": {"webhook": f"{self._url}/{number}"}, "template": "note", "data": {"n": number}}
        with contextlib.suppress(OSError, http.client.HTTPException):
            answer = self._tenant.call("POST", "/v1/notifications", body, {"Idempotency-Key": f"n{number}"})
            if answer.status == 202:
                self.accepted[number] = answer.json["id"]
            else:
                self.refused[answer.status] += 1
            return answer
        self.refused[0] += 1
        return None

    def send_for(self, seconds, least=0):
        """Send for that long, on a slow machine until at least that many more were accepted."""
        start_s, wanted = time.monotonic(), len(self.accepted) + least
        while time.monotonic() < start_s + (SLOW_S if len(self.accepted) < wanted else seconds):
            yield self.send()
            time.sleep(0.01)


def test_a_server_that_dies_and_comes_back_loses_and_repeats_nothing(tmp_path, server):
    settings = {**QUICK, **SETTINGS, "CLARION_POSTGRES_DSN": server.dsn("postgres", SUPERUSER)}
    with receiving() as receiver, watched(System(tmp_path, settings)) as system:
        tenant = new_tenant(operator_of(system))
        tenant.put("/v1/templates/note", {"channels": {"webhook": {"type": "note", "data": {"n": "{{ n }}"}}}})
        account = {"channel": "webhook", "vendor": "webhook", "credentials": {"secret": SECRET}}
        tenant.put("/v1/providers/hooks", account)
        load = Load(tenant, receiver.url)
        list(load.send_for(2, 51))
        children = {name: [one.pid for one in group] for name, group in system.processes().items()}
        server.kill()
        answers = list(load.send_for(GONE_S))
        assert all(answer is not None and answer.status in (202, 503) for answer in answers), load.refused
        assert all("retry-after" in answer.headers for answer in answers if answer.status == 503)
        assert answers[-1].status == 503
        server.start()
        until(lambda: (answer := load.send()) is not None and answer.status == 202, "requests are accepted again", 30)
        list(load.send_for(1))
        assert len(load.accepted) > 50
        for number, id_ in load.accepted.items():
            assert [one["state"] for one in tenant.ended(id_, 60)["deliveries"]] == ["sent"], number
        assert {name: [one.pid for one in group] for name, group in system.processes().items()} == children
    calls = Counter(int(call.path.rpartition("/")[2]) for call in receiver.calls)
    assert {number for number in calls if number not in load.accepted} == set()
    assert calls == Counter(dict.fromkeys(load.accepted, 1))
