"""The import graph has no cycle and no upward import, and the diagram on the page is current."""

import re
from functools import cache
from pathlib import Path

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


def test_imports_are_read_in_every_form_but_not_for_types_alone():
    sources = {
        "p.a": "import p.b\nfrom p import c\nfrom p.d import name\n",
        "p.b": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import p.a\n",
        "p.c": "def f():\n    import p.a\n",
        "p.d": "try:\n    from p.b import x\nexcept ImportError:\n    pass\n",
        "p": "",
    }
    assert graph.graph_of(sources) == {
        "p.a": {"p.b", "p.c", "p.d"}, "p.b": set(), "p.c": set(), "p.d": {"p.b"}, "p": set(),
    }  # fmt: skip
