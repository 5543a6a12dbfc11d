"""Runs the attack corpus in this process, as a worker would: one line of JSON for each attack. Started by `test_attacks.py`."""

import json
import sys
from pathlib import Path
from time import thread_time

from clarion.languages.handlebars.engine import HandlebarsRenderer
from clarion.ports.renderer import RenderError, SyntaxProblem
from tests.unit.languages.handlebars.attacks import DATA, ESCAPES, TOO_MUCH

STATUS, REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def kilobytes(name: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1])


def main() -> None:
    renderer = HandlebarsRenderer()
    context = {**DATA, "data": DATA, "user": {}}
    sources = {name: source for name, (source, _) in TOO_MUCH.items()} | ESCAPES
    renderer.compile("{{#if warm}}{{/if}}", html=True)(context)
    for name, source in sources.items():
        REFS.write_text("5")  # the peak begins anew
        before_kb, started = kilobytes("VmRSS"), thread_time()
        try:
            renderer.compile(source, html=True)(context)
            said = ""
        except (RenderError, SyntaxProblem) as error:
            said = f"{type(error).__name__}: {error}"
        cpu_ms = (thread_time() - started) * 1000
        peak_mb = (kilobytes("VmHWM") - before_kb) / 1024
        after = renderer.compile("{{#each few}}{{#if @last}}{{this}}{{/if}}{{/each}}", html=True)(context)
        sys.stdout.write(
            json.dumps([name, {"said": said, "cpu_ms": cpu_ms, "peak_mb": peak_mb, "after": after}]) + "\n"
        )


if __name__ == "__main__":
    main()
