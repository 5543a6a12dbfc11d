"""Changes of templates, decided from what was gathered: save a draft, publish, roll back, remove.

A template is a document of its versions (`TemplateHead`), a document of the source of each, and what was built: one artifact by
the name of each version, and one by the template's own name, which is what is sent.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from msgspec.structs import replace

from clarion.control.templates.dependencies import check_layout_known, dependencies, keys_of, refers_of
from clarion.domain.content import CATEGORY_KIND, Template
from clarion.domain.errors import Conflict, InvalidField, NotFound
from clarion.domain.limits_content import TEMPLATES_PER_TENANT_MAX
from clarion.domain.template import Source
from clarion.domain.template_head import SOURCE_KIND, TemplateHead, source_key
from clarion.ports.documents import Bound, Changes, Document, DocumentKey, Put, Removal
from clarion.resources.decisions import check_unused
from clarion.resources.declaration import Action, Facts, Needs

BUILD: Final = "template"
"""The name of the build of the version that is saved or published."""
_HEAD: Final = msgspec.json.Decoder(TemplateHead)
_SOURCE: Final = msgspec.json.Decoder(Source)
_JSON: Final = msgspec.json.Encoder()


class Save(msgspec.Struct, frozen=True):
    """A source to store as a draft, or to publish at once."""

    source: Source
    publish: bool = False
    note: str = ""


class MakeCurrent(msgspec.Struct, frozen=True):
    """A version to publish, None for the newest; with `back`, to roll back to, None for the previous one. With `source`, only
    while that is its source."""

    version: int | None = None
    note: str = ""
    back: bool = False
    source: Source | None = None


def head_of(document: Document | None) -> TemplateHead:
    """Return the head of a template. Of a removed one the newest number alone is left."""
    if document is None:
        return TemplateHead()
    head = _HEAD.decode(document.body)
    return TemplateHead(newest=head.newest) if document.removed else head


def source_of(document: Document) -> Source:
    """Return the source of a version."""
    return _SOURCE.decode(document.body)


def artifacts_of(
    target: DocumentKey, version: int, built: Template, source: Source, *, current: bool
) -> Mapping[DocumentKey, bytes]:
    """Return what was built of a version by the names under which it is read."""
    stored = _JSON.encode(replace(built, key=target.key, version=version, category=source.category))
    names = {DocumentKey(target.tenant, TemplateHead.KIND, source_key(target.key, version)): stored}
    return {**names, target: stored} if current else names


def save_needs(body: Save, facts: Facts) -> Needs:
    """Return what a draft depends on, and its build."""
    return _needs(facts, body.source, frozenset())


def check_save(body: Save, facts: Facts, now_ms: int) -> Changes:
    """Return the draft, published if asked for. Raises `InvalidField`, and `Conflict` over a bound."""
    source = body.source
    built = _checked(facts, source)
    head = head_of(facts.documents[facts.target])
    head = head.drafted(source.category, facts.actor.id, now_ms)
    number = head.newest
    if body.publish:
        head = head.published(number, facts.actor.id, body.note, now_ms)
    draft = Put(_source_place(facts, number), _JSON.encode(source), keep=False)
    refers = _refers(facts, head, {number: source})
    return Changes(
        "template.publish" if body.publish else "template.save", facts.target, now_ms,
        (draft, Put(facts.target, _JSON.encode(head), refers, keep=False)),
        artifacts=artifacts_of(facts.target, number, built, source, current=body.publish),
        bounds=(Bound(TemplateHead.KIND, TEMPLATES_PER_TENANT_MAX, "templates"),),
    )  # fmt: skip


def current_needs(body: MakeCurrent, facts: Facts) -> Needs:
    """Return the version, what its source depends on, and its build."""
    number = _number(body, facts)
    if number is None or (place := _source_place(facts, number)) not in facts.documents:
        return Needs(_sources(facts, number))
    found = facts.of(place)
    return Needs() if found is None else _needs(facts, source_of(found), _sources(facts, number))


def check_current(body: MakeCurrent, facts: Facts, now_ms: int) -> Changes:
    """Return the change that makes a version the current one, built anew. Raises `NotFound`, `InvalidField`, and `Conflict`
    when there is none to roll back to or the draft is another one by now."""
    head = head_of(facts.current)
    if not head.versions:
        raise NotFound("no such template")
    number = _number(body, facts)
    if number is None:
        raise Conflict("there is no earlier published version", code="nothing_to_roll_back_to")
    place = facts.of(_source_place(facts, number))
    if place is None:
        raise NotFound("no such version", field="version")
    if body.back and head.get(number).published_ms is None:
        raise Conflict("was never published; publish it instead", field="version", code="not_published")
    source = source_of(place)
    if body.source is not None and body.source != source:
        raise Conflict("the draft was changed meanwhile; read it again", code="draft_changed")
    built = _checked(facts, source)
    head = head.published(number, facts.actor.id, body.note, now_ms)
    return Changes(
        "template.rollback" if body.back else "template.publish", facts.target, now_ms,
        (Put(facts.target, _JSON.encode(head), _refers(facts, head, {number: source}), keep=False),),
        artifacts=artifacts_of(facts.target, number, built, source, current=True),
    )  # fmt: skip


def remove_needs(_body: None, facts: Facts) -> Needs:
    """Return what refers to a template."""
    return Needs(referrers=frozenset({facts.target}))


def check_remove(_body: None, facts: Facts, now_ms: int) -> Changes:
    """Return the removal of a template with all its versions; its newest number stays. Raises `NotFound`, and `Conflict` while
    others refer to it."""
    if facts.current is None:
        raise NotFound("no such template")
    check_unused(facts.referrers[facts.target])
    target = facts.target
    numbers = [one.version for one in head_of(facts.current).versions]
    names = {DocumentKey(target.tenant, TemplateHead.KIND, source_key(target.key, one)): None for one in numbers}
    sources = (Removal(_source_place(facts, number), keep=False) for number in numbers)
    return Changes(
        "template.remove", target, now_ms, removals=(*sources, Removal(target)), artifacts={**names, target: None}
    )


SAVE: Final = Action(check_save, save_needs, heavy=True)
REMOVE: Final[Action[None]] = Action(check_remove, remove_needs)


def current_action(check_schema: Callable[[Source], None]) -> Action[MakeCurrent]:
    """Return the action that makes a version the current one. `check_schema` raises `InvalidField` for a schema that cannot be
    used."""

    def check(body: MakeCurrent, facts: Facts, now_ms: int) -> Changes:
        number = _number(body, facts)
        found = None if number is None else facts.of(_source_place(facts, number))
        if found is not None:
            check_schema(source_of(found))
        return check_current(body, facts, now_ms)

    return Action(check, current_needs, heavy=True)


def _needs(facts: Facts, source: Source, documents: frozenset[DocumentKey]) -> Needs:
    depends = dependencies(facts.target.key, source, facts)
    documents |= keys_of(facts, depends.names) | _sources(facts, head_of(facts.current).current)
    if source.category is not None:
        documents |= {DocumentKey(facts.target.tenant, CATEGORY_KIND, source.category)}
    return Needs(documents, builds={} if depends.job is None else {BUILD: depends.job})


def _checked(facts: Facts, source: Source) -> Template:
    check_layout_known(source, facts)
    built = facts.built(BUILD)
    category = source.category
    if category is not None and facts.find(CATEGORY_KIND, category) is None:
        raise InvalidField(f"no such category: {category}", field="category", code="unknown_category")
    return built


def _refers(facts: Facts, head: TemplateHead, sources: Mapping[int, Source]) -> frozenset[tuple[str, str]]:
    """Return what a template refers to: what its current version is built of, and the categories of that and of the newest one,
    which is sent once it is published."""
    found: set[tuple[str, str]] = set()
    for number in {head.current, head.newest}:
        one = head.find(number)
        if one is not None and one.category is not None:
            found.add((CATEGORY_KIND, one.category))
    if head.current is not None:
        source = sources.get(head.current)
        if source is None:
            stored = facts.of(_source_place(facts, head.current))
            source = None if stored is None else source_of(stored)
        found |= refers_of(source) if source is not None else set()
    return frozenset(found)


def _number(body: MakeCurrent, facts: Facts) -> int | None:
    head = head_of(facts.current)
    if body.version is not None:
        return body.version
    return head.previous if body.back else head.newest


def _sources(facts: Facts, number: int | None) -> frozenset[DocumentKey]:
    return frozenset() if number is None else frozenset({_source_place(facts, number)})


def _source_place(facts: Facts, number: int) -> DocumentKey:
    return DocumentKey(facts.target.tenant, SOURCE_KIND, source_key(facts.target.key, number))
