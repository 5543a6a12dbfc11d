"""Suite-wide rules: what a test may touch follows from the folder that it lives in."""

import gc
import os
from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = ["tests.contract.counting"]

LOOPBACK = ["127.0.0.1", "::1"]
FOLDERS_WITH_LOOPBACK = {"e2e", "peers", "providers"}
FOLDERS_WITH_MARKS = {"e2e", "peers"}

# A busy machine is no reason to fail a property; the blob lets anyone replay what was found. How far a law is tried is
# the profile's to say: `quick` on every change, `thorough` by `make test-slow`.
settings.register_profile("quick", deadline=None, print_blob=True, max_examples=15)
settings.register_profile("thorough", settings.get_profile("quick"), max_examples=300)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def folder_of(path: Path, tests: Path) -> str:
    """The folder under tests/ that a test file belongs to."""
    return path.relative_to(tests).parts[0]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Close sockets by folder. A test that truly needs loopback elsewhere says so with its own allow_hosts mark."""
    tests = Path(__file__).parent
    for item in items:
        folder = folder_of(item.path, tests)
        if folder in FOLDERS_WITH_MARKS:
            item.add_marker(folder)
        if item.get_closest_marker("allow_hosts"):
            continue
        if folder in FOLDERS_WITH_LOOPBACK:
            item.add_marker(pytest.mark.allow_hosts(LOOPBACK))
        else:
            item.add_marker(pytest.mark.disable_socket)


def pytest_collection_finish() -> None:
    """Take what was collected out of the garbage collector's rounds: thousands of tests, looked at again and again."""
    gc.freeze()
