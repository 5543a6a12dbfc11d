"""Runs hostile templates, each in a measured process of its own: `python trial.py ENGINE FOLDER`.

For every `*.liquid` or `*.hbs` of the folder, as a text and as an HTML part, it prints a line of JSON: the result, its
reason, the resources used, and whether the next template still rendered. In these files `⟦3*x⟧` stands for `xxx`.
"""

import json
import os
import re
import resource
import sys
import time
from pathlib import Path

from clarion.app.wiring.engines import template_engines
from clarion.ports.renderer import RenderError, SyntaxProblem

REPEATED = re.compile("⟦([0-9]+)[*]([^⟦⟧]*)⟧")
PAGE_BYTES = resource.getpagesize()
CPU_S_MAX = 5
MEMORY_BYTES_MAX = 1024**3
BIG = "x" * 200_000
NUMBERS = list(range(60_000))
DATA = {
    "n": 1,
    "huge": 10**30,
    "big": BIG,
    "needle": "x" * 5_000 + "y",
    "digits": "9" * 200_000,
    "angles": "<" * 50_000,
    "lines": "\n" * 50_000,
    "blanks": " \n\t" * 60_000 + "x",
    "entities": "&amp;" * 40_000,
    "percents": "%3C" * 60_000,
    "words": "ab " * 20_000,
    "numbers": NUMBERS,
    "copy": [number + 0.0 for number in NUMBERS],
    "few": list(range(5_000)),
    "rows": [{"name": f"row {number % 97}", "number": number} for number in range(9_000)],
    "deep": [[[[[["x"]] * 10] * 10] * 10] * 10],
}
USER = {"first_name": "Ada"}
CONTEXT = {**DATA, "data": DATA, "user": USER, "brand": {}, "_locale": "de", "_zone": "Europe/Berlin", "_at_ms": 0}
NEXT = {"liquid": "{{ user.first_name | upcase }}", "handlebars": "{{user.first_name}}{{#if user}}!{{/if}}"}


def expand(text):
    """Return a text with its repetition marks expanded."""
    while repeated := REPEATED.search(text):
        text = text[: repeated.start()] + repeated.group(2) * int(repeated.group(1)) + text[repeated.end() :]
    return text


def outcome_of(engine, source, *, html):
    try:
        text = engine.compile(source, html=html)(CONTEXT)
    except SyntaxProblem as problem:
        return "syntax", problem.detail
    except RenderError as error:
        return "render", str(error)
    return "text", f"{len(text)} characters"


def memory_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


def try_one(name, engine, source, *, html):
    """Return the result of an attack and the resources it used; runs in a process of its own."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S_MAX, CPU_S_MAX))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    memory, cpu = memory_bytes(), time.process_time()
    outcome, reason = outcome_of(engine, source, html=html)
    cpu = time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "outcome": outcome,
        "reason": reason[:300],
        "cpu_ms": round(cpu * 1000),
        "peak_mb": round((peak - memory) / 1024**2, 1),
        "next": outcome_of(engine, NEXT[name], html=html)[0],
    }


def forked(work):
    """Return the result of `work` in a child process, or how that process ended."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, json.dumps(work()).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as answers:
        answer = answers.read()
    status = os.waitpid(child, 0)[1]
    return json.loads(answer) if answer else {"outcome": "killed", "reason": f"status {status}"}


def main(name, folder):
    engine = template_engines()[name]
    outcome_of(engine, NEXT[name], html=True)
    for path in sorted(folder.iterdir()):
        if path.suffix in (".liquid", ".hbs"):
            source = expand(path.read_text(encoding="utf-8"))
            for html in (False, True):
                found = forked(lambda source=source, html=html: try_one(name, engine, source, html=html))
                sys.stdout.write(json.dumps({"attack": path.stem, "html": html, **found}) + "\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
