"""Calls the receipts URL shortly after a vendor has accepted a message, as the vendor would.

Every message gets a sequence of events by its address (`vendor_receipts.events.EVENT_SEQUENCES`). Chaos sends some
calls twice and out of order; the seed determines which.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Final

import msgspec
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import PyreqwestError

from clarion_lab.simulate.http2 import Request
from clarion_lab.simulate.limits import (
    CALLBACK_AFTER_S,
    CALLBACK_CALLS_MAX,
    CALLBACK_TIMEOUT_S,
    CALLBACK_TRIES_MAX,
    CALLBACKS_WAITING_MAX,
)
from clarion_lab.simulate.vendor_receipts import mails, texts
from clarion_lab.simulate.vendor_receipts.events import Hook, Mail, hooks_of
from clarion_lab.simulate.vendors.script import Secrets

RECEIPT_FORMATS: Final = {**mails.RECEIPT_FORMATS, **texts.RECEIPT_FORMATS}
TENANT: Final = "{tenant}"
PROVIDER: Final = "{provider}"
REPEATED_SHARE: Final = 0.3
"""Share of the calls that are made twice under chaos."""
CHAOS_S: Final = 2.0
"""The most seconds by which chaos delays a call."""


class Call(msgspec.Struct, frozen=True):
    """A line of the file of calls: a call and the status of its response; 0 is no response."""

    vendor: str
    vendor_message_id: str
    url: str
    tries: int
    status: int
    at_ms: int


def due(hooks: Sequence[Hook], chance: Random, *, chaos: bool) -> list[tuple[float, Hook]]:
    """Return the delay (seconds from now) of each call, some of them twice under chaos."""
    calls: list[tuple[float, Hook]] = []
    for index, hook in enumerate(hooks):
        after_s = (index + 1) * CALLBACK_AFTER_S
        calls.append((after_s + chaos * chance.uniform(0, CHAOS_S), hook))
        if chaos and chance.random() < REPEATED_SHARE:
            calls.append((after_s + chance.uniform(0, CHAOS_S), hook))
    return calls


def _client() -> Client:
    return ClientBuilder().timeout(timedelta(seconds=CALLBACK_TIMEOUT_S)).no_proxy().follow_redirects(False).build()


class Callbacks:
    """Makes the calls on the current loop; `url` has `{provider}` in place of the vendor's name."""

    def __init__(self, url: str, secrets: Secrets, path: Path, *, seed: int, chaos: bool) -> None:
        self._url = url
        self._secrets = secrets
        self._chaos = chaos
        self._seed = seed
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._room = asyncio.Semaphore(CALLBACK_CALLS_MAX)
        self._tasks: set[asyncio.Task[None]] = set()
        self._client: Client = _client()
        self.dropped = 0

    def taken(self, vendor: str, request: Request, place: int, to: str, id_: str) -> None:
        """Schedule the calls about a message that a vendor has accepted: the one at this index of a request."""
        receipt_format = RECEIPT_FORMATS.get(vendor)
        if receipt_format is None:
            return
        mail = Mail(vendor, to, id_, receipt_format.back(request, place))
        hooks = hooks_of(receipt_format, mail, self._url.replace(PROVIDER, vendor), time.time(), self._secrets)
        for after_s, hook in due(hooks, Random(f"{self._seed} {id_} {to}"), chaos=self._chaos):
            if len(self._tasks) >= CALLBACKS_WAITING_MAX:
                self.dropped += 1
                continue
            task = asyncio.get_running_loop().create_task(self._call(after_s, hook, mail))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _call(self, after_s: float, hook: Hook, mail: Mail) -> None:
        await asyncio.sleep(after_s)
        status, tries = 0, 0
        while tries < CALLBACK_TRIES_MAX and not 200 <= status < 300:
            await asyncio.sleep(tries)
            tries += 1
            async with self._room:
                status = await self._post(hook)
        line = Call(mail.vendor, mail.id, hook.url, tries, status, time.time_ns() // 1_000_000)
        os.write(self._fd, msgspec.json.encode(line) + b"\n")

    async def _post(self, hook: Hook) -> int:
        try:
            call = self._client.post(hook.url).headers(hook.headers).body_bytes(hook.body).build()
            return (await call.send()).status
        except PyreqwestError:
            return 0

    async def close(self) -> None:
        """Drop the calls that are not yet made."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.close()
        os.close(self._fd)
