"""Installations the end-to-end tests share: each is started once, and every test has a tenant of its own in it."""

import contextlib
import os

import pytest

from clarion.domain.channel import Channel
from clarion_lab.load.programs import SimulatorReady, System, running
from tests.e2e.outside import Api, new_tenant

QUICK = {"CLARION_DELIVER_PASSES_MAX": "3"} | {
    f"CLARION_DELIVER_RETRY_PAUSES_MS_{channel.name}": "100,200" for channel in Channel
}


STORE = os.environ.get("E2E_STORE", "")
"""The engine that every installation of these tests stands on; empty for the default."""


def pytest_configure():
    if STORE:
        System.settings["CLARION_STORE"] = STORE


def pytest_collection_modifyitems(config, items):
    """Leave out what needs several processes where stores live in one."""
    if STORE == "memory":
        left_out = [item for item in items if item.get_closest_marker("processes")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


def beside(ready: SimulatorReady) -> dict[str, str]:
    """Settings of an installation that may call loopback and trusts a simulator."""
    return {
        "CLARION_EGRESS_ALLOW_PRIVATE": "127.0.0.0/8",
        "CLARION_EGRESS_CA_FILE": str(ready.ca_file),
        "CLARION_WORKERS_COUNT": "1",
    }


FAILURES = ("request_failed", "attempt_crashed", "Traceback", "cannot stay up")
"""What a log line of a process says when something went wrong in it that no caller is to blame for."""


def operator_of(system):
    """A client with the operator's key of a running system."""
    return Api(system.port, (system.folder / "data" / "operator.key").read_text().strip())


@contextlib.contextmanager
def watched(system):
    """Run a system; whatever the tests did to it, none of its processes may have failed inside."""
    with running(system):
        yield system
    log = (system.folder / "clarion.log").read_text(errors="replace").splitlines()
    assert not [line for line in log if any(word in line for word in FAILURES)]


@pytest.fixture(scope="session")
def system(tmp_path_factory):
    """`clarion up` as it is by default, but that retries come sooner: nothing private may be called."""
    with watched(System(tmp_path_factory.mktemp("plain"), QUICK)) as started:
        yield started


@pytest.fixture(scope="session")
def operator(system):
    return operator_of(system)


@pytest.fixture
def tenant(operator):
    """A fresh tenant with nothing in it."""
    return new_tenant(operator)
