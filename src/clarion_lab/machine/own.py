"""Whether this checkout runs its own code: `.venv/bin/python own.py` fails with a sentence where `.venv` came from another
checkout, or `PYTHONPATH` leads to one. Only Python's own modules are imported, nothing of what is looked for."""

import importlib.util
import os
import sys
from pathlib import Path
from typing import Final

CHECKOUT: Final = Path(__file__).resolve().parents[3]
PACKAGES: Final = ("clarion", "clarion_lab")
PROGRAMS: Final = ("clarion", "pytest")
_SHELL: Final = "#!/bin/sh\n"
_EXEC: Final = "'''exec' "


def foreign(checkout: Path = CHECKOUT) -> str | None:
    """Return in a sentence from where this Python would import the code instead of from a checkout, None when it is from
    there."""
    again = f"remove {checkout / '.venv'} and run `make setup`"
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            return f"{sys.prefix} has no {name}: {again}."
        found = Path(spec.origin).resolve().parent
        if found != checkout / "src" / name:
            repair = "unset PYTHONPATH" if _by_variable(found) else again
            return f"This is {checkout}, but {name} would be imported from {found}: {repair}."
    return None


def foreign_program(environment: Path, checkout: Path = CHECKOUT) -> str | None:
    """Return in a sentence which program of an environment runs by the Python of another one, None when none does: a copied
    folder still names the one that it was copied from."""
    for name in PROGRAMS:
        interpreter = _interpreter(environment / "bin" / name)
        if interpreter is not None and interpreter.parent.resolve() != (environment / "bin").resolve():
            return (
                f"This is {checkout}, but {environment / 'bin' / name} runs {interpreter}: "
                f"remove {checkout / '.venv'} and run `make setup`."
            )
    return None


def _by_variable(found: Path) -> bool:
    """Return whether `PYTHONPATH` leads to a folder."""
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return any(found.is_relative_to(Path(entry).resolve()) for entry in entries if entry)


def _interpreter(program: Path) -> Path | None:
    """Return what the first line of a script names. Where that would be too long for the system, it is in the second."""
    try:
        with program.open(encoding="utf-8", errors="replace") as script:
            first, second = script.readline(4096), script.readline(4096)
    except FileNotFoundError:
        return None
    if first == _SHELL and second.startswith(_EXEC):
        rest = second.removeprefix(_EXEC)
        return Path(rest.split('"')[1] if rest.startswith('"') else rest.split()[0])
    return Path(first.removeprefix("#!").strip()) if first.startswith("#!/") else None


if __name__ == "__main__":
    sys.exit(foreign() or foreign_program(Path(sys.prefix)))
