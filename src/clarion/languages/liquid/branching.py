"""The second fast path: texts of values, formatted values, and choices between texts, which most messages consist of.

`{{ a.b }}`, `{{ a.b | money: "EUR" }}` (any of the shared formatters), `{% if a %}`, `{% if a == "x" %}` with `elsif` and `else`,
and `{% assign p = a | plural: "en" %}` become closures over the context. Any other syntax is left to python-liquid
at compile time, and any other type of value at render time: so texts and errors are python-liquid's own (a property
test compares them).
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from clarion.content.formatters import FORMATTERS
from clarion.content.plain import WORD, too_large
from clarion.domain.limits_content import STRAIGHT_PIECES_MAX
from clarion.languages.liquid.pieces import (
    SHORTHANDS,
    Choice,
    Other,
    Path,
    Piece,
    Test,
    asking,
    assigning,
    choosing,
    formatted,
    joined,
    shown,
)
from clarion.languages.liquid.plain import RESERVED
from clarion.ports.renderer import Render

_PATH: Final = rf"{WORD}(?:\.{WORD})*"
_TEXT: Final = r""""[^"\\]*"|'[^'\\]*'"""
_TAG: Final = re.compile(r"(\{\{.*?\}\}|\{%.*?%\})", re.DOTALL)
_OUTPUT: Final = re.compile(
    rf"\{{\{{ *({_PATH})(?: *\| *({WORD})(?: *: *((?:{_TEXT}|{_PATH})(?: *, *(?:{_TEXT}|{_PATH}))*))?)? *\}}\}}"
)
_ASSIGN: Final = re.compile(rf"\{{% *assign +({WORD}) *= *({_PATH}) *\| *plural *: *({_TEXT}) *%\}}")
_IF: Final = re.compile(rf"\{{% *(if|elsif) +({_PATH})(?: *== *({_TEXT}))? *%\}}")
_ARGUMENT: Final = re.compile(rf"{_TEXT}|{_PATH}")


def compile_branching(source: str, otherwise: Render) -> Render | None:
    """Return a render function if the source has this shape, else None. `otherwise` is python-liquid's, for values that
    only it can render."""
    try:
        whole = _Reader(source).whole()
    except Other:
        return None

    def render(context: Mapping[str, Any]) -> Any:
        try:
            text = whole(context, {})
        except (Other, LookupError, TypeError, ValueError):
            return otherwise(context)
        return otherwise(context) if too_large(text) else text

    return render


class _Reader:
    """Parses a source once, from the start. Raises `Other` for any other shape."""

    def __init__(self, source: str) -> None:
        self._parts = [part for part in _TAG.split(source) if part]
        if len(self._parts) > STRAIGHT_PIECES_MAX or "{{{" in source:
            raise Other
        self._at = 0
        self._assigned: set[str] = set()

    def whole(self) -> Piece:
        """Return the piece of the whole source."""
        found = joined(list(self._until_branch()))
        if self._at < len(self._parts):
            raise Other
        return found

    def _until_branch(self) -> Iterator[str | Piece]:
        while self._at < len(self._parts):
            part = self._parts[self._at]
            if part.startswith("{{"):
                yield self._output(part)
            elif part.startswith("{%"):
                if part[2:].lstrip().startswith(("elsif", "else", "endif")):
                    return
                if match := _ASSIGN.fullmatch(part):
                    yield self._assign(match)
                elif (match := _IF.fullmatch(part)) and match[1] == "if":
                    yield self._choices(match)
                    continue
                else:
                    raise Other
            elif "{{" in part or "{%" in part:
                raise Other
            else:
                yield part
            self._at += 1

    def _choices(self, match: re.Match[str]) -> Piece:
        choices: list[Choice] = []
        test: re.Match[str] | None = match
        while True:
            self._at += 1
            test_of, start = self._test(test) if test else None, self._at
            choices.append(Choice(test_of, joined(list(self._until_branch()))))
            if any(map(str.isspace, parts := self._parts[start : self._at])) and all(map(_is_blank, parts)):
                raise Other  # Liquid omits the white space of a block that holds nothing else
            if self._at == len(self._parts):
                raise Other
            tag = self._parts[self._at]
            if re.fullmatch(r"\{% *endif *%\}", tag):
                self._at += 1
                return choosing(choices)
            if choices[-1].test is None:
                raise Other
            test = _IF.fullmatch(tag)
            if (test is None and not re.fullmatch(r"\{% *else *%\}", tag)) or (test and test[1] != "elsif"):
                raise Other

    def _output(self, part: str) -> Piece:
        match = _OUTPUT.fullmatch(part)
        if match is None or (match[2] and match[2] not in FORMATTERS):
            raise Other
        path = self._path(match[1])
        if match[2] is None:
            return shown(path)
        return formatted(
            FORMATTERS[match[2]], path, [self._argument(text) for text in _ARGUMENT.findall(match[3] or "")]
        )

    def _assign(self, match: re.Match[str]) -> Piece:
        plural = formatted(FORMATTERS["plural"], self._path(match[2]), [match[3][1:-1]])
        self._assigned.add(match[1])
        return assigning(match[1], plural)

    def _test(self, match: re.Match[str]) -> Test:
        wanted = match[3][1:-1] if match[3] else None
        if match[2] in self._assigned and wanted is not None:
            name = match[2]
            return lambda _context, assigned: assigned[name] == wanted
        return asking(self._path(match[2]), wanted)

    def _argument(self, text: str) -> str | Path:
        return text[1:-1] if text[0] in "\"'" else self._path(text)

    def _path(self, text: str) -> Path:
        path = tuple(text.split("."))
        if not RESERVED.isdisjoint(path) or path[0] in self._assigned or path[0] in SHORTHANDS:
            raise Other
        return path


def _is_blank(part: str) -> bool:
    return part.isspace() or part.startswith("{%")
