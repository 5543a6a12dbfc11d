"""The checkout this code runs from, and another commit of it in a folder of its own."""

import compileall
import contextlib
import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import clarion
from clarion.domain.errors import OperatorError

LOCK_FILE: Final = "requirements-dev.lock"
HERE: Final = Path(clarion.__file__).resolve().parents[2]


def git(*words: str, root: Path = HERE) -> str:
    """Return the output of git. Raises `OperatorError` with its error message when it fails."""
    program = shutil.which("git")
    if program is None:
        raise OperatorError("Comparing commits needs git, and there is none on the path.")
    done = subprocess.run([program, "-C", str(root), *words], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise OperatorError(f"git {words[0]}: {done.stderr.strip() or 'failed'}.")
    return done.stdout.strip()


def commit_of(name: str, root: Path = HERE) -> str:
    """Return the full hash of a commit. Raises `OperatorError` when there is none."""
    try:
        return git("rev-parse", "--verify", "--end-of-options", f"{name}^{{commit}}", root=root)
    except OperatorError as error:
        raise OperatorError(f"{name!r} names no commit of {root}: {error}") from None


def is_changed() -> bool:
    """Return whether this checkout has uncommitted changes."""
    return bool(git("status", "--porcelain", "--", "src"))


@contextlib.contextmanager
def checked_out(commit: str, folder: Path, repository: Path = HERE) -> Iterator[Path]:
    """Check a commit out below a folder, with its bytecode, and remove it at the end, also after an error."""
    root = folder / "checkout"
    git("worktree", "add", "--detach", str(root), commit, root=repository)
    try:
        compiled(root)
        yield root
    finally:
        git("worktree", "remove", "--force", str(root), root=repository)


def compiled(root: Path) -> None:
    """Write the bytecode of a checkout, so that no measurement includes compilation."""
    compileall.compile_dir(root / "src", quiet=2)


def lock_differs(one: Path, other: Path) -> bool:
    """Return whether two checkouts require different dependencies."""
    return _digest(one / LOCK_FILE) != _digest(other / LOCK_FILE)


def _digest(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest() if path.exists() else b""
