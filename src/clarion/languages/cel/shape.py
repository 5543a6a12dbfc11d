"""Finds in an expression's text the paths that it reads and the path that it iterates over.

The library reports neither, and cannot be stopped while it evaluates: the work of an expression has to be known before.
So slightly less than CEL is supported (no raw, triple-quoted or byte strings, no comments), so that this parser and the
library cannot interpret a text differently.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

from clarion.ports.expressions import ExpressionError

Path: TypeAlias = tuple[str, ...]

_TOKEN: Final = re.compile(
    r"""
    (?P<space>[ \t\r\n]+)
    | (?P<text>"(?:\\.|[^"\\\r\n])*"|'(?:\\.|[^'\\\r\n])*')
    | (?P<number>(?:0[xX][0-9a-fA-F]+|(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?)[uU]?)
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<sign>==|!=|<=|>=|&&|\|\||/(?!/)|[-+*%<>!?:.,()\[\]{}])
    """,
    re.VERBOSE,
)
_KEEPING: Final = frozenset({"map", "filter"})
_ITERATING: Final = _KEEPING | {"all", "exists", "exists_one", "existsOne"}
_CONSTANTS: Final = frozenset({"true", "false", "null"})
_COSTLY: Final = frozenset({"+", "==", "!=", "in", "contains"})
LITERAL_WEIGHT: Final = 16


class _Token(NamedTuple):
    kind: str
    text: str


class Part(NamedTuple):
    """A section of an expression: its number of tokens, how many of them can traverse a whole value, the weight of its
    literals, and the paths it reads."""

    tokens: int
    costly: int
    literal: int
    paths: tuple[Path, ...]


class Loop(NamedTuple):
    """A macro that iterates: the path it iterates over, the name of an item, its body, and the macro's name."""

    over: Path
    name: str
    body: Part
    macro: str

    @property
    def keeps(self) -> bool:
        """Whether the result is a list rather than a boolean."""
        return self.macro in _KEEPING


class Shape(NamedTuple):
    """A whole expression; its loop is in `loop` and not in `part`."""

    part: Part
    loop: Loop | None

    @property
    def names(self) -> frozenset[str]:
        """The names that it reads, without the name of a loop's items."""
        inside = {path[0] for path in self.loop.body.paths} - {self.loop.name} if self.loop else set()
        return frozenset({path[0] for path in self.part.paths} | inside)


def shape_of(text: str) -> Shape:
    """Return the shape of an expression. Raises `ExpressionError` for syntax that is not supported."""
    tokens = _tokens(text)
    starts = [
        index
        for index, token in enumerate(tokens)
        if token.text in _ITERATING and token.kind == "name" and _text(tokens, index - 1) == "."
        and _text(tokens, index + 1) == "("
    ]  # fmt: skip
    if not starts:
        return Shape(_part(tokens), None)
    if len(starts) > 1:
        raise ExpressionError(f"iterates more than once ({', '.join(tokens[start].text for start in starts)})")
    return _with_loop(tokens, starts[0])


def _with_loop(tokens: Sequence[_Token], start: int) -> Shape:
    macro, item, comma = tokens[start].text, start + 2, start + 3
    head = start - 2
    while _text(tokens, head - 1) == "." and head >= 2:
        head -= 2
    if any(token.kind != "name" for token in tokens[head : start - 1 : 2]) or _text(tokens, head - 1) == ".":
        raise ExpressionError(f"{macro} iterates only over a plain path such as data.items")
    if item >= len(tokens) or tokens[item].kind != "name" or _text(tokens, comma) != ",":
        raise ExpressionError(f"{macro} takes a name and an expression, such as items.{macro}(item, item.open)")
    end = _closing(tokens, start + 1)
    body = _part(tokens[comma + 1 : end])
    over = tuple(token.text for token in tokens[head : start - 1 : 2])
    return Shape(_part([*tokens[: start - 1], *tokens[end + 1 :]]), Loop(over, tokens[item].text, body, macro))


def _closing(tokens: Sequence[_Token], start: int) -> int:
    depth = 0
    for index in range(start, len(tokens)):
        depth += {"(": 1, ")": -1}.get(tokens[index].text, 0)
        if not depth:
            return index
    raise ExpressionError("a parenthesis is not closed")


def _tokens(text: str) -> list[_Token]:
    found, place = [], 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise ExpressionError(f"column {place + 1}: {text[place]!r} is not understood here")
        place = match.end()
        kind = match.lastgroup or ""
        if kind == "name" and text[place : place + 1] in {'"', "'"}:
            raise ExpressionError(f"column {place}: raw and byte strings are not supported")
        if kind != "space":
            found.append(_Token(kind, match.group()))
    return found


def _part(tokens: Sequence[_Token]) -> Part:
    literal, paths = 0, []
    for index, (kind, text) in enumerate(tokens):
        if kind in {"text", "number"} or text in _CONSTANTS or text in {"[", "{"}:
            literal += LITERAL_WEIGHT + len(text)
        elif kind == "name" and text != "in" and _text(tokens, index - 1) != ".":
            following = _text(tokens, index + 1)
            if following == "{":
                raise ExpressionError(f"there is no type {text}")
            if following != "(":
                paths.append(_path(tokens, index))
    costly = sum(token.text in _COSTLY and token.kind != "text" for token in tokens)
    return Part(len(tokens), costly, literal, tuple(paths))


def _path(tokens: Sequence[_Token], index: int) -> Path:
    names = [tokens[index].text]
    while _text(tokens, index + 1) == "." and _text(tokens, index + 3) != "(" and index + 2 < len(tokens):
        index += 2
        names.append(tokens[index].text)
    return tuple(names)


def _text(tokens: Sequence[_Token], index: int) -> str:
    return tokens[index].text if 0 <= index < len(tokens) else ""
