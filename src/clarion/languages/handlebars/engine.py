"""The Handlebars renderer: a source of literals and plain variables compiles to a split and a join, everything else runs in
a sandbox. Both return the same text (a property test compares them)."""

from functools import partial
from typing import Any

from clarion.content.trees import compile_tree, texts
from clarion.languages.handlebars.plain import compile_plain
from clarion.languages.handlebars.sandbox import Sandboxes
from clarion.languages.handlebars.template import HandlebarsTemplate
from clarion.ports.renderer import Render, TemplateReads


class HandlebarsRenderer:
    """Renders Handlebars and Mustache. Missing variables are errors unless a condition, a section or `default` tests
    them first. A JavaScript runtime is started only when one is needed."""

    def __init__(self) -> None:
        self._sandboxes = Sandboxes()

    def compile(self, source: Any, *, html: bool) -> Render:
        """Return a render function for a string, or a map or list with string leaves; other leaves are returned
        unchanged. Raises `SyntaxProblem` when the source is invalid."""
        return compile_tree(source, partial(self._compile_text, html=html))

    def usage(self, source: Any) -> TemplateReads:
        """Return the names a source reads. Raises `SyntaxProblem` when the source is invalid."""
        read = [HandlebarsTemplate(text, self._sandboxes, html=False).usage for text in texts(source)]
        return TemplateReads(
            variables=tuple(dict.fromkeys(name for usage in read for name in usage.variables)),
            uses_user=any(usage.uses_user for usage in read),
            needed_paths=tuple(dict.fromkeys(path for usage in read for path in usage.needed_paths)),
            read_paths=tuple(dict.fromkeys(path for usage in read for path in usage.read_paths)),
        )

    def _compile_text(self, source: str, *, html: bool) -> Render:
        template = HandlebarsTemplate(source, self._sandboxes, html=html)
        plain = compile_plain(source, template.render, html=html)
        if plain is not None:
            return plain
        template.code  # noqa: B018  # compile now, so that errors are raised now
        return template.render
