"""Every target of the Makefile that runs code checks first whose code that is; what measures or starts processes holds the lock."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
RULE = re.compile(r"^([a-z0-9-]+):(?!=)([^#\n]*).*\n((?:\t.*\n)*)", re.MULTILINE)
RULES = {m[1]: (m[2].split(), m[3]) for m in RULE.finditer((ROOT / "Makefile").read_text(encoding="utf-8")) if m[3]}
CODE = re.compile(r"\$\((?:BIN|CLARION|MAKE)\)")
ALONE = {
    "bench-centrifugo", "test", "test-crash", "test-slow", "test-e2e", "test-memory", "test-e2e-postgres", "test-peers", "test-engines", "engines",
    "nightly",
}  # fmt: skip
BY_THEMSELVES = {"bench", "chaos", "demo"}
"""The rigs take the lock, so that it is held too when they are called without make."""


def test_what_runs_code_checks_whose_it_is():
    run = {name for name, (_, recipe) in RULES.items() if CODE.search(recipe)} - {"own", "test"}
    assert len(run) > 15
    assert {name for name in run if "own" not in RULES[name][0]} == set()
    assert RULES["test"][0] == ["test-fast"]


def test_what_measures_or_starts_processes_has_the_machine_to_itself():
    assert {name for name, (_, recipe) in RULES.items() if "$(ALONE)" in recipe} == ALONE
    assert RULES.keys() >= BY_THEMSELVES | {"test-fast"}


def test_parts_of_a_run_are_inside_of_its_lock():
    (whole,) = RULES["test"][1].splitlines()
    assert whole.startswith("\t$(ALONE) $(MAKE) ")
    assert whole.split()[3:] == ["test-crash", "test-engines", "test-e2e", "test-peers"]
