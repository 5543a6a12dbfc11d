"""Partials: pieces of source inserted by name, before messages are."""

import re
from collections.abc import Mapping
from typing import Any, Final

from clarion.content.tags import Tag, each_text, put_in, tags
from clarion.domain.errors import InvalidField
from clarion.domain.limits_content import BUILT_PART_BYTES_MAX, PARTIAL_DEPTH_MAX
from clarion.domain.template import Engine, Partial

_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._:-]*?"
_REFERENCES: Final[dict[str, re.Pattern[str]]] = {
    "liquid": re.compile(rf"""\{{%-?\s*partial\s+["']?({_NAME})["']?\s*-?%\}}"""),
    "handlebars": re.compile(rf"""\{{\{{~?>\s*["']?({_NAME})["']?\s*~?\}}\}}"""),
}
_MARKS: Final = {"liquid": re.compile(r"\{%-?\s*partial\b"), "handlebars": re.compile(r"\{\{~?#?>")}
_HINTS: Final = {"liquid": "partial", "handlebars": ">"}
"""Every text that inserts a partial contains this: other texts need not be searched for tags."""
_USAGE: Final = {"liquid": "{% partial key %}", "handlebars": "{{> key}}"}


def reference(tag: Tag, engine: Engine) -> str | None:
    """Return the key of the partial that a tag inserts; None for any other tag. Raises `InvalidField` (without a field)
    for a malformed one."""
    if not _MARKS[engine].match(tag.text):
        return None
    match = _REFERENCES[engine].fullmatch(tag.text)
    if match is None:
        raise InvalidField(f"a partial is inserted by {_USAGE[engine]}, without arguments", code="template_syntax")
    return match[1]


def references(source: Any, engine: Engine) -> list[str]:
    """Return the keys of the partials that a part refers to directly. Raises `InvalidField` for a malformed tag."""
    found: dict[str, None] = {}

    def look(text: str) -> str:
        for tag in tags(text, engine) if _HINTS[engine] in text else ():
            key = reference(tag, engine)
            if key is not None:
                found[key] = None
        return text

    each_text(source, look)
    return list(found)


class Partials:
    """The partials available to a template in `engine`, each expanded once."""

    def __init__(self, partials: Mapping[str, Partial], engine: Engine) -> None:
        self._partials = partials
        self._engine = engine
        self._expanded: dict[str, tuple[str, int]] = {}

    def put_into(self, source: Any) -> Any:
        """Return a part with its partials inserted recursively. Raises `InvalidField` naming one that is unknown, of
        the other language, nested in itself or too deep, or when the result is too long."""
        return each_text(source, lambda text: self._expand(text, ())[0])

    def _expand(self, text: str, path: tuple[str, ...]) -> tuple[str, int]:
        """Return a text with its partials inserted, and their nesting depth."""
        size, depth = len(text), 0

        def put(tag: Tag) -> str | None:
            nonlocal size, depth
            key = reference(tag, self._engine)
            if key is None:
                return None
            inner, below = self._partial(key, path)
            size, depth = size + len(inner), max(depth, below + 1)
            if size > BUILT_PART_BYTES_MAX:
                raise InvalidField(f"is longer than {BUILT_PART_BYTES_MAX} bytes with its partials", code="too_large")
            if depth > PARTIAL_DEPTH_MAX:
                raise InvalidField(f"partials are nested more than {PARTIAL_DEPTH_MAX} deep", code="partial_depth")
            return inner

        return put_in(text, self._engine, put), depth

    def _partial(self, key: str, path: tuple[str, ...]) -> tuple[str, int]:
        if key in path:
            raise InvalidField(f"partial {' > '.join((*path, key))} includes itself", code="partial_cycle")
        if len(path) >= PARTIAL_DEPTH_MAX:
            raise InvalidField(f"partials are nested more than {PARTIAL_DEPTH_MAX} deep", code="partial_depth")
        if key not in self._expanded:
            partial = self._partials.get(key)
            if partial is None:
                raise InvalidField(f"there is no partial {key}", code="unknown_partial")
            if partial.engine != self._engine:
                detail = f"partial {key} is written in {partial.engine}, not in {self._engine}"
                raise InvalidField(detail, code="engine_mismatch")
            self._expanded[key] = self._expand(partial.source, (*path, key))
        return self._expanded[key]
