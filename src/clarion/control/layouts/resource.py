"""The resources of layouts and partials, which templates share. A change of one is built into all current templates that use it, in
the same commit, or refused."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from clarion.content.email_layout import places
from clarion.content.messages import used_keys
from clarion.control.layouts.rules import PROBE, blame_source, check_layout, check_places, layout_probe, partial_probe
from clarion.control.templates.actions import artifacts_of, head_of, source_of
from clarion.control.templates.bodies import TranslationBody
from clarion.control.templates.dependencies import Shared, dependencies, keys_of, refers_of_shared
from clarion.domain.errors import InvalidField
from clarion.domain.limits_content import TEMPLATE_BYTES_MAX
from clarion.domain.template import Engine, Layout, Partial, Source
from clarion.domain.template_head import SOURCE_KIND, TemplateHead, source_key
from clarion.ports.documents import Changes, DocumentKey
from clarion.ports.drafting import BuildJob
from clarion.resources.decisions import stored
from clarion.resources.declaration import Facts, Needs, Resource, view_of_body


class LayoutBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A frame around e-mails: `mjml` or `html`, and `text`, each with `{{ content }}` once, in the place of the e-mail.
    It has messages by locale, as templates have."""

    mjml: str | None = None
    html: str | None = None
    text: str = "{{ content }}"
    engine: Engine = "liquid"
    locale: str = "en"
    locales: dict[str, TranslationBody] = {}


def needs(body: Layout | Partial, facts: Facts) -> Needs:
    """Return a probe template to build with a layout or partial, and with it all current templates that use it."""
    probe = _probe(body, facts)
    tried = dependencies(PROBE, probe, facts, _changed(body, facts, PROBE if probe.layout else None))
    documents, builds = keys_of(facts, tried.names), {} if tried.job is None else {PROBE: tried.job}
    if tried.job is None or isinstance(facts.builds.get(PROBE), InvalidField):
        return Needs(documents, builds=builds)
    users = _users(facts)
    documents |= users.documents
    for place in users.sources:
        found = facts.of(place)
        if found is not None:
            depends = dependencies(_template(place), source_of(found), facts, _changed(body, facts))
            documents |= keys_of(facts, depends.names)
            builds |= {} if depends.job is None else {place.key: depends.job}
    return Needs(documents, users.referrers, builds)


def check(body: Layout | Partial, facts: Facts, now_ms: int) -> Changes:
    """Return a layout or partial with the templates built with it. Raises `InvalidField` naming the part at fault, or a template
    that could not be built."""
    key = facts.target.key
    error = facts.builds[PROBE]
    if isinstance(error, InvalidField):
        prefix, fallback = ("layout.", _first_part(body)) if isinstance(body, Layout) else (f"partials.{key}", "source")
        raise blame_source(error, prefix, fallback)
    built: dict[DocumentKey, bytes] = {}
    for place in sorted(_users(facts).sources):
        document = facts.of(place)
        if document is not None:
            head = DocumentKey(place.tenant, TemplateHead.KIND, _template(place))
            number = int(place.key.rpartition("@")[2])
            template = facts.builds[place.key]
            if isinstance(template, InvalidField):
                raise _breaks(facts.jobs[place.key], template)
            built |= artifacts_of(head, number, template, source_of(document), current=True)
    changes = stored(facts, body, now_ms, refers=refers_of_shared(body))
    return msgspec.structs.replace(changes, artifacts=built) if changes.puts else changes


def prepare_layout(body: LayoutBody) -> Layout:
    """Return the layout in a body. Raises `InvalidField` naming the first invalid field."""
    layout = check_layout(body.mjml, body.html, body.text, body.engine, body.locale, body.locales)
    check_places({part: places(text, layout.engine) for part, text in _parts(layout).items()})
    return layout


def prepare_partial(body: Partial) -> Partial:
    """Return a partial. Raises `InvalidField` when it names messages in a way that cannot be read."""
    try:
        used_keys([body.source], body.engine)
    except InvalidField as error:
        raise InvalidField(error.detail, field="source", code=error.code) from None
    return body


LAYOUTS: Final[Resource[Any]] = Resource(
    Layout.KIND,
    "/v1/layouts/{key}",
    LayoutBody,
    view_of_body(LayoutBody, "A layout in the API's responses."),
    check,
    needs,
    summary="Store a layout, and build it into the templates that use it",
    description="All current templates that use the layout are built with it, or nothing is stored.",
    example=LayoutBody(html="<html><body>{{ content }}</body></html>"),
    heavy=True,
    prepare=prepare_layout,
    limit_bytes=TEMPLATE_BYTES_MAX,
)
PARTIALS: Final[Resource[Any]] = Resource(
    Partial.KIND,
    "/v1/partials/{key}",
    Partial,
    view_of_body(Partial, "A partial in the API's responses."),
    check,
    needs,
    summary="Store a partial, and build it into the templates that use it",
    description="All current templates that use the partial, also by a layout or another partial, are built with it.",
    example=Partial("<p>Questions? {{ brand.support_email }}</p>"),
    heavy=True,
    prepare=prepare_partial,
    limit_bytes=TEMPLATE_BYTES_MAX,
)


class _Users(msgspec.Struct, frozen=True):
    """The sources of all current templates that use the target, as far as they are known; the documents and referrers by which
    they are found."""

    sources: frozenset[DocumentKey]
    documents: frozenset[DocumentKey]
    referrers: frozenset[DocumentKey]


def _users(facts: Facts) -> _Users:
    """Follow referrers from the target, through partials and layouts, to templates."""
    shared, heads, wanted = set[DocumentKey](), set[DocumentKey](), {facts.target}
    while wanted:
        shared |= wanted
        found = {one for key in wanted for one in facts.referrers.get(key, ())}
        heads |= {one for one in found if one.kind == TemplateHead.KIND}
        wanted = {one for one in found if one.kind in (Layout.KIND, Partial.KIND)} - shared
    sources = set[DocumentKey]()
    for key in heads:
        current = head_of(facts.of(key)).current
        if current is not None:
            sources.add(DocumentKey(key.tenant, SOURCE_KIND, source_key(key.key, current)))
    return _Users(frozenset(sources), frozenset(heads | sources), frozenset(shared))


def _probe(body: Layout | Partial, facts: Facts) -> Source:
    if isinstance(body, Layout):
        return layout_probe(body)
    return partial_probe(facts.target.key, body, set(used_keys([body.source], body.engine)))


def _changed(body: Layout | Partial, facts: Facts, name: str | None = None) -> Shared:
    changed: Mapping[tuple[str, str], Layout | Partial] = {(facts.target.kind, name or facts.target.key): body}
    return changed


def _template(source: DocumentKey) -> str:
    return source.key.rpartition("@")[0]


def _parts(layout: Layout) -> dict[str, str]:
    given = {"mjml": layout.mjml, "html": layout.html, "text": layout.text}
    return {part: text for part, text in given.items() if text is not None}


def _first_part(layout: Layout) -> str:
    return next(iter(_parts(layout)))


def _breaks(job: BuildJob, error: InvalidField) -> InvalidField:
    place = f" at {error.field}" if error.field else ""
    return InvalidField(f"template {job.key} could not be built with it{place}: {error.detail}", code="template_breaks")
