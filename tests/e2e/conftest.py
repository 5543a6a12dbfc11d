"""Installations that the end-to-end tests share: each is started once, and every test has a tenant of its own in it."""

import contextlib
import os

import pytest

from clarion.domain.channel import Channel
from clarion_lab.load.programs import SimulatorReady, System, running
from tests.e2e.outside import Api, new_tenant
from tests.engines.postgres import Engine, database_of

QUICK = {"CLARION_DELIVER_PASSES_MAX": "3", "CLARION_API_LIMITS_REFUSED_KEYS": "0"} | {
    f"CLARION_DELIVER_RETRY_PAUSES_MS_{channel.name}": "100,200" for channel in Channel
}


STORE = os.environ.get("E2E_STORE", "")
"""The store backend of every installation in these tests; empty for the default."""


def pytest_configure():
    if STORE:
        System.settings["CLARION_STORE"] = STORE
    if STORE == "postgres":
        System.settings_in = staticmethod(lambda folder: {"CLARION_POSTGRES_DSN": database_of(folder, Engine.own)})


def pytest_collection_modifyitems(config, items):
    """Deselect tests that need several processes when the stores are in one process, and those of files on a server."""
    mark = {"memory": "processes", "postgres": "files"}.get(STORE)
    if mark:
        left_out = [item for item in items if item.get_closest_marker(mark)]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


def simulator_settings(ready: SimulatorReady) -> dict[str, str]:
    """Return settings of an installation that may call loopback and trusts a simulator."""
    return {
        "CLARION_EGRESS_ALLOW_PRIVATE": "127.0.0.0/8",
        "CLARION_EGRESS_CA_FILE": str(ready.ca_file),
        "CLARION_WORKERS_COUNT": "1",
    }


FAILURES = ("request_failed", "attempt_crashed", "Traceback", "cannot stay up")
"""Words in a log line of a process after an internal failure that no caller caused."""


def operator_of(system):
    """Return a client with the operator's key of a running system."""
    return Api(system.port, (system.folder / "data" / "operator.key").read_text().strip())


@contextlib.contextmanager
def watched(system):
    """Run a system. Raises `AssertionError` at the end when one of its processes logged an internal failure."""
    with running(system):
        yield system
    log = (system.folder / "clarion.log").read_text(errors="replace").splitlines()
    assert not [line for line in log if any(word in line for word in FAILURES)]


@pytest.fixture(scope="session")
def system(tmp_path_factory):
    """`clarion up` with its defaults except for shorter retry pauses, and no waits after refused keys, as all tests share an
    address: private addresses may not be called."""
    with watched(System(tmp_path_factory.mktemp("plain"), QUICK)) as started:
        yield started


@pytest.fixture(scope="session")
def operator(system):
    return operator_of(system)


@pytest.fixture
def tenant(operator):
    """Return a new, empty tenant."""
    return new_tenant(operator)
