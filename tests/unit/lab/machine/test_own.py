"""A checkout that would run the code of another one is refused in a sentence: by make, and by pytest when it is called directly."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from clarion_lab.machine import own

ROOT = Path(__file__).parents[4]
TIMEOUT_S = 60
SCRIPT = Path("src", "clarion_lab", "machine", "own.py")


@pytest.fixture
def planted(tmp_path):
    """Return a checkout whose `.venv` is that of this one."""
    checkout = (tmp_path / "planted").resolve()
    for path in (SCRIPT, Path("Makefile"), Path("tests", "conftest.py"), Path("pyproject.toml"),
                 Path("lab", "pyproject.toml"), Path("requirements-dev.lock")):  # fmt: skip
        (checkout / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, checkout / path)
    for name in own.PACKAGES:
        (checkout / "src" / name).mkdir(exist_ok=True)
        (checkout / "src" / name / "__init__.py").touch()
    (checkout / ".venv").symlink_to(sys.prefix)
    return checkout


def ran(*command, cwd, **environment):
    given = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | environment
    return subprocess.run(
        command, cwd=cwd, env=given, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )  # fmt: skip


def sentence(planted):
    found = ROOT.resolve() / "src" / "clarion"
    return (
        f"This is {planted}, but clarion would be imported from {found}: "
        f"remove {planted / '.venv'} and run `make setup`.\n"
    )


def test_this_checkout_runs_its_own_code():
    assert own.foreign() is None
    assert ran(sys.executable, ROOT / SCRIPT, cwd=ROOT).returncode == 0


def test_the_environment_of_another_checkout_is_refused(planted):
    done = ran(sys.executable, planted / SCRIPT, cwd=planted)
    assert (done.returncode, done.stderr) == (1, sentence(planted))


@pytest.mark.parametrize("name", own.PACKAGES)
def test_a_path_to_another_checkout_is_refused(planted, name):
    shutil.rmtree(planted / "src" / next(other for other in own.PACKAGES if other != name))
    done = ran(sys.executable, ROOT / SCRIPT, cwd=ROOT, PYTHONPATH=str(planted / "src"))
    assert done.stderr == (
        f"This is {ROOT.resolve()}, but {name} would be imported from {planted / 'src' / name}: unset PYTHONPATH.\n"
    )
    assert done.returncode == 1


def test_an_environment_without_the_code_is_refused(monkeypatch):
    monkeypatch.setattr(own.importlib.util, "find_spec", lambda name: None)
    assert str(own.foreign()).startswith(f"{sys.prefix} has no clarion: remove ")


@pytest.mark.parametrize(
    "lines",
    [
        "#!{}/bin/python\n",
        "#!/bin/sh\n'''exec' {}/bin/python \"$0\" \"$@\"\n",
        "#!/bin/sh\n'''exec' \"{}/bin/python\" \"$0\"\n",
    ],
)
def test_a_program_of_a_copied_environment_is_refused(tmp_path, lines):
    program = tmp_path / "new" / "bin" / "pytest"
    program.parent.mkdir(parents=True)
    program.write_text(lines.format(tmp_path / "new"))
    assert own.foreign_program(tmp_path / "new") is None
    program.write_text(lines.format(tmp_path / "old"))
    assert f"{program} runs {tmp_path}/old/bin/python: remove " in str(own.foreign_program(tmp_path / "new"))


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
@pytest.mark.parametrize("target", ["lint", "types", "contracts", "setup"])
def test_make_refuses(planted, target):
    prepared = Path(sys.prefix, ".setup-done")
    if not prepared.exists():
        pytest.skip("this environment was not made by make")
    os.utime(planted / "requirements-dev.lock", (0, 0))
    os.utime(planted / "pyproject.toml", (0, 0))
    os.utime(planted / "lab" / "pyproject.toml", (0, 0))
    done = ran("make", target, cwd=planted, MAKEFLAGS="", MAKELEVEL="0")
    said, _, error = done.stderr.partition("make: ")
    assert said == sentence(planted)
    assert error.count("\n") == 1
    assert (done.returncode, done.stdout) == (2, "")


def test_pytest_refuses(planted):
    done = ran(sys.executable, "-m", "pytest", "-n0", "-p", "no:cacheprovider", cwd=planted)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", sentence(planted))
