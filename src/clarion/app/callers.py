"""Whose API keys are, as far as this process asked already: a request whose key was seen before asks nobody."""

from clarion.domain.api_key import key_digest
from clarion.domain.limits import CALLERS_KEPT_MAX
from clarion.ports.directory import OPERATOR_LEVEL, Directory
from clarion.ports.web import Caller


class Callers:
    """Keeps the callers of keys, by the digests of these, for as long as no key changed; while the directory cannot know
    that, it is asked. Keys that are nobody's are not kept: made-up ones would fill it."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._revision = 0
        self._known: dict[bytes, Caller] = {}

    async def of(self, secret: str, now_ms: int) -> Caller | None:
        """Return whose API key a secret is, or None when it is unknown, revoked or expired."""
        directory = self._directory
        revision = directory.revision(OPERATOR_LEVEL)  # before the key is asked for: a later change counts
        if revision != self._revision:
            self._revision, self._known = revision, {}
        known, digest = self._known, key_digest(secret)
        caller = known.get(digest) if directory.is_current() else None
        if caller is None:
            caller = await directory.caller(secret, now_ms)
            if caller is None:
                known.pop(digest, None)
                return None
            if len(known) >= CALLERS_KEPT_MAX:
                known.clear()
            known[digest] = caller
        return caller if caller.expires_ms is None or now_ms < caller.expires_ms else None
