"""Idempotency keys at the door: the same key and body get the same answer, another body is refused."""

import hmac
from hashlib import blake2b

from clarion.domain.address import single_line
from clarion.domain.errors import Conflict, InvalidField, KeyReused
from clarion.domain.limits import IDEMPOTENCY_KEY_CHARS_MAX, IDEMPOTENCY_TTL_MS
from clarion.ports.journal import IdempotencyEntry, Journal

HEADER = "idempotency-key"
REPLAYED = {"Idempotency-Replayed": "true"}
RUNNING_RETRY_AFTER_S = 1


def key_of(header: str | None, field: str | None) -> str | None:
    """Return the key a request carries in its header or body. Raises `InvalidField`."""
    if header is None:
        return field
    if not 1 <= len(header) <= IDEMPOTENCY_KEY_CHARS_MAX:
        raise InvalidField(f"takes 1 to {IDEMPOTENCY_KEY_CHARS_MAX} characters", field="Idempotency-Key")
    if field is not None and field != header:
        raise InvalidField("differs from the Idempotency-Key header", field="idempotency_key")
    return single_line(header, "Idempotency-Key", IDEMPOTENCY_KEY_CHARS_MAX)


def body_hash(raw: bytes) -> bytes:
    """Return what two bodies are compared by."""
    return blake2b(raw, digest_size=16).digest()


class Once:
    """Keys whose first request is running in this process, and those the journal remembers."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._running: set[tuple[str, str]] = set()

    def begin(self, tenant: str, key: str, digest: bytes, now_ms: int) -> bytes | None:
        """Return the answer given before, or None after noting that this request now runs (`end` must follow).

        Raises `Conflict` while another request with the key runs, `KeyReused` when its body was another one.
        """
        if (tenant, key) in self._running:
            raise _running()
        answer = self._answer(tenant, key, digest, now_ms)
        if answer is None:
            self._running.add((tenant, key))
        return answer

    def given(self, tenant: str, key: str, digest: bytes, now_ms: int) -> bytes:
        """Return the answer that another process gave while this request ran. Raises `Conflict` when it has expired
        since, `KeyReused` when the body was another one."""
        answer = self._answer(tenant, key, digest, now_ms)
        if answer is None:
            raise _running()
        return answer

    def end(self, tenant: str, key: str) -> None:
        """Note that the request is over, whatever came of it."""
        self._running.discard((tenant, key))

    def _answer(self, tenant: str, key: str, digest: bytes, now_ms: int) -> bytes | None:
        entry = self._journal.idempotency(tenant, key, now_ms)
        if entry is None:
            return None
        if not hmac.compare_digest(entry.body_hash, digest):
            raise KeyReused("this idempotency key was used with another body", field="Idempotency-Key")
        return entry.answer


def _running() -> Conflict:
    return Conflict(
        "a request with this idempotency key is still running",
        field="Idempotency-Key",
        code="idempotency_key_running",
        retry_after_s=RUNNING_RETRY_AFTER_S,
    )


def entry(tenant: str, key: str, digest: bytes, answer: bytes, now_ms: int) -> IdempotencyEntry:
    """Return what is to be remembered of an answer."""
    return IdempotencyEntry(tenant, key, digest, answer, now_ms + IDEMPOTENCY_TTL_MS)
