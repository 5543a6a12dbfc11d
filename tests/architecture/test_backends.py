"""Stores on disk are opened by the fixtures of the contract suites, so that a test runs over every backend or says why not."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
OPENS = re.compile(r"\b(Sqlite[A-Z]\w*|open_journal)\(")
FIXTURES = {"contract/backends.py", "contract/journals.py", "contract/states.py"}
ABOUT_SQLITE = "unit/stores/"


def test_only_fixtures_and_tests_of_files_open_a_store_on_disk():
    others = set(TESTS.rglob("*.py")) - {Path(__file__)}
    found = {path.relative_to(TESTS).as_posix() for path in others if OPENS.search(path.read_text(encoding="utf-8"))}
    strays = {path for path in found - FIXTURES if not path.startswith(ABOUT_SQLITE)}
    assert not strays, f"opened outside of the fixtures: {sorted(strays)}"
    assert found >= FIXTURES


def test_what_opens_a_store_is_found():
    assert OPENS.search("store = SqliteQuotas(tmp_path)") and OPENS.search("open_journal(folder, clock, 1)")
    assert not OPENS.search("journal: SqliteJournal") and not OPENS.search("open_journals(1)")
