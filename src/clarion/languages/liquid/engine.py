"""The Liquid renderer: compiles template parts and renders them within limits.

A source of literals and plain variables compiles to a split and a join, a text of formatted values and simple choices to
closures; everything else is rendered by python-liquid. All return the same text (property tests compare them).
"""

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

from liquid.exceptions import LiquidError, LiquidInterrupt

from clarion.content.trees import compile_tree, texts
from clarion.languages.liquid import reading
from clarion.languages.liquid.bounded import BoundedEnvironment
from clarion.languages.liquid.branching import compile_branching
from clarion.languages.liquid.fast_nodes import speed_up
from clarion.languages.liquid.parsing import parse
from clarion.languages.liquid.plain import compile_plain
from clarion.languages.liquid.scanning import place, scan
from clarion.ports.renderer import Render, RenderError, TemplateReads

# Errors that a filter or a comparison can raise for ill-typed data; python-liquid does not wrap all of them.
_DATA_ERRORS = (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError)


class LiquidRenderer:
    """Renders Liquid. Missing variables are errors unless a condition or `default` tests them first."""

    def __init__(self) -> None:
        self._text = BoundedEnvironment(autoescape=False)
        self._html = BoundedEnvironment(autoescape=True)

    def compile(self, source: Any, *, html: bool) -> Render:
        """Return a render function for a string, or a map or list with string leaves; other leaves are returned
        unchanged. Raises `SyntaxProblem` when the source is invalid."""
        scan(list(texts(source)))
        return compile_tree(source, lambda text: self._compile(text, html=html))

    def _compile(self, source: str, *, html: bool) -> Render:
        return compile_plain(source, html=html) or self._compile_text(source, html=html)

    def _compile_text(self, source: str, *, html: bool) -> Render:
        compiled = self._compile_liquid(source, html=html)  # always, because this reports the errors of a source
        return compiled if html else compile_branching(source, compiled) or compiled

    def usage(self, source: Any) -> TemplateReads:
        """Return the names a source reads. Raises `SyntaxProblem` when the source is invalid."""
        sources = list(texts(source))
        scan(sources)
        found = [reading.usage(parse(text, self._text)) for text in sources]
        return TemplateReads(
            variables=_each_once(usage.variables for usage in found),
            uses_user=any(usage.uses_user for usage in found),
            needed_paths=_each_once(usage.needed_paths for usage in found),
            read_paths=_each_once(usage.read_paths for usage in found),
        )

    def _compile_liquid(self, source: str, *, html: bool) -> Render:
        template = parse(source, self._html if html else self._text)
        speed_up(template)

        def render(context: Mapping[str, Any]) -> str:
            try:
                return template.render(context)
            except LiquidError as error:
                line = _line(error)
                raise RenderError(f"{error.message} (line {line})" if line else str(error.message)) from error
            except LiquidInterrupt as error:
                raise RenderError(f"{error} outside of a loop") from error
            except _DATA_ERRORS as error:
                raise RenderError(f"{type(error).__name__}: {error}"[:500]) from error

        return render


def _each_once(lists: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(chain.from_iterable(lists)))


def _line(error: LiquidError) -> int:
    token = error.token
    if token is None or token.start_index < 0:
        return 0
    return place(token.source, token.start_index)[0]
