"""Event rules over HTTP. When a rule is stored, every definition it names has to exist and its expressions have to
parse."""

import asyncio
from collections.abc import Container
from datetime import datetime

import msgspec

from clarion.control.categories.resource import critical_categories
from clarion.control.defined import Reading, view
from clarion.control.event_rules.rules import Known, check_references, check_rule
from clarion.control.templates.reads import Templates
from clarion.domain.address import key
from clarion.domain.channel import Channel
from clarion.domain.errors import InvalidField
from clarion.domain.event_rule import EXPRESSION_NAMES, EventRule, Notify
from clarion.domain.limits import DEFINITION_BYTES_MAX
from clarion.domain.workflow import Workflow
from clarion.ports.control import Control
from clarion.ports.expressions import ExpressionError, Expressions
from clarion.ports.web import Call, Reply, Route

_JSON = msgspec.json.Encoder()


class EventRuleView(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event rule in the API's responses."""

    key: str
    version: int
    event: str
    notify: tuple[Notify, ...]
    created_at: datetime
    updated_at: datetime
    if_: str | None = msgspec.field(default=None, name="if")
    enabled: bool = True
    name: str = ""


class _Handlers:
    def __init__(self, control: Control, expressions: Expressions) -> None:
        self._control = control
        self._expressions = expressions
        self.reading = Reading(control.definitions, EventRule.KIND, "event rule")

    async def put(self, call: Call) -> Reply:
        tenant, rule, name = call.caller.tenant, call.body, key(call.path["key"], "key")
        body = _JSON.encode(rule)
        if len(body) > DEFINITION_BYTES_MAX:
            raise InvalidField(f"is longer than {DEFINITION_BYTES_MAX} bytes", field="notify")
        # In a thread: hundreds of expressions are compiled.
        await asyncio.to_thread(check_rule, rule, self._fault_of)
        check_references(rule, await self._known(tenant, rule))
        return Reply(view(await self._control.definitions.put(tenant, EventRule.KIND, name, body)))

    def _fault_of(self, text: str) -> str:
        try:
            self._expressions.compile(text, EXPRESSION_NAMES)
        except ExpressionError as error:
            return str(error)
        return ""

    async def _known(self, tenant: str, rule: EventRule) -> Known:
        """Return the existing definitions among those that the rule names."""
        control, templates, workflows = self._control, dict[str, Container[Channel]](), set[str]()
        for named in {notify.template for notify in rule.notify if notify.template is not None}:
            template = await Templates(control.documents).get(tenant, named)
            if template is not None:
                templates[named] = template.parts
        for named in {notify.workflow for notify in rule.notify if notify.workflow is not None}:
            if await control.definitions.get(tenant, Workflow.KIND, named) is not None:
                workflows.add(named)
        return Known(templates, workflows, await critical_categories(control.documents, tenant))


def routes(control: Control, expressions: Expressions) -> list[Route]:
    """Return the endpoints of this area."""
    do = _Handlers(control, expressions)
    read, write, path = "content:read", "content:write", "/v1/event-rules"
    return [
        Route("PUT", f"{path}/{{key}}", do.put, write, "Create or replace an event rule",
              body=EventRule, reply=EventRuleView, tag="event-rules"),
        *do.reading.routes(path, EventRuleView, read, write),
    ]  # fmt: skip
