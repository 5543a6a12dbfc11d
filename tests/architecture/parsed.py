"""Sources as syntax trees, each parsed once for all checks. Callers must not change the result."""

import ast
from functools import cache


@cache
def parsed(source: str) -> ast.Module:
    return ast.parse(source)
