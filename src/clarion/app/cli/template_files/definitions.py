"""Brand, categories, partials, layouts and templates by kind and key, in the order in which they can be stored: a
definition comes after those that it refers to."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import msgspec

from clarion.content.files.folder import PARTIAL_ENDINGS, FileCategory, Files, Folder
from clarion.content.files.writing import written
from clarion.content.partials import references
from clarion.domain.errors import InvalidField
from clarion.domain.template import Brand, Engine, Layout, Partial, Source

Name = tuple[str, str]
"""Kind and key."""
Definition = Brand | FileCategory | Partial | Layout | Source
Definitions = dict[Name, Definition]
BRAND: Final[Name] = ("brand", "")


def all_of(folder: Folder) -> Definitions:
    """Return all definitions of a folder."""
    found: Definitions = {} if folder.brand is None else {BRAND: folder.brand}
    found |= {("category", key): category for key, category in folder.categories.items()}
    found |= {("partial", key): folder.partials[key] for key in _inner_first(folder.partials)}
    found |= {("layout", key): layout for key, layout in folder.layouts.items()}
    return found | {("template", key): source for key, source in folder.templates.items()}


def files_of(name: Name, definition: Definition) -> Files:
    """Return the files of one definition."""
    kind, key = name
    if isinstance(definition, Brand):
        return written(Folder(brand=definition))
    fields = {"category": "categories", "partial": "partials", "layout": "layouts", "template": "templates"}
    return written(Folder(**cast(dict[str, Any], {fields[kind]: {key: definition}})))


def belongs(path: str, name: Name) -> bool:
    """Return whether a file belongs to a definition."""
    kind, key = name
    if kind == "partial":
        return path in {f"partials/{key}{ending}" for ending in PARTIAL_ENDINGS.values()}
    return path.startswith(f"{kind}s/{key}/") if key else path == f"{kind}.toml"


def title(name: Name) -> str:
    """Return the name of a definition for messages."""
    return " ".join(filter(None, name))


def differences(before: Mapping[Name, Definition], after: Mapping[Name, Definition]) -> Iterator[str]:
    """Yield the lines of a unified diff between the files of two sets of definitions."""
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        old_files = {} if old is None else files_of(name, old)
        new_files = {} if new is None else files_of(name, new)
        for path in sorted(old_files.keys() | new_files.keys()):
            yield from difflib.unified_diff(
                old_files.get(path, "").splitlines(keepends=True),
                new_files.get(path, "").splitlines(keepends=True),
                f"a/{path}" if path in old_files else "/dev/null",
                f"b/{path}" if path in new_files else "/dev/null",
            )


def needed(folder: Folder, key: str) -> set[Name]:
    """Return the names of a template of a folder, of all it is built of with the brand, and of its category."""
    source = folder.templates[key]
    names: set[Name] = {("template", key), BRAND}
    if source.category is not None:
        names.add(("category", source.category))
    if source.layout is not None:
        names.add(("layout", source.layout))
    return names | {("partial", name) for name in partials_of(folder, source, folder.layouts.get(source.layout or ""))}


def partials_of(folder: Folder, source: Source, layout: Layout | None) -> dict[str, Partial]:
    """Return the partials that a template, its layout or one of these partials includes."""
    found: dict[str, Partial] = {}
    wanted = set(_references([msgspec.to_builtins(source), msgspec.to_builtins(layout)], source.engine))
    while wanted:
        key = wanted.pop()
        if key in folder.partials and key not in found:
            found[key] = folder.partials[key]
            wanted.update(_references(found[key].source, found[key].engine))
    return found


def _inner_first(partials: Mapping[str, Partial]) -> list[str]:
    """Return the keys of partials with included ones first, as far as cycles allow."""
    done: dict[str, None] = {}

    def visit(key: str, above: frozenset[str]) -> None:
        if key in done or key in above or key not in partials:
            return
        for inner in _references(partials[key].source, partials[key].engine):
            visit(inner, above | {key})
        done[key] = None

    for key in sorted(partials):
        visit(key, frozenset())
    return list(done)


def _references(texts: Any, engine: Engine) -> list[str]:
    try:
        return references(texts, engine)
    except InvalidField:
        return []  # an invalid tag: building the template reports its place
