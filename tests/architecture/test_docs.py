"""The pages agree with the project: the folder map equals the tree, and every relative link has a target."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "clarion"
PACKAGES = (SOURCE, ROOT / "src" / "clarion_lab")
ARCHITECTURE = ROOT / "docs" / "ARCHITECTURE.md"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
ROW = re.compile(r"^\| `([a-z0-9_/]+)/` \|", re.M)
CODE = re.compile(r"`[^`\n]*`(?!\])")
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")


def name_of(folder: Path) -> str:
    """Return the name of a folder in the map: relative to `clarion`, or to the folder that contains it."""
    return folder.relative_to(SOURCE if folder.is_relative_to(SOURCE) else SOURCE.parent).as_posix()


def test_the_folder_map_equals_the_tree():
    text = ARCHITECTURE.read_text(encoding="utf-8").split("## Folder map", 1)[1].split("\n## ", 1)[0]
    mapped = ROW.findall(text)
    tree = {name_of(p.parent) for package in PACKAGES for p in package.rglob("__init__.py")} - {"."}
    missing = [f"add to the folder map in docs/ARCHITECTURE.md: | `{f}/` | what it is for |" for f in tree - {*mapped}]
    gone = [f"remove from the folder map in docs/ARCHITECTURE.md: `{f}/`" for f in {*mapped} - tree]
    assert not missing + gone, "\n" + "\n".join(sorted(missing + gone))
    assert len(mapped) == len(set(mapped)), "the map lists a folder twice"


def test_every_folder_with_code_is_a_package():
    # Alembic loads its scripts by path, so migrations are the one kind of code that needs no package.
    folders = {p.parent for package in PACKAGES for p in package.rglob("*.py") if "migrations" not in p.parts}
    bare = sorted(f.relative_to(ROOT).as_posix() for f in folders if not (f / "__init__.py").exists())
    assert not bare, f"add __init__.py with a docstring: {bare}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_relative_links_lead_somewhere(page: Path):
    text = CODE.sub("", page.read_text(encoding="utf-8"))
    links = [link for link in LINK.findall(text) if "://" not in link]
    dead = [link for link in links if not link.startswith("mailto:") and not (page.parent / link).exists()]
    assert not dead, f"dead links: {dead}"
