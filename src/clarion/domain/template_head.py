"""The head of a template: what is known of its versions beside their content, and which one is sent.

`trail` holds the versions that were current, in their order. Publishing adds one at its end, and going back to one cuts off
those after it: so two rollbacks lead two versions back, not back and forth.
"""

from typing import ClassVar, Final, Self

import msgspec
from msgspec.structs import replace

from clarion.domain.content import TEMPLATE_KIND
from clarion.domain.errors import Conflict, NotFound
from clarion.domain.limits_content import TEMPLATE_VERSIONS_MAX
from clarion.domain.template import VersionNote

SOURCE_KIND: Final = "template_source"
"""The kind of the documents that hold the source of a version, by `key@version`."""


class HeadVersion(msgspec.Struct, frozen=True, omit_defaults=True):
    """A version: its author, publisher and times."""

    version: int
    created_ms: int
    created_by: str = ""
    category: str | None = None
    published_ms: int | None = None
    published_by: str | None = None
    note: str = ""


class TemplateHead(msgspec.Struct, frozen=True, omit_defaults=True):
    """All versions of a template, ascending, and the newest number, which is never used again."""

    KIND: ClassVar[str] = TEMPLATE_KIND

    newest: int = 0
    trail: tuple[int, ...] = ()
    versions: tuple[HeadVersion, ...] = ()

    @property
    def current(self) -> int | None:
        """The version that is sent, None without one."""
        return self.trail[-1] if self.trail else None

    @property
    def previous(self) -> int | None:
        """The version that a rollback leads to, None without one."""
        return self.trail[-2] if len(self.trail) > 1 else None

    @property
    def shown(self) -> int:
        """The version that a list shows: the current one, or the draft of one that was never published."""
        return self.current or self.newest

    def find(self, version: int | None) -> HeadVersion | None:
        """Return a version, None when it does not exist."""
        return next((one for one in self.versions if one.version == version), None)

    def get(self, version: int) -> HeadVersion:
        """Return a version. Raises `NotFound`."""
        found = self.find(version)
        if found is None:
            raise NotFound("no such version of this template", field="version")
        return found

    def notes(self) -> list[VersionNote]:
        """Return all versions, the newest first."""
        return [
            VersionNote(
                one.version, one.version == self.current, one.created_ms, one.created_by, one.published_ms,
                one.published_by, one.note,
            )
            for one in reversed(self.versions)
        ]  # fmt: skip

    def drafted(self, category: str | None, by: str, now_ms: int) -> Self:
        """Return the head with a draft as its newest version: in place of the newest one if that is a draft. Raises
        `Conflict` over `TEMPLATE_VERSIONS_MAX`."""
        before = self.find(self.newest)
        is_draft = before is not None and before.published_ms is None
        versions = self.versions[:-1] if is_draft else self.versions
        if len(versions) >= TEMPLATE_VERSIONS_MAX:
            raise Conflict(f"a template has at most {TEMPLATE_VERSIONS_MAX} versions; remove it to start again")
        newest = self.newest if is_draft else self.newest + 1
        return replace(self, newest=newest, versions=(*versions, HeadVersion(newest, now_ms, by, category)))

    def published(self, version: int, by: str, note: str, now_ms: int) -> Self:
        """Return the head with a version as the current one. Raises `NotFound`."""
        published = replace(self.get(version), published_ms=now_ms, published_by=by, note=note)
        place = self.trail.index(version) if version in self.trail else len(self.trail)
        versions = tuple(published if one.version == version else one for one in self.versions)
        return replace(self, trail=(*self.trail[:place], version), versions=versions)


def source_key(key: str, version: int) -> str:
    """Return the key of the document that holds the source of a version; what was built of it has the same name."""
    return f"{key}@{version}"
