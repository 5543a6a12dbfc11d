"""Which modules may do I/O, as functions from a module and its source to error messages.

In a stage only *shell* modules do I/O, synchronous or not: files named `worker`, `routes`, `socket`, `gather` or `intake`,
or beginning with one of these and an underscore. Every other module decides from its arguments.
"""

import ast
from collections.abc import Collection, Iterator, Mapping
from pathlib import PurePosixPath

from tests.architecture.parsed import parsed

STAGES = {"accept", "plan", "deliver", "wait", "record", "inbox", "history", "feedback"}
SHELLS = ("worker", "routes", "socket", "gather", "intake")
LIBRARIES = {
    "aiosmtplib", "alembic", "apsw", "asyncio", "asyncpg", "concurrent", "httptools", "io", "logging", "multiprocessing", "os", "pathlib",
    "prometheus_client", "psutil", "pyreqwest", "random", "secrets", "select", "shutil", "socket", "sqlalchemy", "sqlite3",
    "ssl", "starlette", "structlog", "subprocess", "tempfile", "threading", "time", "uvicorn", "uvloop",
}  # fmt: skip
"""Modules that read, write, wait, or use the clock or random numbers."""
IN_PROCESS = {"Clock", "Telemetry"}
"""Ports whose methods are synchronous and yet have effects."""
CALLS = {"open", "print", "input", "exec", "eval", "breakpoint"}
METHODS = {
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
    ("uuid", "uuid1"),
    ("uuid", "uuid4"),
}
"""Functions of modules that are otherwise pure: the clock and random numbers."""


def protocols(ports: Mapping[str, str]) -> dict[str, bool]:
    """Return every protocol of the ports, by name, with whether it does I/O: it awaits, is listed in `IN_PROCESS`, or is
    composed of protocols that do."""
    classes = {
        node.name: node for source in ports.values() for node in parsed(source).body if isinstance(node, ast.ClassDef)
    }
    found = {name: name in IN_PROCESS or _awaits(node) for name, node in classes.items() if _is_protocol(node)}
    changed = True
    while changed:
        changed = False
        for name in found:
            if not found[name] and any(found.get(one) for one in _mentioned(classes[name])):
                found[name] = changed = True
    return found


def _is_protocol(node: ast.ClassDef) -> bool:
    return "Protocol" in _bases(node)


def _bases(node: ast.ClassDef) -> list[str]:
    """Return the names of the base classes, without type arguments."""
    plain = (base.value if isinstance(base, ast.Subscript) else base for base in node.bases)
    return [base.id for base in plain if isinstance(base, ast.Name)]


def _awaits(node: ast.ClassDef) -> bool:
    return any(isinstance(member, ast.AsyncFunctionDef) for member in node.body)


def _mentioned(node: ast.ClassDef) -> Iterator[str]:
    """Return the protocols that a protocol extends or returns from a property."""
    yield from _bases(node)
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and member.decorator_list and isinstance(member.returns, ast.Name):
            yield member.returns.id


def complaints(path: str, source: str, effects: Collection[str]) -> Iterator[str]:
    """Return an error message for each thing that a module of a stage does and only a shell module may do; `effects` are
    the protocols that do I/O."""
    parts = PurePosixPath(path).relative_to("src/clarion").with_suffix("").parts
    if parts[0] not in STAGES or is_shell(parts):
        return
    tree = parsed(source)
    for node in ast.walk(tree):
        match node:
            case ast.AsyncFunctionDef() | ast.Await() | ast.AsyncFor() | ast.AsyncWith():
                yield _said(path, node, "waits")
            case ast.Import(names=names):
                for alias in names:
                    if alias.name.split(".")[0] in LIBRARIES:
                        yield _said(path, node, f"imports {alias.name}")
            case ast.ImportFrom(module=module, names=names) if module is not None:
                yield from (
                    _said(path, node, words) for words in _imported(module, [one.name for one in names], effects)
                )
            case ast.Call(func=ast.Name(id=name)) if name in CALLS:
                yield _said(path, node, f"calls {name}()")
            case ast.Call(func=ast.Attribute(attr=name, value=(ast.Name(id=of) | ast.Attribute(attr=of)))) if (
                of,
                name,
            ) in METHODS:
                yield _said(path, node, f"calls {of}.{name}()")


def _imported(module: str, names: list[str], effects: Collection[str]) -> Iterator[str]:
    if module.split(".")[0] in LIBRARIES:
        yield f"imports {module}"
    if module.startswith("clarion.ports"):
        yield from (f"is given {name}" for name in names if name in effects)
    parts = tuple(module.split(".")[1:])
    if parts and parts[0] in STAGES and is_shell(parts):
        yield f"imports {module}, which does"


def is_shell(parts: tuple[str, ...]) -> bool:
    """Return whether a module of a stage is one that may do I/O; `parts` begin with the stage."""
    if "rules" in parts:
        return False
    return any(part in SHELLS or part.startswith(tuple(f"{shell}_" for shell in SHELLS)) for part in parts[1:])


def _said(path: str, node: ast.AST, words: str) -> str:
    line = getattr(node, "lineno", 1)
    return (
        f"{path}:{line}: {words}. In a stage only {', '.join(SHELLS)} files (or worker_*, gather_*, ...) do I/O: gather "
        "the facts there, and decide here from what was gathered."
    )
