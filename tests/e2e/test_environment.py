"""Clarion's wheel in an environment without the rigs: it sends the README's first notification, and stays small."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from clarion.app.cli.version import version
from clarion_lab import environment
from tests.docs.walk import ROOT, installation, walk
from tests.engines.postgres import Engine, database_of

pytestmark = [pytest.mark.e2e, pytest.mark.processes]

FIRST, AFTER = "## The first notification\n", "\n## Templates that are ready\n"
OF_THE_RIGS = ("clarion_lab", "aiosmtpd", "hpack", "psutil", "standardwebhooks")
OF_EXTRAS = ("apprise", "botocore", "hvac", "msal", "requests")


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Return the folder of an environment built from the lock file and the wheel."""
    folder = tmp_path_factory.mktemp("environment") / "alone"
    environment.build(folder)
    return folder


@pytest.fixture(autouse=True)
def nothing_from_this_checkout(monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)


@pytest.fixture
def run(alone, tmp_path):
    def run(program, *words):
        command = [alone / "bin" / program, *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    return run


@pytest.mark.waits
@pytest.mark.files  # an environment without the driver
def test_the_first_notification_of_the_readme_is_sent_and_all_of_it_stays_small(alone, tmp_path, capsys):
    page = tmp_path / "first.md"
    page.write_text((ROOT / "README.md").read_text(encoding="utf-8").partition(FIRST)[2].partition(AFTER)[0])
    with installation(tmp_path, {}, str(alone / "bin" / "python")) as system:
        walk(page, system)
    assert environment.bytecode(alone), "no command of the README ran"
    with capsys.disabled():
        print(f"\nenvironment: {environment.size_report(alone)}")  # noqa: T201 - the figure is for the reader of the run's output
    assert environment.size(alone) <= environment.SIZE_MAX


def test_neither_the_rigs_nor_their_libraries_are_there(run):
    asked = f"import importlib.util as u; print([n for n in {OF_THE_RIGS + OF_EXTRAS} if u.find_spec(n)])"
    assert run("python", "-c", asked).stdout == "[]\n"
    imported = run(
        "python",
        "-c",
        "import clarion.testing, clarion.app.processes.api, clarion.app.processes.workers, clarion.app.processes.scheduler",
    )
    assert (imported.returncode, imported.stderr) == (0, "")


def test_a_store_whose_extra_is_missing_is_one_sentence(run, monkeypatch):
    monkeypatch.setenv("CLARION_SECRETS_ALLOW", "gcp:projects/{tenant}/secrets/*")
    ended = run("clarion", "api")
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "pip install 'clarion[gcp]'" in ended.stderr


def test_without_the_extra_a_server_is_one_sentence(run, monkeypatch):
    monkeypatch.setenv("CLARION_STORE", "postgres")
    ended = run("clarion", "init")
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "make environment EXTRAS=postgres" in ended.stderr


@pytest.mark.engines
def test_with_the_extra_it_runs_on_a_server(tmp_path, monkeypatch):
    subprocess.run(
        ["make", "--no-print-directory", "environment", f"DIR={tmp_path / 'with'}", "EXTRAS=postgres"],
        cwd=ROOT, capture_output=True, check=True,
    )  # fmt: skip
    monkeypatch.setenv("CLARION_STORE", "postgres")
    monkeypatch.setenv("CLARION_POSTGRES_DSN", database_of(tmp_path, Engine.own))
    begun = subprocess.run(
        [tmp_path / "with" / "bin" / "clarion", "init"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (begun.returncode, begun.stderr) == (0, "")
    assert "Ready" in begun.stdout


@pytest.mark.parametrize(
    "words", [["demo"], ["demo", "--once"], ["bench", "push", "--n", "5"], ["chaos", "--help"], ["simulate"]]
)
def test_commands_of_the_rigs_say_in_one_sentence_how_to_get_them(run, words):
    done = run("clarion", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"clarion: 'clarion {words[0]}' comes with clarion-lab, which is not installed here; to get it, run 'make setup' in a checkout of Clarion.\n"
    )


def test_the_wheel_of_the_rigs_holds_them_and_nothing_of_the_product(tmp_path):
    built = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", tmp_path]
    subprocess.run(built, cwd=ROOT / "lab", capture_output=True, check=True)
    (wheel,) = tmp_path.glob("clarion_lab-*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    rigs = ROOT / "src" / "clarion_lab"
    assert held == {f"clarion_lab/{path.relative_to(rigs)}" for path in rigs.rglob("*.*") if path.suffix != ".pyc"}


def test_the_version_names_the_commit_that_the_wheel_was_built_from(run):
    assert run("clarion", "--version").stdout == f"{version()}\n"
    where = run("python", "-c", "import clarion; print(clarion.__file__)").stdout
    assert not Path(where).is_relative_to(ROOT)


def test_the_list_of_commands_names_what_is_missing(run):
    listed = run("clarion", "--help")
    assert listed.returncode == 0
    shown = " ".join(listed.stdout.replace("│", " ").split())
    assert shown.count("Not installed here; to get it, run 'make setup' in a checkout of Clarion") == 4
