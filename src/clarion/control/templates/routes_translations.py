"""Translations over HTTP: missing messages by locale, and export and import of translators' files."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import ModuleType
from typing import Any, Final

import msgspec

from clarion.control.templates import po, xliff
from clarion.control.templates.editor import Editor, missing
from clarion.control.templates.reads import Templates
from clarion.control.templates.shapes import TemplateWarning
from clarion.control.templates.translations import (
    LocaleReport,
    TranslatorFile,
    locales_of,
    merged,
    messages_of,
    report,
    sheet_of,
)
from clarion.domain.errors import InvalidField, NotFound, TooLarge
from clarion.domain.limits_content import TRANSLATIONS_BYTES_MAX
from clarion.domain.locales import best, canonical
from clarion.domain.permissions import PUBLISH_TEMPLATES
from clarion.domain.policy import POLICY_KEY, Policy
from clarion.domain.template import Source, TemplateVersion
from clarion.ports.documents import Documents
from clarion.ports.web import Call, Query, Reply, Route
from clarion.resources.pages import flag_of
from clarion.resources.reads import find_body

FORMATS: Final[dict[str, tuple[ModuleType, str]]] = {
    "xliff": (xliff, "application/xliff+xml"),
    "po": (po, "text/x-gettext-translation"),
}
"""The formats of translators' files, with their media types."""
_PAGE_TEMPLATES: Final = 20
_FORMAT: Final = Query("format", "`xliff` (1.2; the default) or `po`")
_PUBLISH: Final = Query("publish", "Make it the current version; otherwise it is a draft", kind="boolean")
_LOCALE: Final = Query(
    "locale", "A locale to report on, even if no template has it; by default all locales of any template"
)


class TranslationsView(msgspec.Struct, frozen=True):
    """The translation status of the newest version of a template, by locale; `locale` is the one it is written in."""

    key: str
    version: int
    locale: str
    locales: dict[str, LocaleReport]


class MissingView(msgspec.Struct, frozen=True):
    """The content of a template that users of a locale get in another locale: all of it, or some messages."""

    template: str
    locale: str
    all: bool
    messages: tuple[str, ...]


class TenantView(msgspec.Struct, frozen=True):
    """The `locales` reported on, and their missing content."""

    locales: tuple[str, ...]
    templates: int
    missing: list[MissingView]


class ImportView(msgspec.Struct, frozen=True):
    """The result of the import of a translator's file. Names of units: `changed` ones, those the template does not have
    (`unknown`), those whose source has changed since (`outdated`), and those still `missing`."""

    key: str
    version: int
    status: str
    changed: tuple[str, ...]
    unknown: tuple[str, ...]
    outdated: tuple[str, ...]
    missing: tuple[str, ...]
    warnings: tuple[TemplateWarning, ...] = ()


class _Handlers:
    def __init__(self, templates: Templates, documents: Documents, editor: Editor) -> None:
        self._templates = templates
        self._documents = documents
        self._editor = editor

    async def report(self, call: Call) -> Reply:
        one = await self._newest(call)
        tags = sorted({*one.source.locales} - {one.source.locale})
        reports = {tag: report(one.source, tag) for tag in tags}
        return Reply(TranslationsView(one.key, one.version, one.source.locale, reports))

    async def overview(self, call: Call) -> Reply:
        tenant, asked = call.caller.tenant, call.query.get("locale")
        locales = await self._locales(tenant) if asked is None else [canonical(asked, "locale")]
        found: list[MissingView] = []
        count = 0
        async for page in self._pages(tenant):
            count += len(page)
            found += await asyncio.to_thread(_all_missing, page, locales)
        return Reply(TenantView(tuple(locales), count, found))

    async def export(self, call: Call) -> Reply:
        one = await self._newest(call)
        form, media = _format(call)
        sheet = sheet_of(one, _target(call, one.source))
        name = f'attachment; filename="{one.key.replace(":", "-")}.{sheet.locale}.{_ending(call)}"'
        raw = await asyncio.to_thread(form.written, sheet)
        return Reply(raw=raw, content_type=media, headers={"content-disposition": name})

    async def put(self, call: Call) -> Reply:
        one = await self._newest(call)
        form, _ = _format(call)
        sheet = sheet_of(one, _target(call, one.source))
        publish = flag_of(call.query, "publish")
        if publish:
            call.caller.require(PUBLISH_TEMPLATES, "publish")
        raw = await _whole(call.stream)
        returned: TranslatorFile = await asyncio.to_thread(form.read, raw, sheet)
        _same_language(returned.locale, sheet.locale)
        done = await asyncio.to_thread(merged, one.source, sheet.locale, returned)
        warnings: tuple[TemplateWarning, ...] = ()
        if done.changed or (publish and not one.current):
            note = f"translated: {sheet.locale}"
            one, warnings, _ = await self._editor.save(call, one.key, done.source, publish=publish, note=note)
        status = "draft" if one.published_ms is None else "published"
        view = ImportView(
            one.key, one.version, status, done.changed, done.unknown, done.outdated, done.missing, warnings
        )  # fmt: skip
        return Reply(view)

    async def _newest(self, call: Call) -> TemplateVersion:
        found = await self._templates.version(call.caller.tenant, call.path["key"])
        if found is None:
            raise missing(None)
        return found

    async def _pages(self, tenant: str) -> AsyncIterator[list[TemplateVersion]]:
        """Yield all templates, a few at a time: they may be large."""
        more, after = True, ""
        while more:
            page, more = await self._templates.page(tenant, after, _PAGE_TEMPLATES)
            yield page
            after = page[-1].key if page else ""

    async def _locales(self, tenant: str) -> list[str]:
        """Return the locales of all templates, and the tenant's default."""
        found = {tag async for page in self._pages(tenant) for one in page for tag in locales_of(one.source)}
        return sorted({*found, await self._tenant_locale(tenant)} - {""})

    async def _tenant_locale(self, tenant: str) -> str:
        policy = await find_body(self._documents, tenant, Policy.KIND, POLICY_KEY, Policy)
        return "" if policy is None else policy.locale


def _all_missing(templates: Sequence[TemplateVersion], locales: Sequence[str]) -> list[MissingView]:
    views = (_missing(one.key, one.source, locale) for one in templates for locale in locales)
    return [view for view in views if view is not None]


def _missing(key: str, source: Source, locale: str) -> MissingView | None:
    """Return the content missing for users of a locale, None for none. Content of a parent locale counts as present."""
    if best(locale, (source.locale,)):
        return None
    if best(locale, source.locales) is None:
        return MissingView(key, locale, True, ())
    lacking = report(source, locale)
    messages = (*lacking.missing, *lacking.incomplete)
    return MissingView(key, locale, False, messages) if messages else None


def _target(call: Call, source: Source) -> str:
    locale = canonical(call.path["locale"], "locale")
    if locale == source.locale:
        raise InvalidField("is the locale that the template is written in", field="locale", code="source_locale")
    if not messages_of(source, source.locale):
        raise NotFound(f"the template has no messages in {source.locale}, the locale it is written in", field="locale")
    return locale


def _format(call: Call) -> tuple[Any, str]:
    name = call.query.get("format", "xliff")
    if name not in FORMATS:
        raise InvalidField(f"must be {' or '.join(FORMATS)}", field="format")
    return FORMATS[name]


def _ending(call: Call) -> str:
    return "po" if call.query.get("format") == "po" else "xlf"


def _same_language(given: str, locale: str) -> None:
    """Raise `InvalidField` for a file in another language; tools may add a region (`de-DE`)."""
    if given and given.replace("_", "-").partition("-")[0].lower() != locale.partition("-")[0].lower():
        raise InvalidField(f"the file is in {given[:40]}, not in {locale}", field="locale", code="another_language")


async def _whole(pieces: AsyncIterator[bytes] | None) -> bytes:
    body = bytearray()
    if pieces is not None:
        async for piece in pieces:
            body += piece
            if len(body) > TRANSLATIONS_BYTES_MAX:
                raise TooLarge(f"the body is larger than {TRANSLATIONS_BYTES_MAX} bytes")
    return bytes(body)


def routes(templates: Templates, documents: Documents, editor: Editor) -> list[Route]:
    """Return the endpoints of translations."""
    do = _Handlers(templates, documents, editor)
    write, read, tag = "translations:write", "translations:read", "translations"
    one, all_of = "/v1/templates/{key}/translations/{locale}", "/v1/templates/{key}/translations"
    return [
        Route("GET", "/v1/translations", do.overview, read, "Report missing translations by locale",
              reply=TenantView, queries=(_LOCALE,), tag=tag),
        Route("GET", all_of, do.report, read, "Get the translation status of a template", reply=TranslationsView, tag=tag),
        Route("GET", one, do.export, read, "Export a template's messages as a file for translators",
              queries=(_FORMAT,), tag=tag),
        Route("PUT", one, do.put, write, "Import a translator's file as a new draft",
              reply=ImportView, stream=True, media=tuple(media for _, media in FORMATS.values()),
              queries=(_FORMAT, _PUBLISH), tag=tag),
    ]  # fmt: skip
