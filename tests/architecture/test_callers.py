"""What a caller may do is asked of its permissions: the kind of an actor is for the gate and the audit alone, and what a kind
of credential permits stands in one place."""

import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "clarion"
KIND = re.compile(r"\bActorKind\b|\bactor\.kind\b")
ASKS = {
    "domain/actor.py",
    "identity/callers.py",
    "ways_in/http/gate.py",
    "stores/sql/audit_rows.py",
    "control/audit/routes.py",
    "testing/api.py",
}
MAKES = {"identity/callers.py", "ways_in/http/gate.py", "testing/api.py"}
"""Of these, the gate makes the caller of requests without a credential."""


@pytest.mark.parametrize(("pattern", "known"), [(KIND, ASKS), (re.compile(r"\bCaller\("), MAKES | {"ports/web.py"})])
def test_only_those_who_may_ask_for_a_kind_or_make_a_caller_do(pattern, known):
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if pattern.search(path.read_text(encoding="utf-8"))
    }
    assert found == known
