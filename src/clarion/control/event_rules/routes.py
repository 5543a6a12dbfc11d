"""Event rules over HTTP. When a rule is stored, every definition it names has to exist and its expressions have to
parse."""

import asyncio
from collections.abc import Container
from functools import partial
from typing import Final

import msgspec

from clarion.control.event_rules.rules import check_content, check_rule, references
from clarion.control.templates.reads import Templates, channels_of
from clarion.domain.channel import Channel
from clarion.domain.errors import InvalidField
from clarion.domain.event_rule import EXPRESSION_NAMES, EventRule, Notify
from clarion.domain.limits import DEFINITION_BYTES_MAX
from clarion.ports.control import Control
from clarion.ports.expressions import Expressions, fault_of
from clarion.ports.web import Call, Reply, Route
from clarion.resources.changing import Changing
from clarion.resources.decisions import as_given
from clarion.resources.declaration import Resource, view_of_body
from clarion.resources.routes import Handlers, routes_of

_JSON = msgspec.json.Encoder()


EVENT_RULES: Final = Resource(
    EventRule.KIND,
    "/v1/event-rules/{key}",
    EventRule,
    view_of_body(EventRule, "An event rule in the API's responses.", sparse=True),
    as_given,
    references=references,
    description="All that a rule names has to exist, and its expressions have to parse.",
    example=EventRule("order.shipped", (Notify("data.user_id", template="order-shipped"),)),
)


class _Handlers(Handlers):
    def __init__(self, control: Control, changing: Changing, expressions: Expressions) -> None:
        super().__init__(EVENT_RULES, control.documents, changing)
        self._documents = control.documents
        self._expressions = expressions

    async def put(self, call: Call) -> Reply:
        """Store a rule."""
        tenant, rule = call.caller.tenant, call.body
        if len(_JSON.encode(rule)) > DEFINITION_BYTES_MAX:
            raise InvalidField(f"is longer than {DEFINITION_BYTES_MAX} bytes", field="notify")
        # In a thread: hundreds of expressions are compiled.
        await asyncio.to_thread(check_rule, rule, partial(fault_of, self._expressions, names=EXPRESSION_NAMES))
        check_content(rule, await self._templates(tenant, rule))
        return await super().put(call)

    async def _templates(self, tenant: str, rule: EventRule) -> dict[str, Container[Channel]]:
        """Return the channels of those templates of a rule that can be sent."""
        named = {notify.template for notify in rule.notify if notify.template is not None}
        return await channels_of(Templates(self._documents), tenant, named)


def routes(control: Control, changing: Changing, expressions: Expressions) -> list[Route]:
    """Return the endpoints of this area."""
    return routes_of(_Handlers(control, changing, expressions))
