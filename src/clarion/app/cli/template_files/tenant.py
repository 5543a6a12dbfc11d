"""A tenant's brand, categories, partials, layouts and templates, over the API."""

from collections.abc import Mapping
from typing import Any, Final, TypeVar
from urllib.parse import quote

import msgspec

from clarion.app.cli.remote import Remote, RequestRefused
from clarion.app.cli.template_files.definitions import BRAND, Definition, Definitions, Name
from clarion.domain.template import Brand, Layout, Partial, Source

_PATHS: Final = {
    "brand": "/v1/brand",
    "category": "/v1/categories",
    "partial": "/v1/partials",
    "layout": "/v1/layouts",
    "template": "/v1/templates",
}
_NOT_FOUND: Final = 404
D = TypeVar("D", Brand, Partial, Layout, Source)


class Tenant:
    """Reads and writes definitions. Calls raise `RequestRefused` and `Unreachable`."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self.unpublished: set[str] = set()
        """The templates read so far that are not published."""

    def definitions(self, *, drafts: bool = False) -> Definitions:
        """Return all definitions except categories; templates as published or, with `drafts`, their drafts where there
        are any. There is always a brand: `Brand()` until one is stored."""
        found: Definitions = {BRAND: _as(Brand, self._remote.get(_PATHS["brand"]))}
        for row in self._remote.pages(_PATHS["partial"]):
            found["partial", row["key"]] = _as(Partial, row)
        for row in self._remote.pages(_PATHS["layout"]):
            found["layout", row["key"]] = _as(Layout, row)
        for row in self._remote.pages(_PATHS["template"]):
            if row["published_at"] is None:
                self.unpublished.add(row["key"])
            found["template", row["key"]] = source_of(self._draft(row) if drafts else row)
        return found

    def categories(self) -> set[str]:
        """Return the keys of all categories."""
        return {row["key"] for row in self._remote.pages(_PATHS["category"])}

    def put(self, name: Name, definition: Definition, *, publish: bool) -> Any:
        """Store a definition and return the API's response."""
        path = f"{_path(name)}?publish=false" if name[0] == "template" and not publish else _path(name)
        return self._remote.put(path, definition)

    def remove(self, name: Name) -> None:
        """Remove a definition."""
        self._remote.delete(_path(name))

    def _draft(self, row: dict[str, Any]) -> dict[str, Any]:
        try:
            found: dict[str, Any] = self._remote.get(_path(("template", row["key"])), version="draft")
        except RequestRefused as error:
            if error.status != _NOT_FOUND:
                raise
            return row
        return found


def source_of(row: Mapping[str, Any]) -> Source:
    """Return the source of a template from a row of the API."""
    return _as(Source, {**row, "variables": None if row["inferred"] else row["schema"]})


def _path(name: Name) -> str:
    kind, key = name
    return f"{_PATHS[kind]}/{quote(key, safe=':')}" if key else _PATHS[kind]


def _as(kind: type[D], row: Mapping[str, Any]) -> D:
    return msgspec.convert({field: row[field] for field in kind.__struct_fields__ if field in row}, kind)
