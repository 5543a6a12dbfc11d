"""Storing, publishing and rolling back templates: each version is built and checked before it is stored, with
warnings."""

import asyncio
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec

from clarion.control.templates.actions import BUILD, REMOVE, SAVE, MakeCurrent, Save, current_action, head_of
from clarion.control.templates.bodies import TemplateBody
from clarion.control.templates.reads import Templates, shown_version
from clarion.control.templates.rules import check_source
from clarion.control.templates.schema import chance_warnings, check_schema, sample_warnings
from clarion.control.templates.shapes import TemplateView, TemplateWarning
from clarion.domain.content import Template
from clarion.domain.errors import NotFound
from clarion.domain.limits_processes import LOOP_BODY_BYTES_MAX
from clarion.domain.schema import required_paths
from clarion.domain.template import Source, TemplateVersion
from clarion.domain.template_head import SOURCE_KIND, TemplateHead, source_key
from clarion.ports.documents import DocumentKey
from clarion.ports.schemas import Schemas
from clarion.ports.web import Call, Reply
from clarion.resources.changing import Change, Changed, Changing
from clarion.resources.declaration import Action
from clarion.resources.etags import etag, match_of
from clarion.resources.routes import author_of

_JSON: Final = msgspec.json.Encoder()


async def read_source(body: TemplateBody, size_bytes: int) -> Source:
    """Return the source in a body, which is checked in a thread when it is large. Raises `InvalidField`."""
    return await asyncio.to_thread(check_source, body) if size_bytes > LOOP_BODY_BYTES_MAX else check_source(body)


class EditResult(NamedTuple):
    """A stored version, the warnings about it, and the ETag of the template."""

    version: TemplateVersion
    warnings: tuple[TemplateWarning, ...]
    etag: int


class Editor:
    """Changes templates, as calls of the API ask for it. A version is built from its source each time it is made current, with
    the layout and partials at that time."""

    def __init__(self, templates: Templates, changing: Changing, schemas: Schemas) -> None:
        self._templates = templates
        self._changing = changing
        self._schemas = schemas
        self._make_current = current_action(partial(check_schema, schemas=schemas))

    async def save(self, call: Call, key: str, source: Source, *, publish: bool = False, note: str = "") -> EditResult:
        """Store a source as a draft, or publish it at once. Raises `InvalidField` naming its first fault."""
        if source.variables is not None:
            await asyncio.to_thread(check_schema, source, self._schemas)
        before = await self._templates.get(call.caller.tenant, key) if publish else None
        changed = await self._change(call, key, SAVE, Save(source, publish, note), note)
        built = changed.facts.built(BUILD)
        warnings = sample_warnings(source, built, self._schemas) + chance_warnings(built)
        if publish:
            warnings += required_variable_warnings(before, built)
        return _result(changed, warnings)

    async def publish(self, call: Call, key: str, version: int | None, note: str) -> EditResult:
        """Make a version (None: the newest) the current one. Raises `NotFound`."""
        wanted = await self._templates.version(call.caller.tenant, key, version)
        if wanted is None:
            raise missing(version)
        return await self._current(call, key, MakeCurrent(wanted.version, note, source=wanted.source), note)

    async def roll_back(self, call: Call, key: str, version: int | None, note: str) -> EditResult:
        """Roll back to a published version, None for the previous one. Raises `NotFound`, and `Conflict` when there is
        none to roll back to."""
        return await self._current(call, key, MakeCurrent(version, note, back=True), note)

    async def remove(self, call: Call, key: str) -> None:
        """Remove a template with all its versions. Raises `NotFound`, and `Conflict` while others refer to it."""
        await self._change(call, key, REMOVE, None, "")

    async def _current(self, call: Call, key: str, body: MakeCurrent, note: str) -> EditResult:
        before = await self._templates.get(call.caller.tenant, key)
        changed = await self._change(call, key, self._make_current, body, note)
        return _result(changed, required_variable_warnings(before, changed.facts.built(BUILD)))

    async def _change(
        self, call: Call, key: str, action: Action[Any], body: Save | MakeCurrent | None, note: str
    ) -> Changed:
        target = DocumentKey(call.caller.tenant, TemplateHead.KIND, key)
        change = Change(action, target, body, author_of(call), audited_head, match_of(call.headers), note)
        return await self._changing.change(change)


def shown(edited: EditResult) -> Reply:
    """Return the response to an edit."""
    return Reply(TemplateView.of(edited.version, edited.warnings), headers=etag(edited.etag))


def _result(changed: Changed, warnings: tuple[TemplateWarning, ...]) -> EditResult:
    changes, document = changed.changes, changed.document
    assert document is not None  # noqa: S101 - it was stored
    head, target = head_of(document), changes.target
    ((name, built),) = [one for one in changes.artifacts.items() if one[0] != target]
    number = int(name.key.rpartition("@")[2])
    place = DocumentKey(target.tenant, SOURCE_KIND, source_key(target.key, number))
    put = next((put.body for put in changes.puts if put.key == place), None)
    found = changed.facts.of(place)
    source = put if put is not None else b"" if found is None else found.body
    return EditResult(shown_version(target.key, head, number, source, built or b""), warnings, document.version)


def audited_head(raw: bytes) -> bytes:
    """Return what the audit shows of a template: its versions' numbers, and the note of the one that is sent."""
    head = msgspec.json.decode(raw, type=TemplateHead)
    current = head.find(head.current)
    shown = {"newest": head.newest, "current": head.current, "previous": head.previous}
    return _JSON.encode(shown | ({} if current is None else {"note": current.note}))


def missing(version: int | None) -> NotFound:
    """Return the error for a template or version that does not exist."""
    return NotFound("no such template") if version is None else NotFound("no such version", field="version")


def required_variable_warnings(before: Template | None, after: Template) -> tuple[TemplateWarning, ...]:
    """Return a warning for each variable that is required now and was not before."""
    if before is None:
        return ()
    new = sorted(_demands(after) - _demands(before))
    detail = "the previous version did not require this variable: requests without it are refused now"
    return tuple(TemplateWarning("new_variable", detail, f"data.{path}") for path in new)


def _demands(template: Template) -> set[str]:
    schema = template.schema
    return {*template.variables} if schema is None else {*template.variables, *required_paths(schema)}
