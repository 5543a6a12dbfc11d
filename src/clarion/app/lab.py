"""The rigs (`clarion_lab`), a separate package that may be absent. No other module imports it by name."""

import importlib
from types import ModuleType
from typing import Final

from clarion.domain.errors import OperatorError

PACKAGE: Final = "clarion_lab"
INSTALL: Final = "run 'make setup' in a checkout of Clarion"
DELAYS_VARIABLE: Final = "CLARION_BENCH_DELAYS"
"""Set by a bench that simulates a distance between a process and its stores. Without it nothing of that is loaded."""
_OURS: Final = frozenset({"clarion", PACKAGE})


class LabMissing(OperatorError):
    """The rigs, or a library that only they use, are not installed."""


def part(module: str, wanted: str) -> ModuleType:
    """Return a module of the rigs, such as `bench.cli`. Raises `LabMissing`, which names the `wanted` feature, when
    they are not installed."""
    try:
        return importlib.import_module(f"{PACKAGE}.{module}")
    except ModuleNotFoundError as error:
        absent = error.name or ""
        if absent != PACKAGE and absent.partition(".")[0] in _OURS:
            raise
        raise LabMissing(
            f"{wanted} comes with clarion-lab, which is not installed here; to get it, {INSTALL}."
        ) from error
