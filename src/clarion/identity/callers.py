"""A cache of the callers of API keys: a request whose key this process has seen needs no lookup."""

from clarion.domain.api_key import key_digest
from clarion.domain.limits_processes import CALLERS_KEPT_MAX
from clarion.ports.directory import OPERATOR_LEVEL, Directory
from clarion.ports.web import Caller


class Callers:
    """The callers of keys, cached by the digests of the keys for as long as no key changed. While the directory cannot
    know whether one changed, every request looks its key up. Unknown keys are not cached: made-up ones would fill
    it."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._revision = 0
        self._known: dict[bytes, Caller] = {}

    async def of(self, secret: str, now_ms: int) -> Caller | None:
        """Return the caller whose API key the secret is, or None when the key is unknown, revoked or expired."""
        directory = self._directory
        revision = directory.revision(OPERATOR_LEVEL)  # read before the lookup, so that a later change counts
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
