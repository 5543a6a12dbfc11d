"""The rigs (`clarion_lab`), a package of their own that may be absent. It is named here and never imported by name elsewhere."""

import importlib
from types import ModuleType
from typing import Final

from clarion.domain.errors import OperatorError

PACKAGE: Final = "clarion_lab"
INSTALL: Final = "pip install clarion-lab"
DELAYS_VARIABLE: Final = "CLARION_BENCH_DELAYS"
"""Set by a bench that puts distance between a process and its stores. Nothing of it is loaded otherwise."""
_OURS: Final = frozenset({"clarion", PACKAGE})


class LabMissing(OperatorError):
    """Clarion was installed without its rigs, or without a library that only they use."""


def part(module: str, wanted: str) -> ModuleType:
    """Return a module of the rigs, such as `bench.cli`. Raises `LabMissing`, which says what is `wanted`, where they are not
    installed."""
    try:
        return importlib.import_module(f"{PACKAGE}.{module}")
    except ModuleNotFoundError as error:
        absent = error.name or ""
        if absent != PACKAGE and absent.partition(".")[0] in _OURS:
            raise
        raise LabMissing(
            f"{wanted} comes with clarion-lab, which is not installed here; get it with: {INSTALL}"
        ) from error
