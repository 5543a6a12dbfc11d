"""Suite-wide rules: the folder of a test decides which resources it may use, and the files of a run are in one folder."""

import gc
import logging
import os
import runpy
import sys
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

# By its path, since an import could already be that of another checkout.
WRONG = runpy.run_path(str(Path(__file__).parents[1] / "src" / "clarion_lab" / "machine" / "own.py"))["foreign"]()
if WRONG:
    sys.exit(WRONG)

from clarion_lab.machine import engines, scratch  # noqa: E402 - it is known now to be the one of this checkout

pytest_plugins = ["tests.contract.counting"]

LOOPBACK = ["127.0.0.1", "::1"]
FOLDERS_WITH_LOOPBACK = {"e2e", "peers", "providers"}
FOLDERS_WITH_MARKS = {"e2e", "peers"}

# A busy machine must not fail a property, so there is no deadline; the printed blob reproduces a failure. The profile
# sets the number of examples: `quick` on every change, `thorough` by `make test-slow`; both try the same examples each
# time, so that a change is judged by what it changes. `search` tries new ones in each run of `make search`.
settings.register_profile("quick", deadline=None, print_blob=True, max_examples=15, derandomize=True)
settings.register_profile("thorough", settings.get_profile("quick"), max_examples=300)
settings.register_profile("search", deadline=None, print_blob=True, max_examples=1_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

engines.take_from_environment()
RUN = scratch.begin()
"""The folder of this run, None in a worker process, which uses that of the process that started it."""


def pytest_configure(config: pytest.Config) -> None:
    """Put the folders of tests into that of the run, unless the command line names another one."""
    if RUN is not None and config.option.basetemp is None:
        config.option.basetemp = RUN.folder / "t"


def pytest_sessionstart(session: pytest.Session) -> None:
    """Say which processes of an earlier run were ended."""
    if RUN is not None and RUN.ended:
        session.config.pluginmanager.getplugin("terminalreporter").write_line(RUN.note())


def pytest_sessionfinish(exitstatus: int) -> None:
    """Leave the files of a run that failed until the next run."""
    if RUN is not None:
        RUN.stays = exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say where the files of failed tests are."""
    if RUN is not None and RUN.stays:
        terminalreporter.write_line(f"files of this run, which the next run removes: {RUN.folder}")


def folder_of(path: Path, tests: Path) -> str:
    """Return the folder under tests/ that a test file belongs to."""
    return path.relative_to(tests).parts[0]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Close sockets by folder: a test that needs loopback elsewhere has an allow_hosts mark of its own. Put files that
    wait long first, so that no worker is left with them at the end."""
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
    waiting = {item.path for item in items if item.get_closest_marker("waits")}
    items.sort(key=lambda item: item.path not in waiting)


def pytest_collection_finish() -> None:
    """Exclude the collected tests from garbage collection: there are thousands, and each cycle would scan them."""
    gc.freeze()


@pytest.fixture
def restored_logging():
    """Restore the logging of the process after a test that configures it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
