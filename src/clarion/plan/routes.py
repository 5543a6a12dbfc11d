"""Endpoints that explain decisions: those that a request would get now, and those made about a notification."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from clarion.domain import ids
from clarion.domain.errors import InvalidField, NotFound
from clarion.domain.limits import EXPLAIN_RECIPIENTS_MAX
from clarion.journal.events import Request
from clarion.plan.explain_past import explain_past
from clarion.plan.explain_request import explain_request
from clarion.plan.gather_explanation import ExplanationGatherer
from clarion.plan.rules.need import NEED_ROUNDS_MAX, Need
from clarion.plan.shapes import ExplainOut
from clarion.ports.clock import Clock
from clarion.ports.web import Call, Reply, Route

Admit = Callable[[str, Any], Awaitable[Request]]
"""Checks the body of a tenant's request as sending it would. Raises the same errors."""


def routes(gatherer: ExplanationGatherer, admit: Admit, body: type[Any], clock: Clock) -> list[Route]:
    """Return the endpoints; `body` is the body type of a notification."""
    do = _Handlers(gatherer, admit, clock)
    tag = "explain"
    return [
        Route("POST", "/v1/notifications/explain", do.explain_request, "notifications:read",
              "Explain to whom, where, when and why a notification would be sent", body=body, reply=ExplainOut, tag=tag),
        Route("GET", "/v1/notifications/{id}/explain", do.explain_past, "notifications:read",
              "Explain the decisions about a notification", reply=ExplainOut, tag=tag),
    ]  # fmt: skip


class _Handlers:
    def __init__(self, gatherer: ExplanationGatherer, admit: Admit, clock: Clock) -> None:
        self._gatherer = gatherer
        self._admit = admit
        self._clock = clock
        self._renders = ThreadPoolExecutor(1, thread_name_prefix="explain")

    async def explain_request(self, call: Call) -> Reply:
        tenant = call.caller.tenant
        request = await self._admit(tenant, call.body)
        if len(request.to) > EXPLAIN_RECIPIENTS_MAX:
            raise InvalidField(f"takes at most {EXPLAIN_RECIPIENTS_MAX} recipients to explain", field="to")
        asked, facts = await self._gatherer.gather_request(tenant, request, self._clock.now_ms())
        for _ in range(NEED_ROUNDS_MAX):
            # In a thread: every channel of every recipient is rendered.
            explanation = await asyncio.get_running_loop().run_in_executor(
                self._renders, explain_request, asked, facts, self._gatherer.contents
            )
            if not isinstance(explanation, Need):
                return Reply(explanation)
            facts = await self._gatherer.more(facts, explanation, asked)
        raise RuntimeError(f"facts were still missing for an explanation after {NEED_ROUNDS_MAX} rounds")

    async def explain_past(self, call: Call) -> Reply:
        text = call.path["id"]
        id_ = ids.read(ids.NOTIFICATION_PREFIX, text)
        past = await self._gatherer.gather_past(call.caller.tenant, id_) if id_ is not None else None
        if past is None:
            raise NotFound(f"unknown notification {text!r}, or not planned yet", field="id")
        return Reply(explain_past(past))
