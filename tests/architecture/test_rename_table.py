"""No old name of the rename table is used again where the table says it was used.

An old name that had no other meaning is searched for as a word, in code, strings, comments and pages. One that is a good name
elsewhere is searched for as the kind in the table: a definition, a member of a class, a name or a variable of certain files.
"""

import ast
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
(PAGE,) = (ROOT / "docs" / "adr").glob("*-rename-table.md")
SUFFIXES = {".py", ".md", ".toml", ".sql", ".js", ".json", ".yaml", ".yml", ".txt", ".html"}
EXEMPT = {
    "CHANGELOG.md",
    "src/clarion/domain/renamed.py",
    str(PAGE.relative_to(ROOT)),
    str(Path(__file__).relative_to(ROOT)),
}
"""Files that may contain old names: the records of the change, the checks that refuse them, and this file."""
EVERYWHERE = "everywhere"


class Row(NamedTuple):
    kind: str
    old: str
    new: str
    where: str


def rows_of(page: str) -> Iterator[Row]:
    """Yield the rows of the tables."""
    for line in page.splitlines():
        cells = [cell.strip().strip("`") for cell in line.split("|")[1:-1]]
        if cells and cells[0] in FINDERS:
            yield Row(cells[0], cells[1], cells[2], cells[3])


def texts() -> dict[str, str]:
    """Return every text of the project by its path."""
    pages = [ROOT / "Makefile", ROOT / "pyproject.toml", *ROOT.glob("*.md")]
    found = (path for folder in ("src", "lab", "docs", "tests") for path in (ROOT / folder).rglob("*"))
    paths = [*pages, *(path for path in found if path.suffix in SUFFIXES and path.is_file())]
    named = {str(path.relative_to(ROOT)): path for path in paths}
    return {name: path.read_text("utf-8", "replace") for name, path in named.items() if name not in EXEMPT}


@cache
def pattern(globs: tuple[str, ...]) -> re.Pattern[str]:
    """Return a pattern that matches the paths of globs, with `**` for any folders."""
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*"}
    words = (re.split(r"(\*\*/|\*\*|\*)", glob) for glob in globs)
    return re.compile("|".join("".join(parts.get(part, re.escape(part)) for part in glob) for glob in words))


class Tree:
    """The texts of a project, and an index of each that is built on first use."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self.files = files
        self.words = {path: frozenset(re.findall(r"\w+", text)) for path, text in files.items()}
        self.by_word: dict[str, set[str]] = defaultdict(set)
        for path, words in self.words.items():
            for word in words:
                self.by_word[word].add(path)
        self._scopes: dict[str, frozenset[str]] = {}
        self._names: dict[str, frozenset[str]] = {}
        self._parsed: dict[str, ast.Module] = {}

    def inside(self, where: str) -> frozenset[str]:
        """Return the Python files in a scope; globs behind `!` exclude files."""
        if where not in self._scopes:
            globs = where.split() or ["src/**", "tests/**"]
            inside = pattern(tuple(glob for glob in globs if not glob.startswith("!")) or ("**",))
            outside = pattern(tuple(glob[1:] for glob in globs if glob.startswith("!")))
            named = (path for path in self.files if path.endswith(".py") and inside.fullmatch(path))
            self._scopes[where] = frozenset(path for path in named if not outside.fullmatch(path))
        return self._scopes[where]

    def with_word(self, word: str, where: str) -> list[str]:
        """Return the Python files of a scope whose text contains a word."""
        return sorted(self.by_word.get(word, set()) & self.inside(where))

    def names(self, path: str) -> frozenset[str]:
        """Return the names in the code of a file: its words outside of strings and comments."""
        if path not in self._names:
            tokens = tokenize.generate_tokens(io.StringIO(self.files[path]).readline)
            self._names[path] = frozenset(token.string for token in tokens if token.type == tokenize.NAME)
        return self._names[path]

    def parsed(self, path: str) -> ast.Module:
        """Return the syntax tree of a file."""
        if path not in self._parsed:
            self._parsed[path] = ast.parse(self.files[path])
        return self._parsed[path]


def find_module(tree: Tree, row: Row, _owners: object) -> Iterator[str]:
    """Yield files at the old path, and texts that name it."""
    old = f"src/{row.old}" if row.old.startswith("clarion_lab/") else f"src/clarion/{row.old}"
    yield from (path for path in tree.files if path == old or path.startswith(f"{old}/"))
    if "/" in row.old:
        stem = row.old.removesuffix(".py").rpartition("/")[2]
        near = [path for path in tree.by_word.get(stem, ()) if row.old in tree.files[path]]
        yield from (path for path in near if re.search(rf"(?<![\w/]){re.escape(row.old)}\b", tree.files[path]))


def find_word(tree: Tree, row: Row) -> Iterable[str]:
    """Return the texts of any kind that contain a word."""
    return tree.by_word.get(row.old.rpartition(".")[2], set())


def find_definition(tree: Tree, row: Row, _owners: object) -> Iterator[str]:
    """Yield files that define a class, function or constant of that name."""
    name = re.escape(row.old)
    defined = re.compile(rf"^(?:(?:async )?def|class) {name}\b|^{name}(?::| =)", re.MULTILINE)
    yield from (path for path in tree.with_word(row.old, row.where) if defined.search(tree.files[path]))


def find_member(tree: Tree, row: Row, owners: Mapping[str, set[str]]) -> Iterator[str]:
    """Yield files of the product with a class that has a member of that name, under any name of the class."""
    classes, name = row.old.rsplit(".", 1)
    names = {new for old in classes.split(" or ") for new in (old, *owners.get(old, ()))}
    for path in tree.with_word(name, row.where):
        if path.startswith("src/") and any(f"class {one}" in tree.files[path] for one in names):
            found = (
                node for node in ast.walk(tree.parsed(path)) if isinstance(node, ast.ClassDef) and node.name in names
            )
            if any(name in members(node) for node in found):
                yield path


def members(node: ast.ClassDef) -> Iterator[str]:
    """Yield the methods and fields that a class defines."""
    for child in node.body:
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child.name
        elif isinstance(child, ast.AnnAssign) and isinstance(child.target, ast.Name):
            yield child.target.id
    for inner in ast.walk(node):
        if isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store) and ast.unparse(inner.value) == "self":
            yield inner.attr


def find_identifier(tree: Tree, row: Row, _owners: object) -> Iterator[str]:
    """Yield files whose code contains the name."""
    yield from (path for path in tree.with_word(row.old, row.where) if row.old in tree.names(path))


def find_variable(tree: Tree, row: Row, _owners: object) -> Iterator[str]:
    """Yield files with a variable or a parameter of that name."""
    name = re.escape(row.old)
    bound = re.compile(rf"(?<![\w.\"'])(?:{name}(?= *(?:=(?!=)|:|,|\)| in\b|\|))|\*{name}|(?:as|for|,) {name})\b")
    for path in tree.with_word(row.old, row.where):
        if bound.search(tree.files[path]):
            nodes = list(ast.walk(tree.parsed(path)))
            classes = (node for node in nodes if isinstance(node, ast.ClassDef))
            fields = {child.target for node in classes for child in node.body if isinstance(child, ast.AnnAssign)}
            if any(
                (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == row.old)
                or (isinstance(node, ast.arg) and node.arg == row.old)
                for node in nodes
                if node not in fields
            ):
                yield path


FINDERS = {
    "module": find_module,
    "definition": find_definition,
    "member": find_member,
    "identifier": find_identifier,
    "variable": find_variable,
}
ROWS = list(rows_of(PAGE.read_text("utf-8")))


def hits(files: Mapping[str, str], rows: Iterable[Row]) -> list[str]:
    """Return the places in texts where old names of the rows occur."""
    rows = list(rows)
    owners: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.kind == "definition" and row.old.lstrip("_")[:1].isupper():
            owners[row.old].add(row.new)
    tree, found = Tree(files), []
    for row in rows:
        places = find_word(tree, row) if row.where == EVERYWHERE else FINDERS[row.kind](tree, row, owners)
        found += [f"{path}: `{row.old}` is `{row.new}` now" for path in places]
    return sorted(set(found))


def test_no_old_name_is_back() -> None:
    assert hits(texts(), ROWS) == []


def test_every_kind_has_rows() -> None:
    assert {row.kind for row in ROWS} == set(FINDERS)
    assert sum(row.where == EVERYWHERE for row in ROWS) > len(ROWS) // 4


@pytest.mark.parametrize(
    ("path", "text", "row"),
    [
        ("src/clarion/accept/door.py", "", Row("module", "accept/door.py", "accept/context.py", "")),
        ("docs/a.md", "See `accept/door.py`.", Row("module", "accept/door.py", "accept/context.py", "")),
        ("docs/a.md", "A `Dressing` is late.", Row("definition", "Dressing", "EmailEnricher", EVERYWHERE)),
        ("src/clarion/a.py", 'say("the furniture is there")', Row("identifier", "furniture", "seed", EVERYWHERE)),
        ("src/clarion/a/b.py", "async def told(): ...", Row("definition", "told", "report", "**/a/*.py")),
        ("src/clarion/b.py", "class View:\n    told: int", Row("member", "View.told", "reported", "")),
        ("src/clarion/b.py", "class Health:\n    def told(self): ...", Row("member", "View.told", "reported", "")),
        ("tests/b.py", "call(x.take())", Row("identifier", "take", "draw", "tests/**")),
        ("src/clarion/b.py", "def call(told): ...", Row("variable", "told", "report", "")),
        ("src/clarion/b.py", "for told in all: ...", Row("variable", "told", "report", "")),
    ],
)
def test_an_old_name_is_found(path: str, text: str, row: Row) -> None:
    assert hits({path: text}, [row, Row("definition", "View", "Health", "nowhere")]), "it is back"
    assert not hits({"docs/x.md": "words", path.replace("door", "x"): "words = 1"}, [row])


def test_a_good_name_elsewhere_is_left_alone() -> None:
    files = {"src/clarion/b.py": '"""What was told."""\nview.told = 1\n\n\nclass Run:\n    told: int = 0\n'}
    assert not hits(files, [Row("variable", "told", "report", ""), Row("member", "View.told", "reported", "")])
    assert not hits(files, [Row("identifier", "told", "report", "**/c/**")])
