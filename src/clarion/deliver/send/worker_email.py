"""Completes e-mails just before they are built: the unsubscribe link, and attachments given by URL."""

import asyncio
from collections.abc import AsyncIterator, Collection, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec

from clarion.deliver.rules.files import TOO_LARGE, file_of, refuse, retry_later
from clarion.domain.attachment import Attachment
from clarion.domain.errors import EgressError
from clarion.domain.limits_content import ATTACHMENTS_BYTES_MAX
from clarion.domain.limits_delivery import ATTACHMENT_FETCH_MS_MAX, ATTACHMENT_FETCHES_MAX, ATTACHMENTS_QUICK_BYTES_MAX
from clarion.domain.message import HttpRequest, Message
from clarion.domain.outcome import Outcome, Refused
from clarion.domain.planned import PlannedDelivery
from clarion.ports.directory import Directory
from clarion.ports.egress import HttpEgress
from clarion.ports.unsubscribe_links import UnsubscribeLinks, UnsubscribeSubject

CATEGORIES_HELD_MAX: Final = 10_000
"""Categories for which a process caches whether users can opt out."""
_HEADERS: Final = {"accept": "*/*"}


class EmailNotReady(Exception):
    """An e-mail cannot be sent as requested; `outcome` is its outcome. Nothing went out."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(repr(outcome))
        self.outcome = outcome


class EmailEnricher:
    """Completes the e-mails of one process. The number of those with fetched files is bounded: the files are in
    memory."""

    def __init__(self, directory: Directory, http: HttpEgress, links: UnsubscribeLinks | None) -> None:
        self._directory = directory
        self._http = http
        self._links = links
        self._refusable: dict[tuple[str, str], tuple[int, bool]] = {}
        """Whether users can opt out of a category, by tenant and key, and the revision of the tenant at which its last
        batch began."""
        self._room = asyncio.Semaphore(ATTACHMENT_FETCHES_MAX)

    @asynccontextmanager
    async def enrich(self, row: PlannedDelivery, message: Message, url: str) -> AsyncIterator[Message]:
        """Yield the message to send, with its unsubscribe link and files. Raises `EmailNotReady` when a file is
        unavailable."""
        files = row.attachments or ()
        if not files:
            yield msgspec.structs.replace(message, unsubscribe_url=url) if url else message
        elif not any(file.content is None for file in files):
            yield msgspec.structs.replace(message, unsubscribe_url=url, attachments=tuple(files))
        else:
            async with self._room:
                had = await fetched(files, self._http, row.attempt)
                yield msgspec.structs.replace(message, unsubscribe_url=url, attachments=had)

    def missing_reads(self, categories: Collection[tuple[str, str]]) -> list[Coroutine[Any, Any, None]]:
        """Return the read that finds which categories, by (tenant, key), users can opt out of; none when that is
        cached."""
        if self._links is None:
            return []
        unknown: dict[tuple[str, str], int] = {}
        current = self._directory.is_current()
        for name in categories:
            revision = self._directory.revision(name[0])
            held = self._refusable.get(name)
            if name[1] and (held is None or held[0] != revision or not current):
                unknown[name] = revision
        return [self._read(unknown)] if unknown else []

    async def _read(self, revisions: Mapping[tuple[str, str], int]) -> None:
        found = await self._directory.categories(list(revisions))
        if len(self._refusable) + len(revisions) > CATEGORIES_HELD_MAX:
            self._refusable.clear()
        for name, revision in revisions.items():
            category = found.get(name)
            self._refusable[name] = revision, category is not None and not category.critical

    async def unsubscribe_url(self, row: PlannedDelivery) -> str:
        """Return the unsubscribe link of a delivery. Empty without a category, since there is nothing to opt out of,
        and for a critical one, which nobody can opt out of."""
        if self._links is None or not row.category:
            return ""
        place = row.tenant, row.category
        if place not in self._refusable:
            await self._read({place: self._directory.revision(row.tenant)})
        if not self._refusable[place][1]:
            return ""
        address = "" if row.user_id else row.address
        return self._links.url(UnsubscribeSubject(row.tenant, row.user_id, address, row.category, "email"))


def has_large_files(message: Message) -> bool:
    """Return whether encoding the files of a message takes long enough to be done in a thread."""
    return sum(len(file.content or b"") for file in message.attachments) > ATTACHMENTS_QUICK_BYTES_MAX


async def fetched(files: Sequence[Attachment], http: HttpEgress, attempt: int) -> tuple[Attachment, ...]:
    """Return files with their content, fetched one after the other within the bound on all of them. Raises
    `EmailNotReady`."""
    had: list[Attachment] = []
    room_bytes = ATTACHMENTS_BYTES_MAX - sum(len(file.content or b"") for file in files)
    for file in files:
        got = file if file.content is not None else await _fetch(file, http, room_bytes, attempt)
        room_bytes -= len(got.content or b"") if file.content is None else 0
        had.append(got)
    if room_bytes < 0:
        raise EmailNotReady(Refused(TOO_LARGE, f"the files of an e-mail are larger than {ATTACHMENTS_BYTES_MAX} bytes"))
    return tuple(had)


async def _fetch(file: Attachment, http: HttpEgress, room_bytes: int, attempt: int) -> Attachment:
    call = HttpRequest("GET", file.url, _HEADERS, b"", ATTACHMENT_FETCH_MS_MAX, answer_bytes_max=max(room_bytes, 0) + 1)
    try:
        got = file_of(file, await http.send(call), max(room_bytes, 0), attempt)
    except EgressError as error:
        # Only the file was requested, so the message certainly did not go out.
        raise EmailNotReady(
            refuse(file, error.detail) if error.blocked else retry_later(file, error.detail, attempt)
        ) from None
    if isinstance(got, Attachment):
        return got
    raise EmailNotReady(got)
