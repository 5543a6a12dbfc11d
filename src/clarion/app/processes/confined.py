"""The process that builds and renders drafts: `python -m clarion.app.processes.confined`, started and ended by the API
process."""

import gc
import sys
from collections.abc import Mapping
from typing import Final

from clarion.app.wiring.engines import template_engines
from clarion.content.build import build
from clarion.content.compiled import render_job
from clarion.domain.channel import Channel
from clarion.domain.content import Template
from clarion.domain.template import Engine, Source
from clarion.languages.confined.attend import attend
from clarion.languages.confined.child import Command
from clarion.ops.crashes import mask_crashes
from clarion.ports.drafting import BuildJob, Rendered, RenderJob

_KEPT: Final = ("PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""The only environment variables that the process gets: where its code is."""

_CONDITIONS: Final[dict[Engine, str]] = {
    "liquid": "{% if a %}{{ a }}{% endif %}",
    "handlebars": "{{#if a}}{{ a }}{{/if}}",
}
_MJML: Final = "<mj-section><mj-column><mj-text>{}</mj-text></mj-column></mj-section>"
_WARM: Final = [
    Source({Channel.EMAIL: {"subject": text, "mjml": _MJML.format(text)}}, engine=engine)
    for engine, text in _CONDITIONS.items()
]
"""Templates built before the first job, so that no job has to load the template engines."""


def command(environment: Mapping[str, str]) -> Command:
    """Return the command and the environment that start such a process."""
    kept = {name: environment[name] for name in _KEPT if name in environment}
    # -P: without it the working directory would come before the installed packages.
    return Command((sys.executable, "-P", "-m", "clarion.app.processes.confined"), kept)


def main() -> None:
    """Run the jobs that arrive on standard input until it ends."""
    mask_crashes()
    engines = template_engines()

    def work(job: BuildJob | RenderJob) -> Template | Rendered:
        return build(job, engines) if isinstance(job, BuildJob) else render_job(job, engines)

    for source in _WARM:
        if source.engine in engines:
            work(BuildJob("warm", source))
    gc.freeze()  # forked processes share the objects that exist here
    attend(sys.stdin.fileno(), sys.stdout.fileno(), work)


if __name__ == "__main__":
    main()
