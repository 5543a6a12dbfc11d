"""Files and functions stay small, have clear names and docstrings. Each check also has a bad example that it must find."""

from pathlib import Path

import pytest

from tests.architecture import tidy
from tests.architecture.allowed_sizes import ALLOWED_SIZES

ROOT = Path(__file__).parents[2]
SOURCES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in sorted((ROOT / "src").rglob("*.py"))
}


def complain(complaints: list[str]) -> None:
    assert not complaints, "\n" + "\n".join(complaints)


def test_files_and_functions_stay_small():
    found = {name: (lines, bound) for p, s in SOURCES.items() for name, lines, bound in tidy.sizes(p, s)}
    complain(list(tidy.oversize(found, ALLOWED_SIZES)))


def test_every_module_opens_with_a_docstring():
    complain([c for path, source in SOURCES.items() for c in tidy.docstring(path, source)])


def test_no_wait_loses_a_cancellation():
    complain([c for path, source in SOURCES.items() for c in tidy.swallowing_wait(path, source)])


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import asyncio\n\nasync def f(e):\n    await asyncio.wait_for(e.wait(), 1)\n", 1),
        ("import asyncio\n\nasync def f(e):\n    async with asyncio.timeout(1):\n        await e.wait()\n", 0),
    ],
)
def test_a_wait_that_may_lose_a_cancellation_is_found(source: str, found: int):
    assert len(list(tidy.swallowing_wait("a.py", source))) == found


def test_no_file_is_a_drawer():
    complain([c for path in SOURCES for c in tidy.drawer(path)])


def test_only_workers_routes_and_sockets_wait():
    complain([c for path, source in SOURCES.items() for c in tidy.waiting(path, source)])


def test_sizes_count_files_methods_and_nested_functions():
    source = "class A:\n    def m(self):\n        def inner():\n            pass\n        return inner\n"
    assert [(name, lines) for name, lines, _ in tidy.sizes("a.py", source)] == [
        ("a.py", 5),
        ("a.py::A::m", 4),
        ("a.py::A::m::inner", 2),
    ]


@pytest.mark.parametrize(
    ("lines", "allowed", "says"),
    [
        (401, {}, "at most 400"),
        (410, {"a.py": 405}, "grew"),
        (403, {"a.py": 405}, "shrank"),
        (400, {"a.py": 405}, "fits now"),
    ],
)
def test_the_ratchet_only_turns_one_way(lines: int, allowed: dict[str, int], says: str):
    (complaint,) = tidy.oversize({"a.py": (lines, 400)}, allowed)
    assert says in complaint


def test_the_ratchet_accepts_what_fits_and_what_was_let_in():
    assert not list(tidy.oversize({"a.py": (400, 400), "b.py": (420, 400)}, {"b.py": 420}))


def test_an_entry_for_a_missing_file_is_reported():
    (complaint,) = tidy.oversize({}, {"a.py": 320})
    assert "is gone" in complaint


@pytest.mark.parametrize("name", ["utils.py", "http_helpers.py", "common/x.py", "manager.py"])
def test_drawers_are_caught(name: str):
    assert list(tidy.drawer(f"src/clarion/ops/{name}"))


def test_a_word_that_contains_a_drawer_is_fine():
    assert not list(tidy.drawer("src/clarion/stores/sqlite/database.py"))


@pytest.mark.parametrize(
    ("path", "caught"),
    [
        ("plan/rules/decide.py", True),
        ("plan/rules/worker.py", True),
        ("plan/facts.py", True),
        ("domain/ids.py", True),
        ("plan/worker.py", False),
        ("plan/gather.py", False),
        ("plan/workflow/gather_cells.py", False),
        ("accept/intake.py", False),
        ("deliver/worker_smtp.py", False),
        ("inbox/socket/hub.py", False),
        ("outbound/net/http.py", False),
    ],
)
def test_waiting_is_caught_where_it_does_not_belong(path: str, caught: bool):
    complaints = list(tidy.waiting(f"src/clarion/{path}", "async def f():\n    pass\n"))
    assert bool(complaints) is caught
