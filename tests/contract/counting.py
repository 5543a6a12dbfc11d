"""Counts the cases of contract suites: for each port and engine, how many ran, and how many a declared trait excluded.

A module names its port (`PORT = "control"`); each of its cases belongs to the engine that one of its parameters names. Both
numbers together have to be the same for all engines of a port, among them those that implement every port, or the run fails:
a case that one engine is spared has a reason that the engine declares.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any, Final

import pytest

from tests.contract.engines import EVERY_PORT, TRAITS

CASE: Final = "contract case"
"""Under this name each report says port, engine and the trait that excluded its case, empty if none did."""


def pytest_configure(config: pytest.Config) -> None:
    """Count where reports arrive: in the one process, or in the one that started the others."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Counting(config), "contract-counting")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what an engine does not declare, and note on each case where it belongs."""
    for item in items:
        engine = engine_of(item)
        port = getattr(getattr(item, "module", None), "PORT", None)
        if port and not engine:
            raise pytest.UsageError(f"{item.nodeid} is a case of {port}, but its parameters do not name one engine")
        missing = missing_trait(item, engine) if engine else ""
        if missing:
            item.add_marker(pytest.mark.skip(reason=f"{engine} does not declare {missing}"))
        if port and engine:
            item.user_properties.append((CASE, [port, engine, missing]))


def engine_of(item: pytest.Item) -> str | None:
    """Return the engine that a case runs over, None if its parameters name none or several."""
    parameters: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
    found = {value for value in parameters.values() if isinstance(value, str) and value in TRAITS}
    return found.pop() if len(found) == 1 else None


def missing_trait(item: pytest.Item, engine: str) -> str:
    """Return the first trait that a case needs and the engine does not declare, empty when it has all."""
    wanted = [mark.args[0] for mark in item.iter_markers("needs_trait")]
    unknown = set(wanted).difference(*TRAITS.values())
    if unknown:
        raise pytest.UsageError(f"{item.nodeid}: no engine declares {', '.join(sorted(unknown))}")
    return next((trait for trait in wanted if trait not in TRAITS[engine]), "")


class Cases:
    """The cases of one port on one engine."""

    def __init__(self) -> None:
        self.run = 0
        self.excluded: Counter[str] = Counter()

    @property
    def total(self) -> int:
        return self.run + self.excluded.total()

    def __str__(self) -> str:
        why = ", ".join(f"{trait} {number}" for trait, number in sorted(self.excluded.items()))
        return f"{self.run:5} run  {self.excluded.total():4} excluded" + (f" ({why})" if why else "")


class Counting:
    """Adds up reports and says the sums at the end."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._cases: dict[str, dict[str, Cases]] = defaultdict(lambda: defaultdict(Cases))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a case that ran, however it ended, or that a trait excluded."""
        for name, value in report.user_properties:
            if name != CASE or not isinstance(value, Iterable):
                continue
            port, engine, missing = value
            if missing:
                self._cases[port][engine].excluded[missing] += report.when == "setup"
            else:
                ran = report.when == "call" and (not report.skipped or hasattr(report, "wasxfail"))
                self._cases[port][engine].run += ran or (report.when == "setup" and report.failed)

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Fail a whole run in which an engine had fewer cases than another."""
        if exitstatus == pytest.ExitCode.OK and self._whole() and self.unequal():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print a line for each port and engine."""
        if not self._cases:
            return
        terminalreporter.section("contract cases per port and engine")
        for port, engines in sorted(self._cases.items()):
            for engine, cases in sorted(engines.items()):
                terminalreporter.line(f"{port:14} {engine:8} {cases}")
        for port in self.unequal() if self._whole() else []:
            terminalreporter.line(f"FAILED: the engines of {port} have not the same number of cases", red=True)

    def unequal(self) -> list[str]:
        """Return the ports whose engines differ in the number of their cases."""
        return [
            port
            for port, engines in sorted(self._cases.items())
            if len({engines[engine].total for engine in {*EVERY_PORT, *engines}}) > 1
        ]

    def _whole(self) -> bool:
        """Return whether whole suites were asked for, not cases picked by name or by how they ended before."""
        option = self._config.option
        picked = option.keyword or getattr(option, "lf", False) or getattr(option, "deselect", None)
        return not picked and not any("::" in argument for argument in self._config.args)
