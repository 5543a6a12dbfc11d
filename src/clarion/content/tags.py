"""Finds the tags of a template in its text, for both languages, without parsing their content.

Raw blocks and comments count as one tag with all their content, so nothing in them is read as a tag.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from clarion.domain.template import Engine


class Tag(NamedTuple):
    """A tag with its place in the source. A `block` controls rendering and has no output of its own."""

    start: int
    end: int
    text: str
    block: bool


_WHOLE: Final = re.compile(r"\{%-?\s*(raw|doc|comment)\s*-?%\}")
_STEERING: Final = re.compile(r"\{\{\{?\{?~?\s*(?:[#/^!>]|else\b)")
# Texts in quotes may contain closing braces. Possessive: a text that does not match is rejected without backtracking.
_MUSTACHE: Final = re.compile(r"""\{\{(?:[^"'}]|"[^"]*+"|'[^']*+'|\}(?!\}))*+\}\}""")
_VISIBLE: Final = re.compile(r"\S")
_RAW_OPENING: Final = re.compile(r"\{\{\{\{\s*+([^\s/{}]++)[^{}]*+\}\}\}\}")


def tags(source: str, engine: Engine) -> Iterator[Tag]:
    """Yield the tags of a source from left to right. An unclosed tag is text."""
    find = _liquid if engine == "liquid" else _handlebars
    hopeless: set[str] = set()
    position = 0
    while (start := source.find("{", position)) != -1:
        tag = find(source, start, hopeless)
        if tag is None:
            position = start + 1
        else:
            yield tag
            position = tag.end


def put_in(source: str, engine: Engine, replace: Callable[[Tag], str | None]) -> str:
    """Return the source with tags replaced by text; None leaves one as it is. White space around a replaced tag is
    removed if the tag requests it (`{%-`, `-%}`, `{{~`, `~}}`)."""
    pieces: list[str] = []
    position, strip = 0, False
    for tag in tags(source, engine):
        text = replace(tag)
        between = source[position : tag.start]
        if strip:
            between = between.lstrip()
        strip = False
        if text is None:
            text = tag.text
        else:
            inner = tag.text.strip("{}%")
            between = between.rstrip() if inner[:1] in ("-", "~") else between
            strip = inner[-1:] in ("-", "~")
        pieces += (between, text)
        position = tag.end
    rest = source[position:]
    return "".join((*pieces, rest.lstrip() if strip else rest))


def outside(source: str, engine: Engine, change: Callable[[str], str]) -> str:
    """Return the source with the text outside of its tags changed."""
    pieces: list[str] = []
    position = 0
    for tag in tags(source, engine):
        pieces += (change(source[position : tag.start]), tag.text)
        position = tag.end
    return "".join((*pieces, change(source[position:])))


def blank(text: str) -> str:
    """Return blanks in the place of a text, line by line, so that the following text keeps its line and column."""
    return _VISIBLE.sub(" ", text)


def each_text(source: Any, change: Callable[[str], str]) -> Any:
    """Return a part (a text, or a map or list with texts as leaves) with every text changed."""
    if isinstance(source, str):
        return change(source)
    if isinstance(source, dict):
        return {key: each_text(value, change) for key, value in source.items()}
    if isinstance(source, list | tuple):
        return [each_text(value, change) for value in source]
    return source


def _liquid(source: str, start: int, hopeless: set[str]) -> Tag | None:
    opening = source[start : start + 2]
    closing = {"{%": "%}", "{{": "}}"}.get(opening)
    if closing is None:
        return None
    whole = _WHOLE.match(source, start) if closing == "%}" else None
    if whole is not None and whole[1] not in hopeless:
        ending = re.compile(rf"\{{%-?\s*end{whole[1]}\s*-?%\}}").search(source, whole.end())
        if ending is not None:
            return Tag(start, ending.end(), source[start : ending.end()], whole[1] != "raw")
        hopeless.add(whole[1])
    return _until(source, start, closing, closing == "%}", hopeless)


def _handlebars(source: str, start: int, hopeless: set[str]) -> Tag | None:
    if not source.startswith("{{", start):
        return None
    if start and source[start - 1] == "\\" and source[start - 2 : start] != "\\\\":
        return _until(source, start, "}}", False, hopeless)  # escaped: rendered as text
    if source.startswith(("{{!--", "{{~!--"), start):
        return _until(source, start, "--}}", True, hopeless) or _until(source, start, "--~}}", True, hopeless)
    raw = _RAW_OPENING.match(source, start)
    if raw is not None:
        return _until(source, start, f"{{{{{{{{/{raw[1]}}}}}}}}}", True, hopeless)
    steering = _STEERING.match(source, start) is not None
    if source.startswith("{{{", start):
        return _until(source, start, "}}}", steering, hopeless)
    nearest = _until(source, start, "}}", steering, hopeless)
    match = _MUSTACHE.match(source, start) if nearest else None
    return Tag(start, match.end(), match[0], steering) if match else nearest


def _until(source: str, start: int, closing: str, block: bool, hopeless: set[str]) -> Tag | None:
    """Return the tag that ends with the next `closing`, None without one. A `closing` that was not found is not
    searched again."""
    end = -1 if closing in hopeless else source.find(closing, start + 2)
    if end == -1:
        hopeless.add(closing)
        return None
    end += len(closing)
    return Tag(start, end, source[start:end], block)
