"""Cases of contract suites are counted per port and backend, and a case that a backend skips has a declared reason."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SUITE = """
import pytest
PORT = "letters"

@pytest.fixture(params=["memory", "sqlite"])
def store(request):
    return request.param

def test_for_all(store): pass

@pytest.mark.needs_trait("survives_process_kill")
def test_for_those_who_stay(store):
    assert store == "sqlite"

@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_by_parameter(store): pass
"""
LINES = [
    "letters        memory       2 run     1 excluded (survives_process_kill 1)",
    "letters        sqlite       3 run     0 excluded",
]


def run(folder: Path, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    suite = folder / "test_letters.py"
    suite.write_text(text)
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.contract.counting",
        "-o", "addopts=--import-mode=importlib --strict-markers -ra", f"--rootdir={ROOT}", "-c", ROOT / "pyproject.toml",
        *arguments, suite,
    ]  # fmt: skip
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "spread"])
def test_cases_are_counted_wherever_they_ran(tmp_path, workers):
    done = run(tmp_path, SUITE, *workers)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("letters")] == LINES
    assert "memory does not declare survives_process_kill" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        "\n@pytest.mark.parametrize('backend', ['sqlite'])\ndef test_for_one(backend): pass\n",
        "\ndef test_skipped_without_a_trait(store):\n    if store == 'memory':\n        pytest.skip('hard')\n",
    ],
)
def test_a_backend_with_fewer_cases_fails_the_run_unless_some_were_picked(tmp_path, more):
    done = run(tmp_path, SUITE + more)
    assert done.returncode == 1
    assert "FAILED: the backends of letters have not the same number of cases" in done.stdout
    assert run(tmp_path, SUITE + more, "-k", "test_").returncode == 0


@pytest.mark.slow
def test_a_backend_of_every_port_without_a_case_fails_the_run(tmp_path):
    done = run(tmp_path, SUITE.replace('["memory", "sqlite"]', '["sqlite"]'))
    assert done.returncode == 1
    assert "FAILED: the backends of letters have not the same number of cases" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        "\ndef test_of_no_backend(): pass\n",
        "\n@pytest.mark.parametrize('other', ['sqlite'])\ndef test_of_two(store, other): pass\n",
    ],
)
def test_a_case_that_no_one_backend_would_be_counted_for_is_a_mistake(tmp_path, more):
    done = run(tmp_path, SUITE + more)
    assert done.returncode == 4 and "its parameters do not name one backend" in done.stdout + done.stderr


@pytest.mark.slow
def test_a_trait_that_no_backend_declares_is_a_mistake(tmp_path):
    done = run(tmp_path, SUITE.replace("survives_process_kill", "flies"))
    assert done.returncode == 4 and "no backend declares flies" in done.stdout + done.stderr
