"""Drafting in the current process: for trusted templates, for tests, and inside the confined process."""

from clarion.content.build import build
from clarion.content.compiled import render_job
from clarion.domain.content import Template
from clarion.ports.drafting import BuildJob, Rendered, RenderJob
from clarion.ports.renderer import Engines


class DirectDrafting:
    """Builds and renders in the current process. Only the limits of the template engines protect it from a hostile
    template."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    async def build(self, job: BuildJob) -> Template:
        """Return the template built from a source. Raises `InvalidField`."""
        return build(job, self._engines)

    async def render(self, job: RenderJob) -> Rendered:
        """Return the rendered parts."""
        return render_job(job, self._engines)

    async def close(self) -> None:
        """Do nothing: there are no resources to release."""
