"""Endpoints that explain: what would be decided about a request, and what was decided about a notification."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from clarion.domain import ids
from clarion.domain.errors import InvalidField, NotFound
from clarion.domain.limits_deciding import EXPLAIN_RECIPIENTS_MAX
from clarion.journal.events import Request
from clarion.plan.explainer import explained
from clarion.plan.gather_explanation import ExplanationGatherer
from clarion.plan.retelling import retell
from clarion.plan.rules.need import NEED_ROUNDS_MAX, Need
from clarion.plan.shapes import ExplainOut
from clarion.ports.clock import Clock
from clarion.ports.web import Call, Reply, Route

Admit = Callable[[str, Any], Awaitable[Request]]
"""Checks the body of a tenant's request as sending it would. Raises what that raises."""


def routes(gatherer: ExplanationGatherer, admit: Admit, body: type[Any], clock: Clock) -> list[Route]:
    """Return the endpoints; `body` is that of a notification."""
    do = _Handlers(gatherer, admit, clock)
    tag = "explain"
    return [
        Route("POST", "/v1/notifications/explain", do.would, "notifications:read",
              "Who would get a notification where, when and why, without sending it", body=body, reply=ExplainOut, tag=tag),
        Route("GET", "/v1/notifications/{id}/explain", do.was, "notifications:read",
              "What was decided about a notification, and why", reply=ExplainOut, tag=tag),
    ]  # fmt: skip


class _Handlers:
    def __init__(self, gatherer: ExplanationGatherer, admit: Admit, clock: Clock) -> None:
        self._gatherer = gatherer
        self._admit = admit
        self._clock = clock
        self._renders = ThreadPoolExecutor(1, thread_name_prefix="explain")

    async def would(self, call: Call) -> Reply:
        tenant = call.caller.tenant
        request = await self._admit(tenant, call.body)
        if len(request.to) > EXPLAIN_RECIPIENTS_MAX:
            raise InvalidField(f"takes at most {EXPLAIN_RECIPIENTS_MAX} recipients to explain", field="to")
        asked, facts = await self._gatherer.would(tenant, request, self._clock.now_ms())
        for _ in range(NEED_ROUNDS_MAX):
            # In a thread: every channel of every recipient is rendered.
            told = await asyncio.get_running_loop().run_in_executor(
                self._renders, explained, asked, facts, self._gatherer.contents
            )
            if not isinstance(told, Need):
                return Reply(told)
            facts = await self._gatherer.more(facts, told, asked)
        raise RuntimeError(f"an explanation lacked facts {NEED_ROUNDS_MAX} times")

    async def was(self, call: Call) -> Reply:
        text = call.path["id"]
        id_ = ids.read(ids.NOTIFICATION_PREFIX, text)
        then = await self._gatherer.was(call.caller.tenant, id_) if id_ is not None else None
        if then is None:
            raise NotFound(f"unknown notification {text!r}, or not planned yet", field="id")
        return Reply(retell(then))
