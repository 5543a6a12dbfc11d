"""docs/permissions.md: each permission, the scopes that have it, and what each route needs. The blocks between markers are
generated from the code; the rest of the page is written by hand and not changed.

`python -m clarion_lab.pages.permissions docs/permissions.md` writes the page.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from clarion.app.routes.all_routes import routes
from clarion.domain.permissions import PERMISSIONS, PUBLIC, sets_with
from clarion.ports.web import Route
from clarion.testing.clock import SetClock
from clarion.testing.installation import Installation
from clarion.testing.loop import LoneLoop

RENEW: Final = "make permission-page"
_BLOCK: Final = re.compile(r"<!-- generated: (\w+) -->\n.*?<!-- end of generated -->", re.DOTALL)
_SETS: Final = {
    "inbox": "a user's own token", "operator": "the operator", "session": "everybody who is signed in", "member": "roles alone",
}  # fmt: skip
"""How the page calls the sets that are no scopes of keys."""


def all_routes() -> list[Route]:
    """Return the routes of the API, but those of operations."""
    loop = LoneLoop()
    try:
        with TemporaryDirectory(prefix="clarion-") as folder:
            parts = Installation(Path(folder), SetClock(loop, 0))
            found = routes(parts)
            loop.run_until_complete(parts.close())
            return found
    finally:
        loop.close()


def page(before: str, found: Sequence[Route]) -> str:
    """Return the text of the page, with the blocks of the text before replaced. Raises `ValueError` without a place for one."""
    return filled(before, {"permissions": _permissions(), "routes": _routes(found)})


def filled(before: str, blocks: Mapping[str, str]) -> str:
    """Return a text with its generated blocks replaced. Raises `ValueError` without a place for one."""
    missing = blocks.keys() - set(_BLOCK.findall(before))
    if missing:
        raise ValueError(f"the page has no place for {', '.join(sorted(missing))}")
    return _BLOCK.sub(lambda match: _block(match[1], blocks[match[1]]), before)


def _block(name: str, text: str) -> str:
    return f"<!-- generated: {name} -->\n{text}\n<!-- end of generated -->"


def _permissions() -> str:
    lines = ["| permission | lets its holder | in the scopes |", "|---|---|---|"]
    for name, about in PERMISSIONS.items():
        lines.append(f"| `{name}` | {about} | {', '.join(_SETS.get(one, f'`{one}`') for one in sets_with(name))} |")
    return "\n".join(lines)


def _routes(found: Sequence[Route]) -> str:
    lines = ["| route | permission |", "|---|---|"]
    for route in sorted(found, key=lambda one: (one.path, one.method)):
        needed = "none" if route.permission == PUBLIC else f"`{route.permission}`"
        lines.append(f"| `{route.method} {route.path}` | {needed} |")
    return "\n".join(lines)


def main(words: list[str]) -> int:
    """Write the page whose path is the first argument."""
    path = Path(words[0])
    path.write_text(page(path.read_text(encoding="utf-8"), all_routes()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
