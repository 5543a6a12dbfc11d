"""Definitions stored without the API, as values."""

from typing import Any, Final

import msgspec

from clarion.control.categories.resource import CATEGORIES
from clarion.control.categories.rules import CategoryBody
from clarion.control.templates.actions import SAVE, Save
from clarion.control.templates.editor import audited_head
from clarion.domain.actor import Actor, ActorKind
from clarion.domain.content import CATEGORY_KIND, TEMPLATE_KIND, Category, CategoryRules, Template
from clarion.domain.limits import DEFINITIONS_PER_KIND_MAX
from clarion.domain.template import whole_source
from clarion.ports.clock import Clock
from clarion.ports.documents import Author, Bound, Changes, DocumentKey, Documents
from clarion.ports.drafting import BuildJob, Rendered, RenderJob
from clarion.resources.audited import audited
from clarion.resources.changing import Change, Changed, Changing
from clarion.resources.decisions import stored
from clarion.resources.declaration import Action, Facts
from clarion.runtime.clock import SystemClock

_ACTOR: Final = Actor(ActorKind.KEY, "")


class Given:
    """Drafting whose builds are given."""

    def __init__(self, built: Template) -> None:
        self._built = built

    async def build(self, _job: BuildJob) -> Template:
        """Return the template given."""
        return self._built

    async def render(self, job: RenderJob) -> Rendered:
        """Raise `NotImplementedError`: nothing is rendered where templates are given."""
        raise NotImplementedError

    async def close(self) -> None:
        """Do nothing: nothing is open."""


async def put_template(documents: Documents, tenant: str, template: Template, clock: Clock | None = None) -> Changed:
    """Publish a template that was built elsewhere as its next version."""
    target = DocumentKey(tenant, TEMPLATE_KIND, template.key)
    change = Change(SAVE, target, Save(whole_source(template), publish=True), Author(tenant, _ACTOR), audited_head)
    return await Changing(documents, clock or SystemClock(), Given(template)).change(change)


async def put_body(
    documents: Documents, tenant: str, kind: str, key: str, body: Any, clock: Clock | None = None
) -> Changed:
    """Create or replace a document as it is, unchecked. Raises `Conflict` over `DEFINITIONS_PER_KIND_MAX`."""

    def check(body: Any, facts: Facts, now_ms: int) -> Changes:
        bound = Bound(kind, DEFINITIONS_PER_KIND_MAX, f"{kind}s")
        return msgspec.structs.replace(stored(facts, body, now_ms), bounds=(bound,))

    change = Change(Action[Any](check), DocumentKey(tenant, kind, key), body, Author(tenant, _ACTOR), audited)
    return await Changing(documents, clock or SystemClock()).change(change)


async def put_category(documents: Documents, tenant: str, category: Category, clock: Clock | None = None) -> Changed:
    """Create or replace a category."""
    rules = {name: getattr(category.rules, name) for name in CategoryRules.__struct_fields__}
    body = CategoryBody(**rules, critical=category.critical, priority=category.lane, defaults=category.defaults)
    target = DocumentKey(tenant, CATEGORY_KIND, category.key)
    change = Change(CATEGORIES.put, target, body, Author(tenant, _ACTOR), audited)
    return await Changing(documents, clock or SystemClock()).change(change)
