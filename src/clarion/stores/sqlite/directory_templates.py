"""Reads built templates for the directory, and decodes them only after they were rebuilt."""

import logging
from typing import Any, Final

import msgspec

from clarion.domain import template_name
from clarion.domain.content import TEMPLATE_KIND, Template
from clarion.domain.limits_processes import DIRECTORY_CACHE_MAX
from clarion.stores.sqlite.directory_definitions import Rows

_LOG: Final = logging.getLogger("clarion.directory")
_BUILT: Final = msgspec.json.Decoder(Template)

_SELECT: Final = """
SELECT build, CASE WHEN build = ? THEN NULL ELSE body END FROM artifacts
WHERE tenant = ? AND kind = ? AND key = ? AND body IS NOT NULL
"""
_Held = tuple[int, Template]


class TemplateReader:
    """Reads through the directory's connection. An unchanged template is returned as the same object, so that compiled
    templates can be cached by identity."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._held: dict[tuple[str, str], _Held] = {}

    def read(self, tenant: str, name: str) -> Template | None:
        """Return the current version of a template, or for `key@3` that version, with `key@3` as its name; None when
        there is none."""
        place = (tenant, name)
        held = self._held.get(place)
        values = (held[0] if held else 0, tenant, TEMPLATE_KIND, template_name.canonical(name))
        row = next(iter(self._rows(_SELECT, values)), None)
        if row is None:
            self._held.pop(place, None)
            return None
        build, text = row
        if text is None and held is not None:
            return held[1]
        template = _decoded(tenant, name, text)
        if template is not None:
            if len(self._held) >= DIRECTORY_CACHE_MAX:
                self._held.clear()
            self._held[place] = build, template
        return template


def _decoded(tenant: str, name: str, text: Any) -> Template | None:
    try:
        return msgspec.structs.replace(_BUILT.decode(text), key=name)
    except msgspec.MsgspecError as error:
        # Only a newer build writes a template that this one cannot read; it must not stop other templates.
        _LOG.error("template %s of tenant %s is omitted: %s", name, tenant, error)
        return None
