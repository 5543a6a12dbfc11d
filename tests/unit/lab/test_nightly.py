"""The night: its parts hold every step once, all that decides is in it, and its table says what ran and what fell."""

import re
from pathlib import Path

import pytest

from clarion_lab import nightly

MAKEFILE = (Path(__file__).parents[3] / "Makefile").read_text(encoding="utf-8")


def test_the_parts_together_are_the_night():
    parts = [nightly.chosen(f"{number}/{nightly.PARTS}") for number in range(1, nightly.PARTS + 1)]
    assert [step for part in parts for step in part] == nightly.chosen("")
    assert all(parts)
    assert len({step.name for step in nightly.STEPS}) == len(nightly.STEPS)


@pytest.mark.parametrize("part", ["0/3", "4/3", "1/2", "one", "1", "-1/3"])
def test_a_part_that_there_is_not_is_refused(part):
    with pytest.raises(ValueError, match="the night has 3"):
        nightly.chosen(part)


def test_all_test_targets_are_in_it():
    targets = set(re.findall(r"^(test-[a-z0-9-]+):", MAKEFILE, re.MULTILINE))
    whole = re.search(r"^test: .*\n\t.*$", MAKEFILE, re.MULTILINE)
    assert whole is not None
    decides = set(re.findall(r"test-[a-z0-9-]+", whole[0]))
    named = {step.words[0] for step in nightly.STEPS}
    assert "test" in named
    assert targets - decides - named == set()


def test_counts_and_names_of_a_run_are_read():
    lines = [
        "tests/e2e/test_inbox.py ..F\n",
        "FAILED tests/e2e/test_inbox.py::test_late - AssertionError\n",
        "===== 1 failed, 20 passed, 3 skipped in 12.30s =====\n",
        "1461 passed, 2 errors in 61.41s (0:01:01)\n",
        "ERROR tests/x.py::test_y\n",
        "bench: 3 passed of 4\n",
    ]
    counts, fallen = nightly.read(lines)
    assert counts == {"failed": 1, "passed": 1481, "skipped": 3, "errors": 2}
    assert fallen == ["FAILED tests/e2e/test_inbox.py::test_late - AssertionError", "ERROR tests/x.py::test_y"]


def test_a_step_that_fails_is_in_the_table_and_the_exit_code(monkeypatch, capsys, tmp_path):
    (tmp_path / "Makefile").write_text(
        "good:\n\t@echo '== 3 passed in 0.10s =='\nbad:\n\t@echo 'FAILED a::b'; exit 1\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(nightly, "STEPS", (nightly.Step(1, ("good",), {"SHOWN": "1"}), nightly.Step(1, ("bad",))))
    assert nightly.main([]) == 1
    table = capsys.readouterr().out
    assert re.search(r"SHOWN=1 good\W+\d+\W+3 passed", table)
    assert re.search(r"bad\W+\d+\W+FAILED a::b", table)
    assert "1 steps" in table
