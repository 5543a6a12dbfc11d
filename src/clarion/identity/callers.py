"""A cache of the callers of API keys: a request whose key this process has seen needs no lookup."""

from clarion.domain.api_key import key_digest
from clarion.domain.limits_processes import CALLERS_KEPT_MAX
from clarion.ports.directory import OPERATOR_LEVEL, Directory
from clarion.ports.web import Caller
from clarion.runtime.tenant_cache import TenantCache


class Callers:
    """The callers of keys, cached by the digests of the keys. Unknown keys are not cached: made-up ones would fill it."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._known: TenantCache[dict[bytes, Caller]] = TenantCache(directory, CALLERS_KEPT_MAX, dict)

    async def of(self, secret: str, now_ms: int) -> Caller | None:
        """Return the caller whose API key the secret is, or None when the key is unknown, revoked or expired."""
        known, digest = self._known.of(OPERATOR_LEVEL), key_digest(secret)
        caller = known.get(digest)
        if caller is None:
            caller = await self._directory.caller(secret, now_ms)
            if caller is None:
                return None
            known[digest] = caller
            self._known.keep(OPERATOR_LEVEL, known, len(known))
        return caller if caller.expires_ms is None or now_ms < caller.expires_ms else None
