"""The lock files pin every distribution by hash, contain no address, and satisfy pyproject.toml."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from clarion import __version__

ROOT = Path(__file__).parents[2]
LOCKS = [
    "requirements.lock",
    "requirements-dev.lock",
    "requirements-peers.lock",
    "requirements-engines.lock",
    "requirements-postgres.lock",
]
PIN = re.compile(r"^(?P<name>[a-z0-9._-]+)(\[[a-z0-9,_-]+\])?==(?P<version>\S+)")


def entries(lock: str) -> list[str]:
    """Return the logical lines of a lock file."""
    text = (ROOT / lock).read_text(encoding="utf-8").replace("\\\n", " ")
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def pins(lock: str) -> set[tuple[str, str]]:
    """Return the name and version of everything pinned."""
    return {(m["name"], m["version"]) for line in entries(lock) if (m := PIN.match(line))}


def normal(requirement: str) -> str:
    """Return the canonical name of the distribution in a requirement."""
    name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("lock", LOCKS)
def test_every_entry_is_pinned_and_hashed(lock: str):
    assert entries(lock)
    for entry in entries(lock):
        assert PIN.match(entry), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry


@pytest.mark.parametrize("lock", LOCKS)
def test_no_address_host_or_path(lock: str):
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert not re.search(r"://|--(extra-)?index-url|--find-links|--trusted-host|(^|\s)-[if] |file:|/", text, re.M)


def test_locks_hold_what_the_project_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    runtime = {normal(r) for r in project["project"]["dependencies"]}
    dev = runtime | {normal(r) for r in project["dependency-groups"]["dev"]}
    build = {normal(r) for r in project["build-system"]["requires"]}
    assert runtime <= {name for name, _ in pins("requirements.lock")}
    assert dev | build <= {name for name, _ in pins("requirements-dev.lock")}


def test_what_only_the_rigs_use_is_locked_and_not_in_production():
    rigs = tomllib.loads((ROOT / "lab" / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    theirs = {normal(r) for r in rigs} - {"clarion"}
    assert theirs
    assert theirs <= {name for name, _ in pins("requirements-dev.lock")}
    assert not theirs & {name for name, _ in pins("requirements.lock")}


def test_both_distributions_have_the_version_of_the_code():
    project, rigs = (
        tomllib.loads((ROOT / path).read_text(encoding="utf-8"))["project"]
        for path in ("pyproject.toml", "lab/pyproject.toml")
    )
    assert project["dynamic"] == ["version"]
    assert rigs["version"] == __version__
    assert f"clarion[postgres]=={__version__}" in rigs["dependencies"]


def test_the_lock_of_peers_holds_what_is_asked_for_there():
    lines = (ROOT / "requirements-peers.in").read_text(encoding="utf-8").splitlines()
    asked = {normal(line) for line in lines if line and not line.startswith("#")}
    assert asked <= {name for name, _ in pins("requirements-peers.lock")}


def test_what_runs_in_production_is_what_was_tested():
    assert pins("requirements.lock") < pins("requirements-postgres.lock") <= pins("requirements-dev.lock")


def test_the_lock_of_the_identity_provider_has_digests_and_no_address():
    text = (ROOT / "tests" / "e2e" / "oidc" / "package-lock.json").read_text(encoding="utf-8")
    packages = {name: one for name, one in json.loads(text)["packages"].items() if name}
    assert packages
    assert "://" not in text
    assert [name for name, one in packages.items() if not one["integrity"].startswith("sha512-")] == []
