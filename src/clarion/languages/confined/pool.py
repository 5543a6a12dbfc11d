"""Drafting in confined processes: a few, started on demand, each doing one job at a time."""

from typing import TypeVar

import msgspec

from clarion.content.compiled import locale_for
from clarion.domain.content import Template
from clarion.domain.errors import InvalidField, Overloaded
from clarion.domain.limits_content import CONFINED_CHILDREN_MAX, CONFINED_WAITING_MAX, CONFINED_WAITING_PER_TENANT_MAX
from clarion.languages.confined import wire
from clarion.languages.confined.child import Broken, Command, ConfinedChild
from clarion.languages.confined.turns import Turns
from clarion.languages.confined.wire import BOUNDS, PipeMessage
from clarion.ports.drafting import BuildJob, Rendered, RenderJob
from clarion.ports.telemetry import Telemetry

T = TypeVar("T")


class ConfinedDrafting:
    """Builds and renders drafts in processes where they can do no harm. It belongs to one event loop; `close` ends the
    processes, and they end by themselves when this process ends."""

    def __init__(self, command: Command, telemetry: Telemetry) -> None:
        self._command = command
        self._telemetry = telemetry
        self._idle: list[ConfinedChild] = []
        self._turns = Turns(
            CONFINED_CHILDREN_MAX,
            waiting_max=CONFINED_WAITING_MAX,
            waiting_per_tenant_max=CONFINED_WAITING_PER_TENANT_MAX,
        )

    async def build(self, job: BuildJob) -> Template:
        """Return the template built from a source. Raises `InvalidField` when a field is wrong, the job exceeds its
        bounds or crashes its process, and `Overloaded` when there is no free process or none can be started."""
        answer = await self._ask(job)
        if answer.kind == wire.DONE:
            return _decoded(answer.body, Template)
        if answer.kind == wire.REFUSED:
            refusal = _decoded(answer.body, wire.Refusal)
            raise InvalidField(refusal.detail, field=refusal.field, code=refusal.code)
        code = "template_crashed" if answer.kind == wire.ENDED else "template_too_costly"
        raise InvalidField(_reason(answer, wire.BUILD), field="channels", code=code)

    async def render(self, job: RenderJob) -> Rendered:
        """Return the rendered parts; a job that exceeds its bounds is the error of all its channels. Raises
        `Overloaded` when there is no free process or none can be started."""
        answer = await self._ask(job)
        if answer.kind == wire.DONE:
            return _decoded(answer.body, Rendered)
        locale = locale_for(job.template, job.locale, job.tenant_locale)
        return Rendered(locale, {}, dict.fromkeys(job.channels, _reason(answer, wire.RENDER)))

    async def _ask(self, job: BuildJob | RenderJob) -> PipeMessage:
        frame = wire.job_frame(job)
        async with self._turns.place(job.tenant):
            answer = await self._ask_one(frame)
        if answer.kind == wire.ENDED:
            self._telemetry.log("warning", "draft_crashed", error=answer.body.decode(errors="replace"))
        return answer

    async def _ask_one(self, job: PipeMessage) -> PipeMessage:
        child = await self._child()
        try:
            answer = await child.ask(job)
        except TimeoutError:
            await child.kill()
            return PipeMessage(wire.OVER_TIME)
        except Broken as error:
            await child.kill()
            return PipeMessage(wire.ENDED, str(error).encode())
        except BaseException:  # the caller was cancelled, so nobody waits for the answer
            await child.kill()
            raise
        if child.usable:
            self._idle.append(child)
        else:
            await child.end()
        return answer

    async def _child(self) -> ConfinedChild:
        while self._idle:
            child = self._idle.pop()
            if child.usable:
                return child
            await child.end()
        try:
            return await ConfinedChild.start(self._command)
        except (Broken, OSError, TimeoutError) as error:
            self._telemetry.log("error", "drafting_unavailable", error=repr(error))
            raise Overloaded("templates cannot be processed now; try again", retry_after_s=5) from error

    async def close(self) -> None:
        """End the processes. No job may be running."""
        while self._idle:
            await self._idle.pop().end()


def _decoded(body: bytes, kind: type[T]) -> T:
    return msgspec.msgpack.decode(body, type=kind)


def _reason(answer: PipeMessage, kind: bytes) -> str:
    bounds = BOUNDS[kind]
    if answer.kind == wire.OVER_TIME:
        return f"the template took more than {bounds.cpu_ms} ms"
    if answer.kind == wire.OVER_MEMORY:
        return f"the template took more memory than {bounds.memory_mb} MB"
    return "the template ended the process that worked on it"
