"""Previews over HTTP: a template, stored or not, rendered for a user. Nothing is stored or sent."""

import asyncio
from typing import Any, Final, NamedTuple, TypeVar

from clarion.control.categories.resource import find_category
from clarion.control.templates.actions import BUILD, SAVE, Save
from clarion.control.templates.bodies import TemplateBody
from clarion.control.templates.dependencies import check_layout_known
from clarion.control.templates.editor import read_source
from clarion.control.templates.preview import PreviewIn, PreviewOut, channels_of, html_of, preview_of
from clarion.control.templates.reads import Templates
from clarion.domain.address import key
from clarion.domain.channel import Channel
from clarion.domain.contacts import mask
from clarion.domain.content import Template
from clarion.domain.errors import InvalidField, NotFound
from clarion.domain.json_numbers import numbers
from clarion.domain.permissions import CONTACTS, READ_USERS
from clarion.domain.policy import POLICY_KEY, Policy
from clarion.domain.template import BRAND_KEY, Brand, Sample
from clarion.domain.template_head import TemplateHead
from clarion.domain.user import readable
from clarion.ports.clock import Clock
from clarion.ports.control import Control
from clarion.ports.directory import Kind
from clarion.ports.documents import DocumentKey
from clarion.ports.drafting import Drafting, RenderJob
from clarion.ports.web import Call, Caller, Query, Reply, Route
from clarion.resources.declaration import Facts
from clarion.resources.gather import Gatherer
from clarion.resources.reads import find_body

_SANDBOX: Final = {
    "content-security-policy": "sandbox; default-src 'none'; img-src https: data:; style-src 'unsafe-inline'; "
    "font-src https:; frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
}
"""Under this policy a page may show itself and its images, and nothing else."""

D = TypeVar("D", bound=Kind)


class _Shown(NamedTuple):
    """A built template and the sample that belongs to it."""

    template: Template
    sample: Sample


class _Handlers:
    def __init__(self, control: Control, drafting: Drafting, clock: Clock) -> None:
        self._control = control
        self._templates = Templates(control.documents)
        self._gatherer = Gatherer(control.documents, drafting)
        self._drafting = drafting
        self._clock = clock

    async def preview(self, call: Call) -> Reply:
        tenant, body, as_html = call.caller.tenant, call.body, _as_html(call.query)
        shown = await self._shown(call.caller, call.path["key"], body, len(call.raw))
        job = await self._job(call.caller, body, shown, as_html=as_html)
        rendered = await self._drafting.render(job)
        if as_html:
            html = html_of(rendered).encode()
            return Reply(raw=html, content_type="text/html; charset=utf-8", headers=_SANDBOX)
        name = shown.template.category
        category = await find_category(self._control.documents, tenant, name) if name else None
        # In a thread: each character of a text message is measured.
        preview = await asyncio.to_thread(preview_of, rendered, shown.template.version, job.locale, category)
        return Reply(preview)

    async def _shown(self, caller: Caller, name: str, body: PreviewIn, size_bytes: int) -> _Shown:
        if body.source is not None:
            if body.version is not None:
                raise InvalidField("takes either a version or a source", field="version")
            return await self._built(caller, key(name, "key"), body.source, size_bytes)
        found = await self._templates.version(caller.tenant, name, body.version)
        if found is None:
            if body.version is None:
                raise NotFound("no such template")
            raise NotFound("no such version", field="version")
        return _Shown(found.template, found.source.sample)

    async def _built(self, caller: Caller, name: str, body: TemplateBody, size_bytes: int) -> _Shown:
        try:
            source = await read_source(body, size_bytes)
            target = DocumentKey(caller.tenant, TemplateHead.KIND, name)
            facts = await self._gatherer.gather(SAVE, Save(source), Facts(target, caller.actor))
            check_layout_known(source, facts)
            return _Shown(facts.built(BUILD), source.sample)
        except InvalidField as error:
            field = f"source.{error.field}" if error.field else "source"
            raise InvalidField(error.detail, field=field, code=error.code) from None

    async def _job(self, caller: Caller, body: PreviewIn, shown: _Shown, *, as_html: bool) -> RenderJob:
        data = shown.sample.data if body.data is None else body.data
        numbers(data, "data")
        user = await self._user(caller, body.user if body.user is not None else shown.sample.user)
        policy = await self._defined(caller.tenant, Policy, POLICY_KEY)
        channels = channels_of(shown.template, [Channel.EMAIL] if as_html else body.channels)
        return RenderJob(
            shown.template,
            channels,
            data,
            user,
            body.locale or str(user.get("locale") or ""),
            str(user.get("zone") or policy.zone),
            self._clock.now_ms(),
            await self._defined(caller.tenant, Brand, BRAND_KEY),
            policy.locale,
            caller.tenant,
        )

    async def _user(self, caller: Caller, user: str | dict[str, Any]) -> dict[str, Any]:
        if not isinstance(user, str):
            numbers(user, "user")
            return user
        caller.require(READ_USERS, "user")
        record = await self._control.users.get(caller.tenant, user)
        if record is None:
            raise InvalidField(f"unknown user {user!r}", field="user", code="unknown_user")
        email, phone = record.email, record.phone
        if CONTACTS not in caller.permissions:
            email, phone = email and mask(email), phone and mask(phone)
        return readable(record.user_id, email, phone, record.locale, record.zone, record.attributes)

    async def _defined(self, tenant: str, kind: type[D], name: str) -> D:
        return await find_body(self._control.documents, tenant, kind.KIND, name, kind) or kind()


def _as_html(query: dict[str, str]) -> bool:
    wanted = query.get("format", "json")
    if wanted not in ("json", "html"):
        raise InvalidField("must be json or html", field="format")
    return wanted == "html"


def routes(control: Control, drafting: Drafting, clock: Clock) -> list[Route]:
    """Return the endpoint of previews."""
    do = _Handlers(control, drafting, clock)
    as_html = Query("format", "html returns the e-mail itself for display; json is the default")
    return [
        Route("POST", "/v1/templates/{key}/preview", do.preview, "templates:read", "Show what a template would send",
              body=PreviewIn, reply=PreviewOut, queries=(as_html,), tag="templates"),
    ]  # fmt: skip
