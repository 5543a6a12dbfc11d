"""Parts that are maps and lists, in which every text is a template of its own."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from clarion.domain.depth import too_deep
from clarion.domain.json_numbers import numbers
from clarion.domain.limits_content import TREE_DEPTH_MAX
from clarion.ports.renderer import Render


def compile_tree(source: Any, compile_text: Callable[[str], Render]) -> Render:
    """Return a render function for a text, or for a map or list with texts as leaves; other leaves are unchanged."""
    if isinstance(source, str):
        return compile_text(source)
    if isinstance(source, Mapping):
        fields = [(key, compile_tree(value, compile_text)) for key, value in source.items()]
        return lambda context: {key: render(context) for key, render in fields}
    if isinstance(source, list | tuple):
        items = [compile_tree(value, compile_text) for value in source]
        return lambda context: [render(context) for render in items]
    return lambda _context: source


def structured(source: Any, field: str) -> Any:
    """Return a part that is JSON text as its map or list, so that data can only fill texts and never change the
    structure; any other part, also JSON with tags between its values, unchanged. Raises `InvalidField`."""
    if not isinstance(source, str) or too_deep(raw := source.encode(), TREE_DEPTH_MAX):
        return source
    try:
        tree = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return source
    numbers(tree, field)
    return tree if isinstance(tree, dict | list) else source


def texts(source: Any) -> Iterator[str]:
    """Yield every text of a part."""
    if isinstance(source, str):
        yield source
    elif isinstance(source, Mapping):
        for value in source.values():
            yield from texts(value)
    elif isinstance(source, list | tuple):
        for value in source:
            yield from texts(value)
