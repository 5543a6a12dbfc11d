"""docs/roles.md: what each built-in role is for, and which of them each route lets in. The blocks between markers are generated from
the code; what they say is reviewed, since the test of all routes with all roles holds the API against this page.

`python -m clarion_lab.pages.roles docs/roles.md` writes the page.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from clarion.domain.permissions import OF_MEMBER, OF_PERSON
from clarion.domain.roles import ABOUT, BUILT_IN
from clarion.ports.web import Route
from clarion_lab.pages.permissions import all_routes, filled

RENEW: Final = "make role-page"


def page(before: str, found: Sequence[Route]) -> str:
    """Return the text of the page, with the blocks of the text before replaced."""
    return filled(before, {"roles": _roles(), "matrix": _matrix(found)})


def _roles() -> str:
    lines = ["| role | for | permissions |", "|---|---|---|"]
    lines += [f"| `{name}` | {ABOUT[name]} | {len(held)} of {len(OF_MEMBER)} |" for name, held in BUILT_IN.items()]
    return "\n".join(lines)


def _matrix(found: Sequence[Route]) -> str:
    lines = [f"| route | {' | '.join(BUILT_IN)} |", "|---" * (len(BUILT_IN) + 1) + "|"]
    for route in sorted(found, key=lambda one: (one.path, one.method)):
        if route.permission in OF_MEMBER | OF_PERSON:
            cells = ("yes" if route.permission in held | OF_PERSON else "" for held in BUILT_IN.values())
            lines.append(f"| `{route.method} {route.path}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(words: list[str]) -> int:
    """Write the page whose path is the first argument."""
    path = Path(words[0])
    path.write_text(page(path.read_text(encoding="utf-8"), all_routes()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
