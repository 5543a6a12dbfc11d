"""The threat model and the ASVS checklist are whole, and all evidence that they name exists."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.docs.walk import ROOT

DOCS = ROOT / "docs"
CHECKLIST = DOCS / "asvs.md"
THREAT_MODEL = DOCS / "SECURITY.md"
IDS = (Path(__file__).parent / "asvs_ids.txt").read_text(encoding="utf-8").split()
"""The requirements of OWASP ASVS 5.0.0 of levels 1 and 2, in their order."""
YES, PARTLY, NO, NOT_APPLICABLE = "yes", "partly", "no", "not applicable"
VERDICTS = {YES, PARTLY, NO, NOT_APPLICABLE}
ROW = re.compile(r"^\| (V\d[^|]*?) \| ([^|]*?) \| ([^|]*?) \| ([^|]*?) ?\|$", re.MULTILINE)
NAMED = re.compile(r"`([\w/.-]+\.(?:py|toml|md|txt))(?:::(\w+))?`")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#[^)\s]*)?\)")
BOUNDARY = re.compile(r"^### \d+\. (.+)$", re.MULTILINE)
TESTS = re.compile(r"^- \*\*Tests:\*\*(.*?)^- ", re.MULTILINE | re.DOTALL)


class Line(NamedTuple):
    """A requirement in the checklist."""

    id: str
    subject: str
    verdict: str
    evidence: str


@cache
def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def lines() -> list[Line]:
    return [Line(*row) for row in ROW.findall(text_of(CHECKLIST))]


def missing(text: str) -> Iterator[str]:
    """Yield the files, and the tests in them, that a text names and that do not exist."""
    for path, name in NAMED.findall(text):
        if not (ROOT / path).is_file():
            yield path
        elif name and re.search(rf"^ *(?:async )?def {name}\(", text_of(ROOT / path), re.MULTILINE) is None:
            yield f"{path}::{name}"
    yield from (path for path in LINK.findall(text) if not (DOCS / path).exists())


def part_on_boundaries() -> str:
    parts = re.split(r"^## ", text_of(THREAT_MODEL), flags=re.MULTILINE)
    return next(text for text in parts if text.startswith("Boundaries"))


def boundaries() -> dict[str, str]:
    """Return the text below the heading of each boundary."""
    _, *found = BOUNDARY.split(part_on_boundaries())
    return dict(zip(found[::2], found[1::2], strict=True))


def test_every_requirement_has_one_line():
    assert [line.id for line in lines()] == IDS
    assert len(set(IDS)) == 253


def test_every_row_of_a_table_of_requirements_is_read():
    assert text_of(CHECKLIST).count("\n| V") == len(lines())


def faults(line: Line) -> Iterator[str]:
    """Yield what is wrong with a line."""
    if line.verdict not in VERDICTS:
        yield f"{line.verdict!r} is no verdict"
    if not line.subject or not line.evidence:
        yield "something is empty"
    if line.verdict == YES and not NAMED.search(line.evidence) and not LINK.search(line.evidence):
        yield "a yes names a test, a setting or a page"
    yield from (f"there is no {name}" for name in missing(line.evidence))


def test_a_line_has_a_subject_a_verdict_and_what_follows_from_it():
    found = {line.id: list(faults(line)) for line in lines()}
    assert {id_: wrong for id_, wrong in found.items() if wrong} == {}


def test_the_threat_model_names_nothing_that_does_not_exist():
    assert list(missing(text_of(THREAT_MODEL))) == []


def test_every_heading_of_a_boundary_is_read():
    assert len(boundaries()) == part_on_boundaries().count("\n### ") > 0


@pytest.mark.parametrize("name", boundaries())
def test_a_boundary_names_what_is_protected_the_tests_and_what_is_not_defended(name):
    text = boundaries()[name]
    for part in ("Protected", "Attackers", "What stops them", "Tests", "Not defended"):
        assert f"- **{part}:**" in text
    (tests,) = TESTS.findall(text)
    assert NAMED.findall(tests)
    assert all(path.startswith("tests/") for path, _ in NAMED.findall(tests))


def test_what_does_not_exist_is_found():
    good = "`tests/docs/walk.py::walk`, `pyproject.toml`, [glossary](GLOSSARY.md#what-happens), `/docs`, `egress.allow_http`"
    assert list(missing(good)) == []
    gone = ["tests/docs/none.py", "tests/docs/walk.py::test_none", "none.md"]
    assert list(missing("`tests/docs/none.py`, `tests/docs/walk.py::test_none`, [x](none.md#y)")) == gone


@pytest.mark.parametrize(
    "line",
    [
        Line("V1.1.1", "a", "maybe", "b"),
        Line("V1.1.1", "a", "no", ""),
        Line("V1.1.1", "", "no", "a"),
        Line("V1.1.1", "a", "yes", "by review"),
        Line("V1.1.1", "a", "partly", "`tests/docs/none.py`"),
    ],
)
def test_a_faulty_line_is_found(line):
    assert len(list(faults(line))) == 1
