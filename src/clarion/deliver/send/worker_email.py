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
from clarion.runtime.tenant_cache import TenantCache

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
        self._refusable: TenantCache[dict[str, bool]] = TenantCache(directory, CATEGORIES_HELD_MAX, dict)
        """Whether users can opt out of a category, by its key."""
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
        known = {tenant: self._refusable.of(tenant) for tenant in {tenant for tenant, _ in categories}}
        unknown = [name for name in categories if name[1] and name[1] not in known[name[0]]]
        return [self._read(unknown, known)] if unknown else []

    async def _read(self, names: Collection[tuple[str, str]], known: Mapping[str, dict[str, bool]]) -> None:
        found = await self._directory.categories(names)
        for tenant, key in names:
            category = found.get((tenant, key))
            known[tenant][key] = category is not None and not category.critical
            self._refusable.keep(tenant, known[tenant], len(known[tenant]))

    async def unsubscribe_url(self, row: PlannedDelivery) -> str:
        """Return the unsubscribe link of a delivery. Empty without a category, since there is nothing to opt out of,
        and for a critical one, which nobody can opt out of."""
        if self._links is None or not row.category:
            return ""
        refusable = self._refusable.last(row.tenant)  # as it was when the batch began
        if refusable is None or row.category not in refusable:
            refusable = self._refusable.of(row.tenant)
            await self._read([(row.tenant, row.category)], {row.tenant: refusable})
        if not refusable[row.category]:
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
