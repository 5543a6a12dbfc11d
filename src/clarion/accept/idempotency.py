"""Idempotency keys: the same key and body get the same response, another body is refused."""

import hmac
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from clarion.accept.submissions import Key
from clarion.domain.errors import Conflict, KeyReused
from clarion.domain.limits import IDEMPOTENCY_TTL_MS
from clarion.ports.stage_store import IdempotencyEntry

RUNNING_RETRY_AFTER_S = 1


class KeyLookup:
    """Keys being looked up. The entries read for the keys in `ended` may be stale: a request with the key was carried
    out meanwhile."""

    __slots__ = ("ended",)

    def __init__(self) -> None:
        self.ended: set[str] = set()

    def take_stale(self) -> set[str]:
        """Return the keys to look up again."""
        ended, self.ended = self.ended, set()
        return ended


class RunningKeys:
    """Keys whose first request is running in this process."""

    def __init__(self) -> None:
        self._running: set[tuple[str, str]] = set()
        self._looks: dict[tuple[str, str], list[KeyLookup]] = {}

    @contextmanager
    def lookup(self, tenant: str, keys: Collection[str]) -> Iterator[KeyLookup]:
        """Yield a lookup of keys, registered before the keys are read."""
        look, places = KeyLookup(), [(tenant, key) for key in keys]
        for place in places:
            self._looks.setdefault(place, []).append(look)
        try:
            yield look
        finally:
            for place in places:
                looks = self._looks[place]
                looks.remove(look)
                if not looks:
                    del self._looks[place]

    def begin(self, tenant: str, key: Key, remembered: IdempotencyEntry | None) -> bytes | None:
        """Return the stored response, or None after registering this request as running (`end` must follow). Raises
        `Conflict` while another request with the key runs, `KeyReused` when the key was used with another body.
        """
        if (tenant, key.text) in self._running:
            raise _running()
        if remembered is not None:
            return _answer(key, remembered)
        self._running.add((tenant, key.text))
        return None

    def end(self, tenant: str, key: str) -> None:
        """Note that the request has ended, successfully or not."""
        self._running.discard((tenant, key))
        for look in self._looks.get((tenant, key), ()):
            look.ended.add(key)


def concurrent_answer(key: Key, remembered: IdempotencyEntry | None) -> bytes:
    """Return the response that another process gave while this request ran. Raises `Conflict` when it has expired
    since, `KeyReused` when the key was used with another body."""
    if remembered is None:
        raise _running()
    return _answer(key, remembered)


def entry(tenant: str, key: Key, answer: bytes, now_ms: int) -> IdempotencyEntry:
    """Return the entry that stores a response under its key."""
    return IdempotencyEntry(tenant, key.text, key.digest, answer, now_ms + IDEMPOTENCY_TTL_MS)


def _answer(key: Key, remembered: IdempotencyEntry) -> bytes:
    if not hmac.compare_digest(remembered.body_hash, key.digest):
        raise KeyReused("this idempotency key was used with another body", field="Idempotency-Key")
    return remembered.answer


def _running() -> Conflict:
    return Conflict(
        "a request with this idempotency key is still running",
        field="Idempotency-Key",
        code="idempotency_key_running",
        retry_after_s=RUNNING_RETRY_AFTER_S,
    )
