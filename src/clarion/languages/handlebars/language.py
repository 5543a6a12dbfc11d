"""The supported part of Handlebars: its helpers, and the features that templates cannot use."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from clarion.content.formatters import FORMATTERS, FormatContext
from clarion.languages.handlebars.sandbox import TemplateProblem

Node = Mapping[str, Any]
"""A node of handlebars.js's syntax tree."""

BLOCKS: Final = ("if", "unless", "each", "with")
_MANY: Final = 100
_ARGUMENTS: Final = {
    **dict.fromkeys(("if", "unless", "each", "with", "not", "size", "upcase", "downcase"), (1, 1)),
    **dict.fromkeys(("lookup", "default", "eq", "ne", "lt", "gt"), (2, 2)),
    **dict.fromkeys(("and", "or"), (2, _MANY)),
    **{name: formatter.arguments for name, formatter in FORMATTERS.items()},
}
_REFUSED: Final = {
    "PartialStatement": "there is no such partial",
    "PartialBlockStatement": "partials take no blocks",
    "Decorator": "decorators are not supported",
    "DecoratorBlock": "decorators are not supported",
}
_LOOP_NAMES: Final = ("root", "index", "key", "first", "last")
_LITERALS: Final = ("StringLiteral", "NumberLiteral", "BooleanLiteral")
_ANYBODY: Final = FormatContext("en", "UTC", 0)


def check(program: Node, *, html: bool) -> None:
    """Raise `TemplateProblem` with line and column when a template uses an unsupported feature."""
    for node in _statements(program):
        if node["type"] in _REFUSED:
            raise fault(node, _REFUSED[node["type"]])
        if node["type"] == "MustacheStatement":
            if html and not node["escaped"]:
                raise fault(node, "unescaped output is not allowed in HTML; write two braces")
            _call(node, inline=True)
        elif node["type"] == "BlockStatement":
            _block(node)


def fault(node: Node, text: str) -> TemplateProblem:
    """Return a `TemplateProblem` with the line and column of a node."""
    start = node["loc"]["start"]
    return TemplateProblem(text, start["line"], start["column"] + 1)


def _statements(program: Node | None) -> Iterator[Node]:
    for node in program["body"] if program else ():
        yield node
        yield from _statements(node.get("program"))
        yield from _statements(node.get("inverse"))


def _block(node: Node) -> None:
    name = node["path"].get("original")
    if "open" not in node["openStrip"]:
        raise fault(node, "raw blocks are not supported; a backslash before braces shows them")
    if not node["params"]:
        if name in BLOCKS:
            raise fault(node, f"'{name}' needs a value")
        _path(node["path"])
        _no_named(node)
    elif name in BLOCKS:
        _call(node, inline=False)
    else:
        raise fault(node, f"'{name}' is no block helper")


def _call(node: Node, *, inline: bool) -> None:
    """Check a helper and its arguments, or a plain value."""
    _no_named(node)
    params, name = node["params"], node["path"].get("original")
    if not params:
        if node["type"] == "SubExpression":
            raise fault(node, f"'{name}' needs a value")
        _path(node["path"])
        return
    if name not in _ARGUMENTS or (inline and name in BLOCKS):
        raise fault(node, f"unknown helper '{name}'")
    fewest, most = _ARGUMENTS[name]
    if not fewest <= len(params) <= most:
        raise fault(node, f"'{name}' takes {fewest if fewest == most else f'{fewest} to {most}'} arguments")
    for param in params:
        if param["type"] == "SubExpression":
            _call(param, inline=True)
        elif param["type"] == "PathExpression":
            _path(param)
    _try(node, name, params)


def _no_named(node: Node) -> None:
    if node.get("hash"):
        raise fault(node, "named arguments are not supported")


def _path(path: Node) -> None:
    if path["type"] != "PathExpression":
        raise fault(path, "a literal is not allowed here")
    if path["data"] and (not path["parts"] or path["parts"][0] not in _LOOP_NAMES):
        raise fault(path, f"there is no '{path['original']}'")


def _try(node: Node, name: str, params: list[Node]) -> None:
    """Raise `TemplateProblem` when all arguments but the value are literals and the formatter does not accept them."""
    formatter = FORMATTERS.get(name)
    if formatter is None or not all(param["type"] in _LITERALS for param in params[1:]):
        return
    try:
        formatter.run(_ANYBODY, formatter.sample, *(param["value"] for param in params[1:]))
    except ValueError as error:
        raise fault(node, f"{name}: {error}") from None
