"""The import graph of the source tree: read from the code, searched for cycles, and drawn as a diagram."""

import ast
from collections.abc import Iterator, Mapping
from importlib.util import resolve_name
from pathlib import Path

from tests.architecture.parsed import parsed

LAYERS = (
    {"testing"},
    {"app"},
    {"ways_in", "gateway"},
    {
        "accept", "plan", "deliver", "wait", "record", "feedback", "inbox", "history", "control", "identity", "providers",
        "stores", "carriers", "languages", "outbound", "edge", "ops",
    },
    {"content", "resources"},
    {"runtime"},
    {"journal"},
    {"ports"},
    {"domain"},
)  # fmt: skip
"""First folders from top to bottom. Folders on one line do not import each other, except for the pairs in `MEET`."""

Graph = Mapping[str, set[str]]


def modules(root: Path) -> dict[str, str]:
    """Return the source by module name, for every module below a package's folder."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = [root.name, *path.relative_to(root).with_suffix("").parts]
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = path.read_text(encoding="utf-8")
    return found


def graph_of(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """Return the modules that each module imports anywhere: when it is loaded, when a function is called, or for types
    alone."""
    return {name: set(_imports(name, source, sources)) - {name} for name, source in sources.items()}


def _imports(importer: str, source: str, known: Mapping[str, str]) -> Iterator[str]:
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            module = _module_of(importer, node, known)
            for alias in node.names:
                inner = f"{module}.{alias.name}"
                if inner in known:
                    yield inner
                elif module in known:
                    yield module
        elif isinstance(node, ast.Call) and _name_of(node.func) == "import_module":
            yield from (arg.value for arg in node.args if isinstance(arg, ast.Constant) and arg.value in known)


def _name_of(function: ast.expr) -> str:
    return getattr(function, "attr", "") or getattr(function, "id", "")


def _module_of(importer: str, node: ast.ImportFrom, known: Mapping[str, str]) -> str:
    """Return the full name of the module that names are imported from."""
    if not node.level:
        return node.module or ""
    is_package = any(other.startswith(f"{importer}.") for other in known)
    package = importer if is_package else importer.rpartition(".")[0]
    return resolve_name("." * node.level + (node.module or ""), package)


def circles(graph: Graph) -> list[list[str]]:
    """Return groups of modules that reach each other (strongly connected components by Tarjan, larger than one)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        number[name] = low[name] = len(number)
        stack.append(name)
        for other in graph.get(name, ()):
            if other not in number:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], number[other])
        if low[name] == number[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                found.append(sorted(group))

    for name in graph:
        if name not in number:
            visit(name)
    return found


def upward(graph: Graph) -> list[str]:
    """Return imports that lead from a folder to one above it or on the same level."""
    height = {folder: row for row, folders in enumerate(LAYERS) for folder in folders}
    found = []
    for name, others in graph.items():
        here = folder_of(name)
        for other in sorted(others):
            there = folder_of(other)
            if here in height and there in height and here != there and height[there] <= height[here]:
                found.append(f"{name} imports {other}")
    return found


def folder_of(module: str) -> str:
    """Return the first folder of a module below the package."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def drawing(graph: Graph) -> str:
    """Return the graph of first folders as a Mermaid flowchart: an arrow for each pair of folders, labelled with the number of
    imports."""
    counts: dict[tuple[str, str], int] = {}
    for name, others in graph.items():
        for other in others:
            pair = folder_of(name), folder_of(other)
            if all(pair) and pair[0] != pair[1] and not pair[0].startswith("__"):
                counts[pair] = counts.get(pair, 0) + 1
    order = {folder: (row, folder) for row, folders in enumerate(LAYERS) for folder in folders}
    lines = [
        f"    {a} --> {b}" for a, b in sorted(counts, key=lambda pair: (order.get(pair[0], ()), order.get(pair[1], ())))
    ]
    return "\n".join(["flowchart TD", *lines])
