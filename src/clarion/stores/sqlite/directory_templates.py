"""Reads built templates for the directory, and decodes them only after they were rebuilt."""

import logging
from typing import Any, Final

import msgspec

from clarion.domain import template_name
from clarion.domain.content import Template
from clarion.domain.limits_processes import DIRECTORY_CACHE_MAX
from clarion.stores.sqlite.control_templates import read_built
from clarion.stores.sqlite.directory_definitions import Rows

_LOG: Final = logging.getLogger("clarion.directory")

_SELECT: Final = """
SELECT v.version, v.builds, CASE WHEN v.version = ? AND v.builds = ? THEN NULL ELSE v.built END
FROM templates t CROSS JOIN template_versions v
ON v.tenant = t.tenant AND v.key = t.key AND v.version = coalesce(?, t.current) WHERE t.tenant = ? AND t.key = ?
"""
_Held = tuple[int, int, Template]


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
        key, version = template_name.split(name)
        row = next(iter(self._rows(_SELECT, (*(held or (0, 0))[:2], version, tenant, key))), None)
        if row is None:
            self._held.pop(place, None)
            return None
        number, builds, text = row
        if text is None and held is not None:
            return held[2]
        template = _decoded(tenant, name, text)
        if template is not None:
            if len(self._held) >= DIRECTORY_CACHE_MAX:
                self._held.clear()
            self._held[place] = number, builds, template
        return template


def _decoded(tenant: str, name: str, text: Any) -> Template | None:
    try:
        return msgspec.structs.replace(read_built(text), key=name)
    except msgspec.MsgspecError as error:
        # Only a newer build writes a template that this one cannot read; it must not stop other templates.
        _LOG.error("template %s of tenant %s is omitted: %s", name, tenant, error)
        return None
