"""Roles that are started alone, each in a data directory of its own, on one PostgreSQL database. The owner migrates, and API
and workers log in as users with the rights of their roles."""

import contextlib
import os
import signal
import subprocess
import sys

import pytest

from clarion_lab.machine.ports import free_port
from tests.e2e.conftest import FAILURES, QUICK
from tests.e2e.outside import HOST, Api, new_tenant, until
from tests.engines.postgres import API, WORKER, as_role, engine

pytestmark = [pytest.mark.processes, pytest.mark.engines]
OPERATOR_KEY = "o" * 43
ROLES = {
    "api-1": ["api"],
    "api-2": ["api"],
    "planner": ["worker", "--stages", "plan"],
    "recorder": ["worker", "--stages", "record"],
    "mailer": ["worker", "--stages", "deliver", "--channels", "email,inapp"],
    "texter": ["worker", "--stages", "deliver", "--channels", "sms"],
    "scheduler": ["scheduler"],
}
CONTENT = {
    "email": {"subject": "{{ n }}", "text": "{{ n }}"},
    "sms": {"body": "{{ n }}"},
    "inapp": {"title": "{{ n }}"},
}


class Machines:
    """Processes of one installation, each on a machine of its own."""

    def __init__(self, folder):
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CLARION_")}
        self._dsn = engine().bare()
        self._common = (
            inherited
            | QUICK
            | {
                "CLARION_STORE": "postgres",
                "CLARION_POSTGRES_OWNER_DSN": self._dsn,
                "CLARION_MASTER_KEY": "A" * 43 + "=",
                "CLARION_OPERATOR_KEY": OPERATOR_KEY,
                "CLARION_WORKERS_COUNT": "1",
            }
        )
        self._folder = folder
        self.ports = {}
        self._running = {}

    def run(self, *words):
        """Run a command to its end and return its exit code."""
        env = self._common | {"CLARION_DATA_DIR": str(self._folder / "run")}
        return subprocess.run([sys.executable, "-m", "clarion", *words], env=env, timeout=60, check=False).returncode

    def start(self, name):
        self.ports[name] = free_port()
        dsn = as_role(self._dsn, API if ROLES[name] == ["api"] else WORKER)
        own = {"CLARION_DATA_DIR": str(self._folder / name), "CLARION_API_PORT": str(self.ports[name])}
        own |= {"CLARION_POSTGRES_DSN": dsn, "CLARION_POSTGRES_OWNER_DSN": ""}
        with (self._folder / f"{name}.log").open("ab") as log:
            command = [sys.executable, "-m", "clarion", *ROLES[name]]
            self._running[name] = subprocess.Popen(command, env=self._common | own, stdout=log, stderr=log)

    def kill(self, name):
        self._running[name].kill()
        self._running.pop(name).wait()

    def api(self, name):
        client = Api(self.ports[name], OPERATOR_KEY)

        def ready():
            assert self._running[name].poll() is None, (self._folder / f"{name}.log").read_text()
            with contextlib.suppress(OSError):
                return client.call("GET", "/readyz").status == 200
            return False

        until(ready, f"{name} at {HOST} is ready", 60)
        return client

    def stop(self):
        codes = {}
        for process in self._running.values():
            process.send_signal(signal.SIGTERM)
        for name, process in self._running.items():
            codes[name] = process.wait(30)
        return codes

    def failures(self):
        lines = [line for log in self._folder.glob("*.log") for line in log.read_text(errors="replace").splitlines()]
        return [line for line in lines if any(word in line for word in FAILURES)]


@pytest.fixture
def machines(tmp_path):
    found = Machines(tmp_path)
    yield found
    for process in found._running.values():
        process.kill()
        process.wait()


def states(tenant, id_):
    return {one["channel"]: one["state"] for one in tenant.ended(id_, 60)["deliveries"]}


@pytest.mark.waits
def test_roles_alone_are_one_installation(machines):
    assert machines.run("migrate") == 0
    assert machines.run("migrate", "--check") == 0
    for name in ROLES:
        machines.start(name)
    tenant = new_tenant(machines.api("api-1"))
    tenant.seed_data({"note": CONTENT}, ["email", "sms"])
    tenant.user("ada", email="ada@example.com", phone="+14155550100")
    other = tenant.with_key(tenant.key)
    other.port = machines.api("api-2").port
    all_sent = {"email": "sent", "sms": "sent", "inapp": "sent"}
    ids = [client.send("ada", "note", {"n": 1}) for client in (tenant, other) for _ in range(10)]
    assert [states(tenant, id_) for id_ in ids] == [all_sent] * 20
    machines.kill("texter")
    machines.kill("api-1")
    id_ = other.send("ada", "note", {"n": 2})
    machines.start("texter")
    assert states(other, id_) == all_sent
    assert machines.stop() == dict.fromkeys(ROLES.keys() - {"api-1"}, 0)
    assert not machines.failures()


@pytest.mark.waits
def test_a_role_that_nobody_does_is_named_until_somebody_does(machines):
    assert machines.run("migrate") == 0
    machines.start("api-1")
    client = machines.api("api-1")

    def missing():
        return {one["role"] for one in client.get("/readyz")["missing"]}

    until(lambda: {"scheduler", "plan", "deliver.sms"} <= missing(), "what nobody does is named", 60)
    assert 'clarion_role_missing{role="scheduler"} 1.0' in client.call("GET", "/metrics").body.decode()
    machines.start("scheduler")
    until(lambda: "scheduler" not in missing(), "the scheduler is back", 60)
    assert "plan" in missing()
    assert 'clarion_role_missing{role="scheduler"} 0.0' in client.call("GET", "/metrics").body.decode()
    log = (machines._folder / "api-1.log").read_text()
    assert log.count("role_missing") == len(missing()) + 1
    assert "role_back" in log
