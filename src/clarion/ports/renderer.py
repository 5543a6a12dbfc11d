"""Template engine as a port: compile once per template version, render many times, always within limits."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

Render = Callable[[Mapping[str, Any]], Any]
"""Renders one compiled part with a context of `data`, its top-level names, and `user`. Raises `RenderError`."""


class RenderError(Exception):
    """Rendering failed or went over a limit; the text says what and where. Only this notification fails."""


class SyntaxProblem(ValueError):
    """A template source does not parse; `line` counts from 1 (0 when unknown)."""

    def __init__(self, detail: str, line: int = 0) -> None:
        super().__init__(detail)
        self.detail = detail
        self.line = line


class Usage(msgspec.Struct, frozen=True):
    """Which names a template reads: `data` names at the top level, and whether it reads `user`."""

    variables: tuple[str, ...]
    uses_user: bool


class Renderer(Protocol):
    """One template language."""

    def compile(self, source: Any, *, html: bool) -> Render:
        """Return a render function for a string, or a map or list with string leaves. Output is HTML-escaped when
        `html`. Raises `SyntaxProblem`."""
        ...

    def usage(self, source: Any) -> Usage:
        """Return the names a source reads. Raises `SyntaxProblem`."""
        ...
