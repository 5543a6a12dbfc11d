"""Rigs that tests call in this process have a lock of their own: these tests wait for nobody."""

import pytest

from clarion_lab.machine import lock


@pytest.fixture(autouse=True)
def own_machine(tmp_path_factory, monkeypatch):
    """Move the lock of the machine to where nobody else looks."""
    monkeypatch.setenv(lock.VARIABLE, str(tmp_path_factory.getbasetemp() / "machine.lock"))
