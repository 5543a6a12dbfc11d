"""Counts the cases of contract suites: for each port and backend, the number that ran and the number that a declared trait
excluded.

A module names its port (`PORT = "control"`); each of its cases belongs to the backend that one of its parameters names. Both
numbers together have to be the same for all backends of a port, among them those that implement every port, or the run fails:
a case that does not run over one backend has a reason that the backend declares.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any, Final

import pytest

from tests.contract.backends import ENGINES, EVERY_PORT, TRAITS

CASE: Final = "contract case"
"""Under this name each report says port, backend and the trait that excluded its case, empty if none did."""


def pytest_configure(config: pytest.Config) -> None:
    """Count in the process that receives reports: the only one, or the one that started the worker processes."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Counting(config), "contract-counting")


@pytest.hookimpl(tryfirst=True)  # before cases are selected by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Deselect cases whose trait a backend does not declare, and note port and backend on each case: on one over a server,
    whose cases run by themselves, the number of cases of each other backend, too."""
    model = Counter(counted(item) for item in items if backend_of(item) == EVERY_PORT[0])
    for item in items:
        backend = backend_of(item)
        port = port_of(item)
        if backend in ENGINES:
            item.add_marker("engines")
        if port and not backend:
            raise pytest.UsageError(f"{item.nodeid} is a case of {port}, but its parameters do not name one backend")
        missing = missing_trait(item, backend) if backend else ""
        if missing:
            item.add_marker(pytest.mark.skip(reason=f"{backend} does not declare {missing}"))
        port = counted(item)
        if port and backend:
            expected = model[port] if backend in ENGINES else 0
            item.user_properties.append((CASE, [port, backend, missing, expected]))


def port_of(item: pytest.Item) -> str | None:
    """Return the port that a case's module names, None without one."""
    port: str | None = getattr(getattr(item, "module", None), "PORT", None)
    return port


def counted(item: pytest.Item) -> str | None:
    """Return the port that a case is counted for, None for a longer search of the same by night."""
    return None if item.get_closest_marker("nightly") else port_of(item)


def backend_of(item: pytest.Item) -> str | None:
    """Return the backend that a case runs over, None if its parameters name none or several."""
    parameters: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
    found = {value for value in parameters.values() if isinstance(value, str) and value in TRAITS}
    return found.pop() if len(found) == 1 else None


def missing_trait(item: pytest.Item, backend: str) -> str:
    """Return the first trait that a case needs and the backend does not declare, empty when it has all."""
    wanted = [mark.args[0] for mark in item.iter_markers("needs_trait")]
    unknown = set(wanted).difference(*TRAITS.values())
    if unknown:
        raise pytest.UsageError(f"{item.nodeid}: no backend declares {', '.join(sorted(unknown))}")
    return next((trait for trait in wanted if trait not in TRAITS[backend]), "")


class Cases:
    """The cases of one port on one backend."""

    def __init__(self) -> None:
        self.run = 0
        self.excluded: Counter[str] = Counter()
        self.expected = 0
        """The number of cases of other backends in the same collection; 0 when it is counted from their own."""

    @property
    def total(self) -> int:
        return self.run + self.excluded.total()

    def __str__(self) -> str:
        why = ", ".join(f"{trait} {number}" for trait, number in sorted(self.excluded.items()))
        return f"{self.run:5} run  {self.excluded.total():4} excluded" + (f" ({why})" if why else "")


class Counting:
    """Adds up reports and prints the sums at the end."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._cases: dict[str, dict[str, Cases]] = defaultdict(lambda: defaultdict(Cases))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a case that ran, with any result, or that a trait excluded."""
        for name, value in report.user_properties:
            if name != CASE or not isinstance(value, Iterable):
                continue
            port, backend, missing, expected = value
            self._cases[port][backend].expected = expected
            if missing:
                self._cases[port][backend].excluded[missing] += report.when == "setup"
            elif backend in ENGINES and report.skipped and not hasattr(report, "wasxfail"):
                self._cases[port][backend].excluded["no server"] += 1
            else:
                ran = report.when == "call" and (not report.skipped or hasattr(report, "wasxfail"))
                self._cases[port][backend].run += ran or (report.when == "setup" and report.failed)

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Fail a whole run in which a backend had fewer cases than another."""
        if exitstatus == pytest.ExitCode.OK and self._whole() and self.unequal():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print a line for each port and backend."""
        if not self._cases:
            return
        terminalreporter.section("contract cases per port and backend")
        for port, backends in sorted(self._cases.items()):
            for backend, cases in sorted(backends.items()):
                terminalreporter.line(f"{port:14} {backend:8} {cases}")
        for port in self.unequal() if self._whole() else []:
            terminalreporter.line(f"FAILED: the backends of {port} have not the same number of cases", red=True)

    def unequal(self) -> list[str]:
        """Return the ports whose backends differ in the number of their cases."""
        return [port for port, backends in sorted(self._cases.items()) if self._differ(backends)]

    def _differ(self, backends: dict[str, Cases]) -> bool:
        served = {name: cases for name, cases in backends.items() if name in ENGINES}
        others = backends.keys() - served.keys()
        if any(cases.total != cases.expected for cases in served.values()):
            return True
        return bool(others) and len({backends[backend].total for backend in {*EVERY_PORT, *others}}) > 1

    def _whole(self) -> bool:
        """Return whether whole suites were selected, not cases by name or by their last result."""
        option = self._config.option
        picked = option.keyword or getattr(option, "lf", False) or getattr(option, "deselect", None)
        return not picked and not any("::" in argument for argument in self._config.args)
