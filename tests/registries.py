"""Templates and categories of a control store, without the API: each call is one change, as a route makes it."""

from functools import partial
from typing import NamedTuple

import msgspec

from clarion.control.categories.resource import critical_categories, find_category
from clarion.control.templates import reads
from clarion.control.templates.actions import REMOVE, SAVE, MakeCurrent, Save, artifacts_of, current_action, head_of
from clarion.control.templates.dependencies import refers_of_shared
from clarion.control.templates.editor import audited_head
from clarion.domain.actor import Actor, ActorKind
from clarion.domain.content import CATEGORY_KIND, Template, read_category
from clarion.domain.errors import NotFound
from clarion.domain.limits import DEFINITIONS_PER_KIND_MAX
from clarion.domain.template import Source
from clarion.domain.template_head import TemplateHead
from clarion.ports.documents import Author, Bound, Changes, DocumentKey, Expected, Put, Removal
from clarion.resources.audited import audited
from clarion.resources.changing import Change, Changing
from clarion.resources.decisions import removal
from clarion.runtime.clock import SystemClock
from clarion_lab.load.definitions import Given, put_body, put_category, put_template

_MAKE_CURRENT = current_action(lambda _source: None)


def templates_of(control, clock=None):
    return Templates(control.documents, clock or SystemClock())


def categories_of(control, clock=None):
    return Categories(control.documents, clock or SystemClock())


def definitions_of(control, clock=None):
    return Definitions(control.documents, clock or SystemClock())


async def lose(control, kind, key, tenant="acme"):
    """Remove a document although others refer to it, as before there were references."""
    place = DocumentKey(tenant, kind, key)
    changes = Changes(f"{kind}.remove", place, 0, removals=(Removal(place),), artifacts={place: None})
    await control.documents.commit(_author(tenant), changes, Expected())


def _author(tenant, by=""):
    return Author(tenant, Actor(ActorKind.KEY, by))


class Templates(reads.Templates):
    """Reads and changes templates; what is built is given."""

    def __init__(self, documents, clock):
        super().__init__(documents)
        self._clock = clock

    async def put(self, tenant: str, template: Template) -> Template:
        await put_template(self._documents, tenant, template, self._clock)
        return await self.get(tenant, template.key)

    async def save(self, tenant, key, source: Source, built: Template, by, *, publish=False, note=""):
        changed = await self._change(tenant, key, SAVE, Save(source, publish, note), built, by)
        return await self.version(tenant, key, head_of(changed.document).newest)

    async def publish(self, tenant, key, version, built: Template, by, note, *, source=None):
        body = MakeCurrent(version, note, source=source)
        changed = await self._change(tenant, key, _MAKE_CURRENT, body, built, by)
        return await self.version(tenant, key, head_of(changed.document).current)

    async def rebuild(self, tenant, built):
        """Replace what was built of those versions that are still current, as a change of a layout does."""
        artifacts, expected, targets = await self._rebuilt(tenant, built)
        if artifacts:
            changes = Changes("template.rebuild", targets[0], self._clock.now_ms(), artifacts=artifacts)
            await self._documents.commit(_author(tenant), changes, expected)

    async def share(self, tenant, kind, key, body, built):
        """Store a definition together with what was built with it."""
        artifacts, expected, _ = await self._rebuilt(tenant, built)
        place = DocumentKey(tenant, kind, key)
        bound = Bound(kind, DEFINITIONS_PER_KIND_MAX, f"{kind}s")
        changes = Changes(
            f"{kind}.put", place, self._clock.now_ms(), (Put(place, body),), artifacts=artifacts, bounds=(bound,)
        )
        return (await self._documents.commit(_author(tenant), changes, expected))[place]

    async def previous(self, tenant, key):
        head, _ = await self.head(tenant, key)
        return None if head.previous is None else await self.of_head(tenant, key, head, head.previous)

    async def page(self, tenant, after, limit):
        return (await super().page(tenant, after, limit)).templates

    async def remove(self, tenant, key):
        try:
            await self._change(tenant, key, REMOVE, None, None, "")
        except NotFound:
            return False
        return True

    async def _change(self, tenant, key, action, body, built, by):
        target = DocumentKey(tenant, TemplateHead.KIND, key)
        changing = Changing(self._documents, self._clock, Given(built))
        return await changing.change(Change(action, target, body, _author(tenant, by), audited_head))

    async def _rebuilt(self, tenant, built):
        artifacts, versions, targets = {}, {}, []
        for (key, version), template in built.items():
            head, document = await self.head(tenant, key)
            if document is not None and head.current == version:
                source = (await self.version(tenant, key, version)).source
                artifacts |= artifacts_of(document.key, version, template, source, current=True)
                versions[document.key] = document.version
                targets.append(document.key)
        return artifacts, Expected(versions), targets


class Categories:
    """Reads and changes categories."""

    def __init__(self, documents, clock):
        self._documents = documents
        self._clock = clock
        self.get = partial(find_category, documents)
        self.keys = partial(critical_categories, documents)

    async def put(self, tenant, category):
        await put_category(self._documents, tenant, category, self._clock)

    async def page(self, tenant, after, limit):
        found, _ = await self._documents.page(tenant, CATEGORY_KIND, after, limit)
        return [read_category(one.key.key, one.body) for one in found]

    async def remove(self, tenant, key):
        target = DocumentKey(tenant, CATEGORY_KIND, key)
        change = Change(removal("category"), target, None, _author(tenant), audited)
        try:
            await Changing(self._documents, self._clock).change(change)
        except NotFound:
            return False
        return True


class Definition(NamedTuple):
    """One version of a definition; `body` is JSON."""

    key: str
    version: int
    body: bytes
    created_ms: int
    updated_ms: int

    @classmethod
    def of(cls, document):
        return cls(document.key.key, document.version, document.body, document.created_ms, document.updated_ms)


class Definitions:
    """Reads and changes documents of any kind, unchecked."""

    def __init__(self, documents, clock):
        self._documents = documents
        self._clock = clock

    async def put(self, tenant, kind, key, body):
        changed = await put_body(self._documents, tenant, kind, key, msgspec.Raw(body), self._clock)
        return Definition.of(changed.document)

    async def get(self, tenant, kind, key, version=None):
        place = DocumentKey(tenant, kind, key)
        found = (await self._documents.read([place], version)).get(place)
        return None if found is None else Definition.of(found)

    async def page(self, tenant, kind, after, limit):
        return [Definition.of(one) for one in (await self._documents.page(tenant, kind, after, limit)).documents]

    async def remove(self, tenant, kind, key):
        change = Change(removal(kind), DocumentKey(tenant, kind, key), None, _author(tenant), audited)
        try:
            await Changing(self._documents, self._clock).change(change)
        except NotFound:
            return False
        return True


async def put_shared(control, tenant, key, value):
    """Store a layout or partial without building the templates that use it."""
    place = DocumentKey(tenant, value.KIND, key)
    body = msgspec.json.encode(value)
    found = (await control.documents.read([place])).get(place)
    if found is None or found.body != body:
        changes = Changes(f"{value.KIND}.put", place, 0, (Put(place, body, refers_of_shared(value)),))
        await control.documents.commit(_author(tenant), changes, Expected())
