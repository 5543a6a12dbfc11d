"""The process that works on drafts: `python -m clarion.app.confined`, started and ended by the API process."""

import gc
import sys
from collections.abc import Mapping
from typing import Final

from clarion.app.engines import template_engines
from clarion.backends.confined.attend import attend
from clarion.backends.confined.child import Command
from clarion.content.build import build
from clarion.content.compiled import render_job
from clarion.domain.channel import Channel
from clarion.domain.content import Template
from clarion.domain.template import Engine, Source
from clarion.ports.drafting import BuildJob, Rendered, RenderJob

_KEPT: Final = ("PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""All that the process gets of the environment: where its own code is."""

_CONDITIONS: Final[dict[Engine, str]] = {
    "liquid": "{% if a %}{{ a }}{% endif %}",
    "handlebars": "{{#if a}}{{ a }}{{/if}}",
}
_MJML: Final = "<mj-section><mj-column><mj-text>{}</mj-text></mj-column></mj-section>"
_WARM: Final = [
    Source({Channel.EMAIL: {"subject": text, "mjml": _MJML.format(text)}}, engine=engine)
    for engine, text in _CONDITIONS.items()
]
"""Built before the first job, so that none has to load what all need."""


def command(environment: Mapping[str, str]) -> Command:
    """Return how such a process is started."""
    kept = {name: environment[name] for name in _KEPT if name in environment}
    # -P: without it the working directory would come before the installed packages.
    return Command((sys.executable, "-P", "-m", "clarion.app.confined"), kept)


def main() -> None:
    """Do the jobs that come by standard input until it ends."""
    engines = template_engines()

    def work(job: BuildJob | RenderJob) -> Template | Rendered:
        return build(job, engines) if isinstance(job, BuildJob) else render_job(job, engines)

    for source in _WARM:
        if source.engine in engines:
            work(BuildJob("warm", source))
    gc.freeze()  # copies share what was made so far
    attend(sys.stdin.fileno(), sys.stdout.fileno(), work)


if __name__ == "__main__":
    main()
