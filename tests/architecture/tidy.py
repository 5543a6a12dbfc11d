"""Rules of file layout, as functions from a path and its source to error messages. `test_tidy.py` runs them over src."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from tests.architecture.parsed import parsed

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 50
DRAWERS = {"utils", "util", "common", "helpers", "helper", "base", "manager", "managers", "tools", "misc"}
STAGES = {"accept", "plan", "deliver", "wait", "record", "inbox", "history", "feedback"}
WAITERS = ("worker", "routes", "socket", "gather", "intake")

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


def sizes(path: str, source: str) -> Iterator[tuple[str, int, int]]:
    """Return name, lines and bound of the file and of each function in it."""
    yield path, len(source.splitlines()), FILE_LINES_MAX
    yield from _function_sizes(path, parsed(source))


def _function_sizes(prefix: str, node: ast.AST) -> Iterator[tuple[str, int, int]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, FunctionNode | ast.ClassDef):
            name = f"{prefix}::{child.name}"
            if isinstance(child, FunctionNode):
                yield name, (child.end_lineno or child.lineno) - child.lineno + 1, FUNCTION_LINES_MAX
            yield from _function_sizes(name, child)
        else:
            yield from _function_sizes(prefix, child)


def oversize(found: Mapping[str, tuple[int, int]], allowed: Mapping[str, int]) -> Iterator[str]:
    """Return violations of the size list: new ones, ones that grew, and entries that are larger than needed."""
    for name, (lines, bound) in found.items():
        if name not in allowed:
            if lines > bound:
                yield f"{name}: {lines} lines, at most {bound}. Split it by meaning."
        elif lines <= bound:
            yield f"{name}: fits now ({lines} lines). Delete its entry in tests/architecture/allowed_sizes.py."
        elif lines > allowed[name]:
            yield f"{name}: grew from {allowed[name]} to {lines} lines. Split it, or take out what was added."
        elif lines < allowed[name]:
            yield f"{name}: shrank. Set its entry in tests/architecture/allowed_sizes.py from {allowed[name]} to {lines}."
    for name in allowed.keys() - found.keys():
        yield f"{name}: is gone. Delete its entry in tests/architecture/allowed_sizes.py."


def swallowing_wait(path: str, source: str) -> Iterator[str]:
    """Return an error message for each use of `asyncio.wait_for`, which Python 3.11 ends normally when it is cancelled
    just as its result arrives (https://github.com/python/cpython/issues/86296): the task that was cancelled goes on."""
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "asyncio.wait_for":
            yield f"{path}:{node.lineno}: asyncio.wait_for may lose a cancellation. Use asyncio.timeout."


def docstring(path: str, source: str) -> Iterator[str]:
    """Return an error message for a module without a docstring."""
    if not ast.get_docstring(parsed(source)):
        yield f"{path}: opens without a docstring. Say in one line what the module is for."


def drawer(path: str) -> Iterator[str]:
    """Return an error message for a file name that does not describe its contents."""
    for part in PurePosixPath(path).with_suffix("").parts:
        if DRAWERS & set(part.split("_")):
            yield f"{path}: '{part}' names a drawer. Name the file for what is in it."


def waiting(path: str, source: str) -> Iterator[str]:
    """Return an error message for each coroutine in a stage outside of the files that may wait."""
    distribution, *package = PurePosixPath(path).relative_to("src").with_suffix("").parts
    if distribution != "clarion":
        return
    if package[0] not in STAGES and package[0] != "domain":
        return
    if package[0] in STAGES and "rules" not in package and any(_owns_waiting(part) for part in package[1:]):
        return
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
            yield (
                f"{path}:{node.lineno}: waits. In a stage only worker, routes, socket, gather and intake files (or worker_*, "
                "gather_*, ...) may; move the decision out and the waiting in."
            )
            return


def _owns_waiting(part: str) -> bool:
    return part in WAITERS or part.startswith(tuple(f"{waiter}_" for waiter in WAITERS))
