"""`clarion --version`: the version, and the commit of the checkout or of the package, left out where it is not known."""

import shutil
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import clarion
from clarion.app.cli import main as cli
from clarion.app.cli import version

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")


def git(folder, *words):
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    done = subprocess.run(["git", "-C", folder, *identity, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    """Return a checkout with one commit."""
    git(tmp_path, "init", "--quiet")
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "--quiet", "--message", "First")
    git(tmp_path, "tag", "v9")
    return tmp_path


def test_the_option_prints_one_line(monkeypatch):
    monkeypatch.setattr(version, "commit_of", lambda checkout: "8076f7d")
    done = CliRunner().invoke(cli.app, ["--version"])
    assert (done.exit_code, done.output) == (0, f"clarion {clarion.__version__} (8076f7d)\n")


def test_an_unknown_commit_is_left_out(monkeypatch):
    monkeypatch.setattr(version, "commit_of", lambda checkout: "")
    assert version.version() == f"clarion {clarion.__version__}"


def test_a_package_prints_the_commit_that_it_was_built_from(monkeypatch, tmp_path):
    (tmp_path / version.COMMIT_FILE).write_text("1234567\n")
    monkeypatch.setattr(clarion, "__file__", str(tmp_path / "__init__.py"))
    assert version.version() == f"clarion {clarion.__version__} (1234567)"


@needs_git
def test_a_checkout_names_its_commit_and_whether_it_has_changes(checkout):
    commit = git(checkout, "rev-parse", "--short=7", "HEAD")
    assert version.commit_of(checkout) == commit
    (checkout / "file").write_text("two")
    assert version.commit_of(checkout) == f"{commit}+changes"


@needs_git
def test_the_checkout_of_another_project_says_nothing(checkout):
    (checkout / "lib").mkdir()
    assert version.commit_of(checkout / "lib") == ""


def test_without_git_nothing_is_known(monkeypatch, tmp_path):
    (tmp_path / ".git").mkdir()
    monkeypatch.setattr(version.shutil, "which", lambda name: None)
    assert version.commit_of(tmp_path) == ""


def test_something_that_is_no_repository_says_nothing(tmp_path):
    (tmp_path / ".git").mkdir()
    assert version.commit_of(tmp_path) == ""


def test_nothing_of_it_is_loaded_for_other_commands():
    code = "import sys\nfrom clarion.app.cli import main as cli\ntry: cli.app(['init', '--help'])\nexcept SystemExit: pass\nassert 'clarion.app.cli.processes' in sys.modules\nassert 'clarion.app.cli.version' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=30)
