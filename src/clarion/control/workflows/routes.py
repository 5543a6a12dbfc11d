"""Workflows over HTTP. When a workflow is stored, every definition it names has to exist and its expressions have to
parse."""

import asyncio
from datetime import datetime
from functools import partial
from typing import Final

import msgspec
from msgspec import UNSET

from clarion.control.references import reporting, values_of
from clarion.control.templates.reads import Templates, channels_of
from clarion.control.workflows.rules import check_content, check_workflow, references, templates_of
from clarion.control.workflows.schema import encoded_schema
from clarion.control.workflows.secrets import HeaderSealer, shown
from clarion.domain.address import key
from clarion.domain.errors import existing
from clarion.domain.limits import DEFINITION_BYTES_MAX
from clarion.domain.permissions import PUBLIC, WRITE_PROVIDERS
from clarion.domain.security_events import SecurityEvent
from clarion.domain.workflow import Fetch, Send, Workflow
from clarion.ports.control import Control
from clarion.ports.documents import DocumentKey
from clarion.ports.expressions import Expressions, fault_of
from clarion.ports.secret_stores import Secrets
from clarion.ports.secrets import Vault
from clarion.ports.telemetry import Telemetry
from clarion.ports.web import JSON, TOML, Call, Query, Reply, Route
from clarion.resources.changing import Changing
from clarion.resources.decisions import as_given
from clarion.resources.declaration import Resource
from clarion.resources.pages import version_of
from clarion.resources.reads import find
from clarion.resources.routes import Handlers, routes_of, view_of

_DECODER = msgspec.json.Decoder(Workflow)


class WorkflowView(Workflow, frozen=True, kw_only=True):
    """A workflow in the API's responses."""

    key: str
    version: int
    created_at: datetime
    updated_at: datetime


WORKFLOWS: Final = Resource(
    Workflow.KIND,
    "/v1/workflows/{key}",
    Workflow,
    WorkflowView,
    as_given,
    references=references,
    summary="Store a workflow as its next version",
    description="An instance finishes in the version it began with.",
    example=Workflow((Send(name="welcome", template="welcome"),)),
    secrets=frozenset({"headers"}),
    limit_bytes=DEFINITION_BYTES_MAX,
    media=(JSON, TOML),
    queries=(Query("version", "A version other than the newest", kind="integer"),),
    shown=lambda document: shown(view_of(document, WorkflowView)),
)


class _Handlers(Handlers):
    def __init__(
        self,
        control: Control,
        changing: Changing,
        expressions: Expressions,
        vault: Vault,
        secrets: Secrets | None,
        telemetry: Telemetry,
    ) -> None:
        super().__init__(WORKFLOWS, control.documents, changing)
        self._documents = control.documents
        self._expressions = expressions
        self._vault = vault
        self._secrets = secrets
        self._telemetry = telemetry

    async def put(self, call: Call) -> Reply:
        """Store a workflow with its secrets sealed."""
        tenant, workflow, name = call.caller.tenant, call.body, key(call.path["key"], "key")
        # In a thread: hundreds of expressions are compiled.
        await asyncio.to_thread(check_workflow, workflow, partial(fault_of, self._expressions))
        check_content(workflow, await channels_of(Templates(self._documents), tenant, templates_of(workflow)))
        for place, step in enumerate(workflow.steps):
            if isinstance(step, Fetch):
                headers = step.secret_headers.items()
                sources = {header: {"from": one.source} for header, one in headers if one.source is not UNSET}
                if sources:
                    self._check_permission(call, f"steps[{place}].headers")
                await values_of(self._secrets, tenant, sources, f"steps[{place}].headers")
        return self.shown(await self.store(call, await self._sealed(call, workflow, name)))

    def _check_permission(self, call: Call, field: str) -> None:
        """Raise `Forbidden` unless the caller may also give accounts their secrets: a workflow can send them anywhere."""
        caller = call.caller
        if WRITE_PROVIDERS not in caller.permissions:
            fields = {"tenant": caller.tenant, "key_id": caller.actor.id, "reason": WRITE_PROVIDERS}
            self._telemetry.security(SecurityEvent.SCOPE_REFUSED, route="PUT /v1/workflows/{key}", **fields)
        caller.require(WRITE_PROVIDERS, field)

    async def _sealed(self, call: Call, workflow: Workflow, name: str) -> Workflow:
        """Return a workflow with its secrets sealed. Raises `CredentialsRequired` when one that is stored should stay and may
        not."""
        if not any(isinstance(step, Fetch) and step.headers for step in workflow.steps):
            return workflow
        tenant = call.caller.tenant
        newest = await find(self._documents, tenant, Workflow.KIND, name)
        stored = None if newest is None else _DECODER.decode(newest.body)
        with reporting(self._telemetry, call, name):
            return HeaderSealer(self._vault, tenant, name, stored).sealed(workflow)

    async def get(self, call: Call) -> Reply:
        """Return a workflow, or the version of it that the query asks for."""
        version = version_of(call.query, "version")
        if version is None:
            return await super().get(call)
        place = DocumentKey(call.caller.tenant, Workflow.KIND, call.path["key"])
        found = (await self._documents.read([place], version)).get(place)
        return self.shown(existing(found, "version of a workflow"))

    async def schema(self, call: Call) -> Reply:
        """Return the JSON Schema of workflows."""
        return Reply(raw=encoded_schema(), content_type="application/schema+json")


def routes(
    control: Control,
    changing: Changing,
    expressions: Expressions,
    vault: Vault,
    secrets: Secrets | None,
    telemetry: Telemetry,
) -> list[Route]:
    """Return the endpoints of this area. `vault` seals secrets in headers, `secrets` reads those given by reference,
    `telemetry` gets the events of the security log."""
    do = _Handlers(control, changing, expressions, vault, secrets, telemetry)
    path, about = "/v1/workflows/schema", "The JSON Schema of workflows"
    return [Route("GET", path, do.schema, PUBLIC, about, tag=WORKFLOWS.collection), *routes_of(do)]
