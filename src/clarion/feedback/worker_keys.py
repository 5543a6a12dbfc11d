"""Fetches needed to verify a call: a provider's certificates, cached for a day, and confirmations."""

import asyncio
from collections import OrderedDict

from clarion.domain.errors import EgressError, Overloaded
from clarion.domain.limits_delivery import (
    RECEIPT_FETCH_TIMEOUT_MS,
    RECEIPT_KEY_BYTES_MAX,
    RECEIPT_KEY_FETCHES_MAX,
    RECEIPT_KEY_TTL_MS,
    RECEIPT_KEYS_MAX,
)
from clarion.domain.message import HttpRequest
from clarion.ports.clock import Clock
from clarion.ports.egress import HttpEgress

_RETRY_S = 30


class KeyFetcher:
    """Fetches through the guarded egress. The vendor checks the allowed hosts beforehand."""

    def __init__(self, http: HttpEgress, clock: Clock) -> None:
        self._http = http
        self._clock = clock
        self._places = asyncio.Semaphore(RECEIPT_KEY_FETCHES_MAX)
        self._cached: OrderedDict[str, tuple[int, bytes]] = OrderedDict()

    async def get(self, url: str) -> bytes:
        """Return the text behind a URL. Raises `Overloaded`, so that the provider retries, when it is unavailable."""
        kept = self._cached.get(url)
        if kept is not None and self._clock.monotonic_ms() < kept[0]:
            return kept[1]
        key = await self._fetch(url)
        self._cached[url] = (self._clock.monotonic_ms() + RECEIPT_KEY_TTL_MS, key)
        if len(self._cached) > RECEIPT_KEYS_MAX:
            self._cached.popitem(last=False)
        return key

    async def confirm(self, url: str) -> None:
        """Request a URL that confirms a subscription. Raises `Overloaded` when the response is not a success."""
        await self._fetch(url)

    async def _fetch(self, url: str) -> bytes:
        if not url.startswith("https://") or self._places.locked():
            raise Overloaded("the key or confirmation URL of the call cannot be fetched now", retry_after_s=_RETRY_S)
        async with self._places:
            try:
                request = HttpRequest("GET", url, {}, b"", timeout_ms=RECEIPT_FETCH_TIMEOUT_MS)
                response = await self._http.send(request)
            except EgressError:
                raise Overloaded(
                    "the key or confirmation URL of the call cannot be fetched", retry_after_s=_RETRY_S
                ) from None
        if response.status != 200 or len(response.body) > RECEIPT_KEY_BYTES_MAX:
            raise Overloaded("the key or confirmation URL of the call cannot be fetched", retry_after_s=_RETRY_S)
        return response.body
