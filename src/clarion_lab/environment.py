"""Builds an environment that runs Clarion alone: libraries by their hashes, the wheel of this checkout, no rigs, no
installer.

`python -m clarion_lab.environment FOLDER [EXTRA]` builds one in an empty or absent folder and prints its size; `postgres` is the
extra that there is.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import distribution
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from clarion.domain.errors import OperatorError
from clarion_lab.machine.scratch import used

ROOT: Final = Path(__file__).resolve().parents[2]
LOCK_FILES: Final = {"": "requirements.lock", "postgres": "requirements-postgres.lock"}
"""The libraries with their hashes, by the extra."""
SIZE_MAX: Final = 155_000_000
"""The largest size (bytes) of an environment after Clarion has run in it; 3 MB of it are what serves sockets (picows, aiofastnet)."""
_KEPT_OUT: Final = frozenset({"PYTHONPATH", "PYTHONDONTWRITEBYTECODE"})
_PYTHON: Final = sys.executable


def build(folder: Path, root: Path = ROOT, extra: str = "") -> None:
    """Build it in an empty or absent folder. Raises `OperatorError` with the error message of a step that fails, and for an unknown
    extra."""
    if extra not in LOCK_FILES:
        raise OperatorError(f"There is no extra {extra!r}; there is {' and '.join(filter(None, LOCK_FILES))}.")
    lock = LOCK_FILES[extra]
    if not (root / lock).exists():
        raise OperatorError(f"An environment is built from a checkout, and {root} has no {lock}.")
    if folder.exists() and any(folder.iterdir()):
        raise OperatorError(f"{folder} is not empty.")
    _done([_PYTHON, "-m", "venv", "--without-pip", str(folder)], root)
    pip = [
        _PYTHON,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--no-input",
        "--python",
        str(folder / "bin" / "python"),
    ]
    # Python writes the bytecode of a module at its import, and half of a library's modules are never imported.
    install = [*pip, "install", "--quiet", "--no-compile"]
    _done([*install, "--require-hashes", "-r", lock], root)
    with TemporaryDirectory(prefix="clarion-wheel-") as built:
        _done([_PYTHON, "-m", "hatchling", "build", "--target", "wheel", "--directory", built], root)
        _done([*install, "--no-deps", *map(str, Path(built).glob("*.whl"))], root)
    strip(folder)


def strip(folder: Path) -> None:
    """Remove the symbols of native libraries, which only debuggers read: in some files they are nine tenths. Raises
    `OperatorError` when the program `strip` is missing."""
    if not sys.platform.startswith("linux"):
        return
    program = shutil.which("strip")
    if program is None:
        raise OperatorError(
            "Taking symbols out of native libraries needs strip (binutils), and there is none on the path."
        )
    libraries = [str(path) for path in sorted(folder.rglob("*.so*")) if path.is_file() and not path.is_symlink()]
    _done([program, "--strip-unneeded", *libraries], folder)


def size(folder: Path) -> int:
    """Return the bytes of all files of an environment, without those that it links to."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def bytecode(folder: Path) -> int:
    """Return the bytes of an environment's bytecode."""
    return sum(path.lstat().st_size for path in folder.rglob("*.pyc"))


def size_report(folder: Path) -> str:
    """Return the size as a sentence: the current one, and that with the installer that most environments have."""
    installer = sum(file.size or 0 for file in distribution("pip").files or ())
    all_, kept = size(folder), bytecode(folder)
    return (
        f"{all_ / 1e6:.1f} MB of at most {SIZE_MAX / 1e6:.0f}, {kept / 1e6:.1f} of them bytecode; "
        f"it would be {(all_ + installer) / 1e6:.1f} MB with pip"
    )


def _done(command: Sequence[str], folder: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in _KEPT_OUT}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").rpartition("\n")[2]
        raise OperatorError(f"{' '.join(command[1:3])}: {last}")


def main(words: Sequence[str]) -> None:
    """Build the environment in the named folder, and print its size."""
    try:
        name, *extras = words
        (extra,) = extras or [""]
        with used():
            build(Path(name).absolute(), extra=extra)
    except ValueError:
        sys.exit("usage: python -m clarion_lab.environment FOLDER [EXTRA]")
    except OperatorError as error:
        sys.exit(str(error))
    sys.stdout.write(f"{name}: {size_report(Path(name))}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
