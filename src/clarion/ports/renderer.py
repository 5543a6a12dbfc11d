"""Template engine as a port: compile once per template version, render many times, always within limits."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

Render = Callable[[Mapping[str, Any]], Any]
"""Renders one compiled part with a context of `data`, its top-level names, and `user`. Raises `RenderError`."""


class RenderError(Exception):
    """Rendering failed or went over a limit; the text names the fault and its place. Only this notification fails."""


class SyntaxProblem(ValueError):
    """A template source does not parse; `line` and `column` count from 1 (0 when unknown)."""

    def __init__(self, detail: str, line: int = 0, column: int = 0) -> None:
        super().__init__(detail)
        self.detail = detail
        self.line = line
        self.column = column


class TemplateReads(msgspec.Struct, frozen=True):
    """Which names a template reads: `data` names at the top level that it needs, whether it reads `user`, every path below
    `data` that it needs (`order.number`, `order.lines[].name`), and every one it reads at all."""

    variables: tuple[str, ...]
    uses_user: bool
    needed_paths: tuple[str, ...] = ()
    read_paths: tuple[str, ...] = ()


class Renderer(Protocol):
    """One template language.

    A context holds the data by name, all of it as `data`, then `user`, `brand`, `_locale` (a BCP 47 tag), `_zone` (an IANA
    zone) and `_at_ms` (when the notification was made, Unix ms: the only clock a template has).
    """

    def compile(self, source: Any, *, html: bool) -> Render:
        """Return a render function for a string, or a map or list with string leaves. Output is HTML-escaped when
        `html`. Raises `SyntaxProblem`."""
        ...

    def usage(self, source: Any) -> TemplateReads:
        """Return the names a source reads. Raises `SyntaxProblem`."""
        ...


Engines = Mapping[str, Renderer]
"""The template languages by name: `liquid`, `handlebars`."""
