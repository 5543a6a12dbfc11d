"""Everything that pages name exists: commands, targets, settings, bounds, metrics, files, and failure models of backends."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from clarion.app.cli.main import COMMANDS
from clarion.app.config.loading import ENV_OF_THE_CLI, ENV_PREFIX, REFERENCE_VARIABLES, defaults_text
from clarion.domain import limits, limits_content, limits_delivery, limits_postgres, limits_processes
from clarion.ops.metrics import COUNTERS
from clarion.stores.memory.journal import MemoryJournal
from clarion.stores.postgres.journal import PostgresJournal
from clarion.stores.sqlite.journal import SqliteJournal
from clarion_lab.machine.engines import NEWEST_VARIABLE, REQUIRED_VARIABLE, SYSTEM_VARIABLE
from tests.docs.walk import API_PORT, ROOT

SOURCE = ROOT / "src" / "clarion"
ARCHITECTURE = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
OPERATE = (ROOT / "docs" / "howto" / "operate.md").read_text(encoding="utf-8")
# It names files that the reader creates.
OWN_FILES = {"add-a-provider.md"}
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def code_of(page: Path) -> Iterator[str]:
    """Yield the blocks and spans of code on a page."""
    text = page.read_text(encoding="utf-8")
    yield from re.findall(r"^```\w+.*?\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))


def found(page: Path, pattern: str) -> set[str]:
    return {match for code in code_of(page) for match in re.findall(pattern, code, re.MULTILINE)}


def settings() -> Iterator[str]:
    def walk(tree, prefix):
        for name, value in tree.items():
            yield prefix + name
            if isinstance(value, dict):
                yield from walk(value, f"{prefix}{name}.")

    return walk(tomllib.loads(defaults_text()), "")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
class TestEveryPage:
    def test_names_commands_there_are(self, page):
        assert found(page, r"(?:^|bin/)clarion ([a-z][a-z-]*)") - COMMANDS.keys() == set()

    def test_names_targets_there_are(self, page):
        targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        assert found(page, r"^make ([a-z0-9-]+)") - targets == set()

    def test_names_variables_there_are(self, page):
        known = (
            {ENV_PREFIX + path.replace(".", "_").upper() for path in settings()}
            | ENV_OF_THE_CLI
            | REFERENCE_VARIABLES.keys()
            | {SYSTEM_VARIABLE, NEWEST_VARIABLE, REQUIRED_VARIABLE}
        )
        assert found(page, r"\bCLARION_[A-Z_]+\b") - known == set()

    def test_names_settings_there_are(self, page):
        sections = "|".join(tomllib.loads(defaults_text()).keys() - {"data_dir", "operator_key", "master_key"})
        assert found(page, rf"^((?:{sections})\.(?!db\b)[a-z_.]+)(?: = .*)?$") - set(settings()) == set()

    def test_names_files_there_are(self, page):
        named = found(page, r"^((?:[a-z0-9_]+/)+[a-zA-Z0-9_*.-]+\.(?:py|toml|md|db))$")
        gone = {name for name in named if not any(list(root.glob(name)) for root in (ROOT, SOURCE, SOURCE.parent))}
        assert page.name in OWN_FILES or gone == set()


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_links_into_pages_meet_a_heading():
    for page in PAGES:
        links = re.findall(r"\]\(([^)#\s:]*)#([^)\s]+)\)", page.read_text(encoding="utf-8"))
        dead = [f"{path}#{name}" for path, name in links if name not in anchors(page.parent / path if path else page)]
        assert not dead, f"{page.name}: {dead}"


def test_the_address_on_the_pages_is_the_default():
    defaults = tomllib.loads(defaults_text())
    assert (defaults["api"]["host"], defaults["api"]["port"]) == ("127.0.0.1", int(API_PORT))
    assert Path(defaults["data_dir"]) == Path("clarion-data")


def test_bounds_are_as_the_architecture_page_says():
    rows = re.findall(r"^\| `([A-Z_]+)` \| ([\d,]+) \|", ARCHITECTURE, re.MULTILINE)
    assert rows
    used = {
        name
        for path in SOURCE.rglob("*.py")
        if not path.name.startswith("limits")
        for name in re.findall(r"\b[A-Z][A-Z_]+\b", path.read_text(encoding="utf-8"))
    }
    for name, value in rows:
        modules = (limits, limits_content, limits_delivery, limits_postgres, limits_processes)
        module = next(one for one in modules if hasattr(one, name))
        assert getattr(module, name) == int(value.replace(",", "")), name
        assert name in used, f"{name} bounds nothing"


@pytest.mark.parametrize("journal", [SqliteJournal, MemoryJournal, PostgresJournal])
def test_failure_models_are_quoted_word_for_word(journal):
    traits = journal.store_traits
    kept = (traits.survives_process_kill, traits.survives_power_loss)
    answers = ["yes" if yes else "no" for yes in kept]
    assert f"| {' | '.join(answers)} | {traits.failure_model} |" in ARCHITECTURE


def test_metrics_are_all_on_the_operators_page():
    named = set(re.findall(r"`clarion_([a-z_]+)_total\b", OPERATE)) - {"stage_cpu_seconds"}
    assert named == COUNTERS.keys()
