"""Secrets in headers of fetch steps, opened or read when the call is made."""

from msgspec import UNSET

from clarion.domain.fetch_headers import record_of
from clarion.plan.workflow.fetch_calls import FetchJob
from clarion.ports.sealed_headers import open_header
from clarion.ports.secret_stores import Secrets, SecretUnavailable
from clarion.ports.secrets import SealBroken, Vault


class HeaderSecrets:
    """Opens sealed values with `vault` and reads references through `secrets`; a process may have neither."""

    def __init__(self, vault: Vault | None, secrets: Secrets | None) -> None:
        self._vault = vault
        self._secrets = secrets

    async def values(self, job: FetchJob) -> dict[str, str]:
        """Return the secrets of a job's headers by the names of the headers. Raises `SecretUnavailable`."""
        if not job.headers:
            return {}
        return self._opened(job) | await self._referenced(job)

    def _opened(self, job: FetchJob) -> dict[str, str]:
        found = {}
        for name, header in job.headers.items():
            if header.source is UNSET:
                record = record_of(job.workflow, job.step, name, job.request.url)
                try:
                    if self._vault is None:
                        raise SealBroken("this process has no vault")
                    found[name] = open_header(self._vault, job.tenant, record, header.ciphertext or "")
                except SealBroken:
                    words = "does not open: it was sealed with another master key, or for another place"
                    broken = SecretUnavailable("secret_not_opened", words)
                    raise broken.of(f"headers.{name}", "sealed in the definition") from None
        return found

    async def _referenced(self, job: FetchJob) -> dict[str, str]:
        headers = job.headers.items()
        sources = {name: header.source for name, header in headers if header.source is not UNSET}
        if not sources:
            return {}
        if self._secrets is None:
            unavailable = SecretUnavailable("secret_unavailable", "cannot be read by this process")
            raise unavailable.of("headers", ", ".join(sources.values()))
        values = await self._secrets.values(job.tenant, sources, "headers")
        for name, value in values.items():
            if not value.isascii() or not value.isprintable():
                unfit = SecretUnavailable("secret_not_text", "is not one line of ASCII text, as a header has to be")
                raise unfit.of(f"headers.{name}", sources[name])
        return values
