"""The import graph has no cycle and no upward import, and the diagram on the page is current."""

import re
from functools import cache
from pathlib import Path

import pytest

from tests.architecture import graph

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")


@cache
def imports():
    return graph.graph_of(graph.modules(ROOT / "src" / "clarion"))


@cache
def imports_of_the_rigs():
    product, rigs = (graph.modules(ROOT / "src" / package) for package in ("clarion", "clarion_lab"))
    return graph.graph_of(product | rigs)


def test_there_is_no_circle():
    assert graph.circles(imports_of_the_rigs()) == []


def test_nothing_leads_upward():
    assert graph.upward(imports()) == []


def test_the_drawing_is_true():
    drawn = re.search(r"```mermaid\n(flowchart TD\n.*?)\n```", PAGE, re.S)
    assert drawn is not None, f"draw it in docs/ARCHITECTURE.md:\n```mermaid\n{graph.drawing(imports())}\n```"
    assert drawn[1] == graph.drawing(imports()), f"draw it again:\n{graph.drawing(imports())}"


def test_a_circle_is_found_however_long():
    looped = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set(), "e": {"a"}}
    assert graph.circles(looped) == [["a", "b", "c"]]


def test_upward_and_sideways_imports_are_found():
    planted = {
        "clarion.ports.x": {"clarion.journal.y"},
        "clarion.plan.x": {"clarion.deliver.y", "clarion.domain.z"},
        "clarion.app.x": {"clarion.plan.y"},
    }
    assert graph.upward(planted) == [
        "clarion.ports.x imports clarion.journal.y",
        "clarion.plan.x imports clarion.deliver.y",
    ]


@pytest.mark.parametrize(
    "source",
    [
        "import p.a",
        "from p import a",
        "from p.a import name",
        "from . import a",
        "from .a import name",
        "try:\n    import p.a\nexcept ImportError:\n    pass",
        "try:\n    pass\nexcept ImportError:\n    import p.a",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import p.a",
        "if False:\n    pass\nelse:\n    import p.a",
        "with x:\n    import p.a",
        "for x in y:\n    import p.a",
        "while x:\n    import p.a",
        "match x:\n    case 1:\n        import p.a",
        "def f():\n    import p.a",
        "async def f():\n    import p.a",
        "class C:\n    def f(self):\n        from p.a import name",
        "import importlib\nimportlib.import_module('p.a')",
        "from importlib import import_module\ndef f():\n    return import_module('p.a').name",
    ],
)
def test_imports_are_read_in_every_form(source):
    assert graph.graph_of({"p": "", "p.a": "", "p.b": source}) == {"p": set(), "p.a": set(), "p.b": {"p.a"}}


def test_a_package_is_what_its_relative_imports_start_from():
    sources = {
        "p": "from .a import name",
        "p.a": "",
        "p.q": "from ..a import name",
        "p.q.b": "from . import c",
        "p.q.c": "",
    }
    assert graph.graph_of(sources) == {"p": {"p.a"}, "p.a": set(), "p.q": {"p.a"}, "p.q.b": {"p.q.c"}, "p.q.c": set()}
