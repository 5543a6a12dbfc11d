"""Sending through the Apprise library: a few threads that may block, and a limit on every resource."""

import asyncio
import importlib
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any

from clarion.domain.errors import EgressError, Sent
from clarion.domain.limits_delivery import APPRISE_CLOSING_MS, APPRISE_THREADS_MAX
from clarion.domain.message import AppriseReply, AppriseRequest
from clarion.outbound.apprise.calls import Calls
from clarion.ports.egress import HttpEgress


class FencedApprise:
    """Implements the `AppriseEgress` port over a guarded HTTP client. The library is imported for the first message."""

    def __init__(self, http: HttpEgress) -> None:
        self._http = http
        # The executor starts no thread before the first message.
        self._threads = ThreadPoolExecutor(APPRISE_THREADS_MAX, thread_name_prefix="apprise")
        self._turns = asyncio.Semaphore(APPRISE_THREADS_MAX)

    async def send(self, request: AppriseRequest) -> AppriseReply:
        """Send a message and return its result. Raises `EgressError` when its last call got no response."""
        if find_spec("apprise") is None:
            return AppriseReply(done=False, reason="missing")
        async with self._turns:
            loop = asyncio.get_running_loop()
            notify = await loop.run_in_executor(self._threads, _library)
            calls = Calls(self._http, loop, request.text, request.timeout_ms)
            try:
                async with asyncio.timeout((request.timeout_ms + APPRISE_CLOSING_MS) / 1000):
                    reply: AppriseReply = await loop.run_in_executor(self._threads, notify.send_message, request, calls)
                    return reply
            except TimeoutError:
                calls.stop()
                sent = Sent.MAYBE if calls.begun else Sent.NO
                raise EgressError("the service took too long", sent=sent) from None
            finally:
                calls.stop()

    async def close(self) -> None:
        """Start no further message."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _library() -> Any:
    return importlib.import_module("clarion.outbound.apprise.notify")
