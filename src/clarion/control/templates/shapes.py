"""Response bodies of templates."""

from datetime import datetime
from typing import Any, Self

import msgspec

from clarion.domain.template import Sample, Source, TemplateVersion, VersionNote
from clarion.domain.times import shown


class TemplateWarning(msgspec.Struct, frozen=True):
    """A warning: the change was made, but may not be intended."""

    code: str
    detail: str
    field: str | None = None


class VersionView(msgspec.Struct, frozen=True):
    """A version in a list: its number, when it was created and published, and by which API keys."""

    version: int
    status: str
    current: bool
    created_at: datetime
    created_by: str
    published_at: datetime | None
    published_by: str | None
    note: str

    @classmethod
    def of(cls, one: TemplateVersion | VersionNote) -> Self:
        """Return the view of a version."""
        status = "draft" if one.published_ms is None else "published"
        return cls(
            one.version, status, one.current, shown(one.created_ms), one.created_by,
            None if one.published_ms is None else shown(one.published_ms), one.published_by, one.note,
        )  # fmt: skip


class TemplateView(msgspec.Struct, frozen=True):
    """A version of a template in the API's responses. `variables` are the required names under `data`, `schema` is the
    JSON Schema of all of it; `inferred` is set when its author wrote none."""

    key: str
    version: int
    status: str
    current: bool
    category: str | None
    channels: dict[str, dict[str, Any]]
    description: str
    engine: str
    layout: str | None
    locale: str
    locales: dict[str, Any]
    text: str | None
    variables: tuple[str, ...]
    schema: dict[str, Any] | None
    inferred: bool
    sample: Sample
    created_at: datetime
    created_by: str
    published_at: datetime | None
    published_by: str | None
    note: str
    warnings: tuple[TemplateWarning, ...] = ()

    @classmethod
    def of(cls, one: TemplateVersion, warnings: tuple[TemplateWarning, ...] = ()) -> Self:
        """Return the view of a version."""
        source, listed = one.source, VersionView.of(one)
        return cls(
            one.key, one.version, listed.status, one.current, source.category, _named(source.channels),
            source.description, source.engine, source.layout, source.locale, _translations(source), source.text,
            one.template.variables, one.template.schema, source.variables is None, source.sample, listed.created_at,
            listed.created_by, listed.published_at, listed.published_by, one.note, warnings,
        )  # fmt: skip


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """The difference in one field: `added`, `removed` or `changed`, and the lines of a unified diff."""

    field: str
    kind: str
    lines: tuple[str, ...]
    shortened: bool = False


class DiffView(msgspec.Struct, frozen=True):
    """The differences between two versions, field by field."""

    key: str
    from_: int = msgspec.field(name="from")
    to: int = msgspec.field()
    changes: tuple[Change, ...] = ()


def _named(channels: Any) -> dict[str, dict[str, Any]]:
    return {str(channel): parts for channel, parts in channels.items()}


def _translations(source: Source) -> dict[str, Any]:
    return {tag: {"messages": one.messages, "channels": _named(one.channels)} for tag, one in source.locales.items()}
