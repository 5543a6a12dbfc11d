"""Sources as syntax trees, each parsed once for all checks. Nobody may change what they get."""

import ast
from functools import cache


@cache
def parsed(source: str) -> ast.Module:
    return ast.parse(source)
