import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import clarion
from clarion_lab.load.product import Member, Product
from clarion_lab.load.programs import RunError

HERE = Path(clarion.__file__).parents[2]


def made(root: Path, says: str) -> Product:
    """Make a checkout below `root` and a witness folder in which process 1 reports what it imported."""
    (root / "src" / "clarion").mkdir(parents=True)
    product = Product(root, root / "witnesses")
    (root / "witnesses" / "1").write_text(says)
    return product


def test_a_process_that_runs_the_checkout_is_fine_and_so_is_its_copy(tmp_path: Path) -> None:
    product = made(tmp_path, f"{tmp_path}/src/clarion/__init__.py")
    up = Member(1, 0, ("python", "up"), copied=False)
    api = Member(2, 1, ("clarion", "api"), copied=True)
    product.check([up, api, Member(3, 2, ("clarion", "api"), copied=True)])


def test_a_process_that_runs_other_code_is_reported(tmp_path: Path) -> None:
    product = made(tmp_path, "/elsewhere/src/clarion/__init__.py")
    with pytest.raises(RunError, match="runs /elsewhere"):
        product.check([Member(1, 0, ("python", "up"), copied=False)])


def test_a_program_without_a_report_is_reported(tmp_path: Path) -> None:
    product = made(tmp_path, f"{tmp_path}/src/clarion/__init__.py")
    with pytest.raises(RunError, match="did not report"):
        up = Member(1, 0, ("python", "up"), copied=False)
        product.check([up, Member(2, 1, ("python", "worker"), copied=False)])


@pytest.mark.skipif(sys.platform != "linux", reason="outside Linux a copy is identified by its command alone")
def test_a_copy_of_a_real_process_is_distinguished_from_a_program_it_starts(tmp_path: Path) -> None:
    code = (
        "import os, sys, time; copy = os.fork() or time.sleep(60);"
        "other = os.posix_spawn(sys.executable, [sys.executable, '-S', '-c', 'input()'], {});"
        "print(copy, other, flush=True); input(); os.kill(copy, 9); os.kill(other, 9)"
    )
    product = Product(HERE, tmp_path / "witnesses")
    environment = dict(os.environ) | product.environment
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        copy, other = map(int, process.stdout.readline().split())
        product.verify([psutil.Process(process.pid), psutil.Process(copy)])
        with pytest.raises(RunError, match=f"process {other} .* did not report"):
            product.verify([psutil.Process(process.pid), psutil.Process(other)])
        process.communicate(b"\n")


def test_a_real_process_imports_its_checkout_and_not_the_installed_package(tmp_path: Path) -> None:
    root = tmp_path / "other"
    (root / "src" / "clarion").mkdir(parents=True)
    (root / "src" / "clarion" / "__init__.py").write_text("")
    product = Product(root, tmp_path / "witnesses")
    code = "import clarion; print(clarion.__file__, flush=True); input()"
    command = [sys.executable, "-c", code]
    environment = dict(os.environ) | product.environment
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        result = process.stdout.readline().decode().strip()
        product.verify([psutil.Process(process.pid)])
        with pytest.raises(RunError, match="did not report"):
            Product(HERE, tmp_path / "others").verify([psutil.Process(process.pid)])
        process.communicate(b"\n")
    assert result == str(root / "src" / "clarion" / "__init__.py")
