"""Drafting in this very process: for templates that are trusted, for tests, and inside the process that confines others."""

from clarion.content.build import build
from clarion.content.compiled import render_job
from clarion.domain.content import Template
from clarion.ports.drafting import BuildJob, Rendered, RenderJob
from clarion.ports.renderer import Engines


class DirectDrafting:
    """Builds and renders at once. Only the engines' own limits stand between a hostile template and the process."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    async def build(self, job: BuildJob) -> Template:
        """Return what is sent of a source. Raises `InvalidField`."""
        return build(job, self._engines)

    async def render(self, job: RenderJob) -> Rendered:
        """Return the rendered parts."""
        return render_job(job, self._engines)

    async def close(self) -> None:
        """Do nothing: there is nothing to let go of."""
