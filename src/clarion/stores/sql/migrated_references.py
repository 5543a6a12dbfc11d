"""The references of definitions, read from what was stored before references were: for migrations alone, which do not change with
the definitions and the languages of templates."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from sqlalchemy import Connection, text

_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._:-]*?"
_PARTIAL: Final = {
    "liquid": re.compile(rf"""\{{%-?\s*partial\s+["']?({_NAME})["']?\s*-?%\}}"""),
    "handlebars": re.compile(rf"""\{{\{{~?>\s*["']?({_NAME})["']?\s*~?\}}\}}"""),
}
_CURRENT: Final = """
SELECT t.tenant, 'template', t.key, v.source FROM templates t
JOIN template_versions v ON v.tenant = t.tenant AND v.key = t.key AND v.version = t.current
"""
_SHARED: Final = "SELECT tenant, kind, key, body FROM documents WHERE kind IN ('layout', 'partial') AND removed = 0"
_NAMING: Final = (
    "SELECT tenant, kind, key, body FROM documents"
    " WHERE kind IN ('category', 'event_rule', 'schedule', 'workflow') AND removed = 0"
)
_FIXED: Final = re.compile(r"@[0-9]{1,9}$")
_INSERT: Final = (
    "INSERT INTO document_references (tenant, to_kind, to_key, kind, key) VALUES (:t, :to_kind, :to_key, :kind, :key)"
)


def store_references(connection: Connection) -> None:
    """Store the references to layouts and partials of current templates, and of the layouts and partials among the documents."""
    for statement in (_CURRENT, _SHARED):
        _store(connection, statement, _references)


def store_named(connection: Connection) -> None:
    """Store what categories, event rules, schedules and workflows name, whether it exists or not."""
    connection.execute(
        text("DELETE FROM document_references WHERE kind IN ('category', 'event_rule', 'schedule', 'workflow')")
    )
    _store(connection, _NAMING, _named)


def _store(connection: Connection, statement: str, of: Callable[[dict[str, Any]], Iterator[tuple[str, str]]]) -> None:
    for tenant, kind, key, body in connection.execute(text(statement)):
        for to_kind, to_key in sorted(set(of(json.loads(body)))):
            row = {"t": tenant, "to_kind": to_kind, "to_key": to_key, "kind": kind, "key": key}
            connection.execute(text(_INSERT), row)


def _named(body: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what a definition names: each of these fields means the same wherever it stands."""
    if body.get("digest_workflow"):
        yield "workflow", body["digest_workflow"]
    if segment := body.get("to", {}).get("segment"):
        yield "segment", segment
    for one in (body, *body.get("notify", ()), *body.get("steps", ())):
        for kind in ("category", "template", "workflow"):
            if one.get(kind):
                yield kind, _FIXED.sub("", one[kind])


def _references(source: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if source.get("layout"):
        yield "layout", source["layout"]
    pattern = _PARTIAL[source.get("engine", "liquid")]
    for given in _texts(source):
        for found in pattern.finditer(given):
            yield "partial", found[1]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
