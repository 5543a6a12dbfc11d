"""Renders with many different amounts of memory, so that it runs out in as many places as possible. Started by
`test_attacks.py`."""

import sys

from clarion.languages.handlebars import sandbox
from clarion.languages.handlebars.engine import HandlebarsRenderer
from clarion.ports.renderer import RenderError, SyntaxProblem
from tests.unit.languages.handlebars.attacks import DATA, TOO_MUCH

NAMES = ("text that grows when escaped", "loops that escape", "lists to format", "a megabyte of an argument")
KILOBYTES = (*range(1_200, 1_700, 29), *range(2_000, 30_000, 1_777))


def main() -> None:
    stopped = 0
    for kilobytes in KILOBYTES:
        sandbox.HANDLEBARS_MEMORY_BYTES_MAX = kilobytes * 1024
        for name in NAMES:
            try:
                HandlebarsRenderer().compile(TOO_MUCH[name][0], html=True)({**DATA, "data": DATA})
            except (RenderError, SyntaxProblem):
                stopped += 1
    sys.stdout.write(str(stopped))


if __name__ == "__main__":
    main()
