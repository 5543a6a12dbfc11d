"""A first check of a source, in one pass: sources that would keep python-liquid's lexer or parser busy never reach it.

Its patterns backtrack: for delimiters and blocks without an end they scan the rest of the source repeatedly.
"""

import re
from collections.abc import Iterable
from typing import Final

from clarion.domain.limits_content import (
    LIQUID_BLANKS_MAX,
    LIQUID_BRACKETS_MAX,
    LIQUID_CODE_CHARS_MAX,
    LIQUID_TAG_CHARS_MAX,
    LIQUID_TAGS_MAX,
    TEMPLATE_BYTES_MAX,
)
from clarion.ports.renderer import SyntaxProblem

_OPENING: Final = re.compile(r"\{\{|\{%")
_CLOSING: Final = {"{{": "}}", "{%": "%}"}
_VERBATIM: Final = re.compile(r"\{%-?\s*(raw|doc)\s*-?%\}")
_ENDS: Final = {name: re.compile(rf"\{{%-?\s*end{name}\s*-?%\}}") for name in ("raw", "doc")}
_BLANKS: Final = re.compile(rf"\s{{{LIQUID_BLANKS_MAX + 1}}}")


def place(source: str, index: int) -> tuple[int, int]:
    """Return line and column of an index, from 1."""
    return source.count("\n", 0, index) + 1, index - source.rfind("\n", 0, index)


def scan(sources: Iterable[str]) -> None:
    """Raise `SyntaxProblem` for texts that are too long or together have too many tags or too many characters in tags,
    for single tags that are too long, and for delimiters and blocks without an end."""
    tags = code_chars = 0
    for source in sources:
        if len(source) > TEMPLATE_BYTES_MAX:
            raise SyntaxProblem(f"the template is longer than {TEMPLATE_BYTES_MAX} characters")
        at = 0
        while opening := _OPENING.search(source, at):
            start, at = opening.start(), _end(source, opening)
            tags, code_chars = tags + 1, code_chars + at - start
            if tags > LIQUID_TAGS_MAX:
                raise SyntaxProblem(f"more than {LIQUID_TAGS_MAX} tags", *place(source, start))
            if code_chars > LIQUID_CODE_CHARS_MAX:
                raise SyntaxProblem(f"more than {LIQUID_CODE_CHARS_MAX} characters in tags", *place(source, start))
            _check_tag(source, start, at)
            at = _after_verbatim(source, start, at)


def _end(source: str, opening: re.Match[str]) -> int:
    """Return the index after a tag."""
    closing = _CLOSING[opening.group()]
    found = source.find(closing, opening.end())
    if found < 0:
        raise SyntaxProblem(f"'{opening.group()}' without '{closing}'", *place(source, opening.start()))
    return found + len(closing)


def _check_tag(source: str, start: int, end: int) -> None:
    if end - start > LIQUID_TAG_CHARS_MAX:
        raise SyntaxProblem(f"a tag of more than {LIQUID_TAG_CHARS_MAX} characters", *place(source, start))
    if blanks := _BLANKS.search(source, start, end):
        raise SyntaxProblem(f"more than {LIQUID_BLANKS_MAX} blanks in a row in a tag", *place(source, blanks.start()))
    if source.count("(", start, end) > LIQUID_BRACKETS_MAX or source.count("[", start, end) > LIQUID_BRACKETS_MAX:
        raise SyntaxProblem(f"more than {LIQUID_BRACKETS_MAX} brackets in a tag", *place(source, start))


def _after_verbatim(source: str, start: int, end: int) -> int:
    """Return the index after the block that a tag opens if the block's content is not Liquid, else the index after the
    tag."""
    block = _VERBATIM.fullmatch(source, start, end)
    if block is None:
        return end
    closing = _ENDS[block.group(1)].search(source, end)
    if closing is None:
        raise SyntaxProblem(f"'{block.group(1)}' without 'end{block.group(1)}'", *place(source, start))
    return closing.end()
