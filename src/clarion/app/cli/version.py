"""`clarion --version`: the version, and the commit where it is known.

A checkout asks git. A package carries what `hatch_build.py`, which runs this file too, wrote into it.
"""

import shutil
import subprocess
from pathlib import Path
from typing import Final

COMMIT_FILE: Final = "commit.txt"
"""In the package, of a distribution that was built from a checkout."""
_DESCRIBE: Final = ("describe", "--always", "--exclude=*", "--abbrev=7", "--dirty=+changes")
_TIMEOUT_S: Final = 5.0


def version() -> str:
    """Return the line that is printed, such as `clarion 0.1.0 (8076f7d)`; `+changes` when the checkout has changes."""
    import clarion

    package = Path(clarion.__file__).resolve().parent
    commit = _baked(package) or commit_of(package.parents[1])
    return f"clarion {clarion.__version__}" + (f" ({commit})" if commit else "")


def commit_of(checkout: Path) -> str:
    """Return the short hash of a checkout's commit, an empty text where there is no git or the folder is none of its own:
    an environment may lie in another project's checkout."""
    program = shutil.which("git")
    if program is None or not (checkout / ".git").exists():
        return ""
    command = [program, "-C", str(checkout), *_DESCRIBE]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _baked(package: Path) -> str:
    try:
        return (package / COMMIT_FILE).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
