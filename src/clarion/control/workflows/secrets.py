"""Secrets in headers of fetch steps: sealed before a workflow is stored, kept where they were given for, never shown."""

import hmac
from typing import Any

import msgspec
from msgspec import UNSET

from clarion.domain.errors import CredentialsRequired
from clarion.domain.fetch_headers import is_secret, origin_of, record_of
from clarion.domain.workflow import Fetch, SecretHeader, Step, Workflow
from clarion.ports.sealed_headers import open_header, seal_header
from clarion.ports.secrets import SealBroken, Vault


class HeaderSealer:
    """Seals the secrets of one workflow. `stored` is its newest version, None when there is none."""

    def __init__(self, vault: Vault, tenant: str, key: str, stored: Workflow | None) -> None:
        self._vault = vault
        self._tenant = tenant
        self._key = key
        steps = () if stored is None else stored.steps
        self._stored = {step.name: step for step in steps if isinstance(step, Fetch)}

    def sealed(self, workflow: Workflow) -> Workflow:
        """Return the workflow as it is stored. An unchanged secret keeps its ciphertext. Raises
        `CredentialsRequired` for a secret that should stay and cannot."""
        steps = tuple(self._step(step, f"steps[{index}].headers") for index, step in enumerate(workflow.steps))
        return msgspec.structs.replace(workflow, steps=steps)

    def _step(self, step: Step, path: str) -> Step:
        if not isinstance(step, Fetch) or not step.headers:
            return step
        headers = {name: self._header(step, name, value, f"{path}.{name}") for name, value in step.headers.items()}
        return msgspec.structs.replace(step, headers=headers)

    def _header(self, step: Fetch, name: str, value: str | SecretHeader, field: str) -> str | SecretHeader:
        if isinstance(value, str):
            if not is_secret(name, value):
                return value
            value = SecretHeader(secret=value)
        if value.source is not UNSET:
            return value
        if value.secret is UNSET:
            return msgspec.structs.replace(self._kept(step, name, field), prefix=value.prefix)
        record = record_of(self._key, step.name, name, step.url)
        before = self._before(step, name)
        if isinstance(before, SecretHeader) and self._holds(before, record, value.secret):
            return msgspec.structs.replace(before, prefix=value.prefix)
        return seal_header(self._vault, self._tenant, record, value.secret, value.prefix)

    def _kept(self, step: Fetch, name: str, field: str) -> SecretHeader:
        """Return the stored secret of a header. Raises `CredentialsRequired` when there is none, or it was for another
        place."""
        before = self._before(step, name)
        if before is None:
            raise _required("there is no stored secret", field)
        if origin_of(self._stored[step.name].url) != origin_of(step.url):
            raise _required("the step's url leads to another origin, and the stored secret is not for it", field)
        record = record_of(self._key, step.name, name, step.url)
        if isinstance(before, str):
            return seal_header(self._vault, self._tenant, record, before)
        if self._opened(before, record) is None:
            raise _required("the stored secret does not open", field)
        return before

    def _before(self, step: Fetch, name: str) -> str | SecretHeader | None:
        """Return the stored secret of a header: sealed, or as text, when it was stored before secrets were sealed."""
        stored = self._stored.get(step.name)
        for header, value in stored.headers.items() if stored else ():
            if header.lower() == name.lower():
                if isinstance(value, str):
                    return value if is_secret(header, value) else None
                return None if value.ciphertext is None else value
        return None

    def _holds(self, header: SecretHeader, record: str, secret: str) -> bool:
        opened = self._opened(header, record)
        return opened is not None and hmac.compare_digest(opened.encode(), secret.encode())

    def _opened(self, header: SecretHeader, record: str) -> str | None:
        try:
            return open_header(self._vault, self._tenant, record, header.ciphertext or "")
        except SealBroken:
            return None


def shown(body: dict[str, Any]) -> dict[str, Any]:
    """Return the API view of a workflow without its secrets."""
    for step in body["steps"]:
        if step["kind"] == "fetch" and "headers" in step:
            step["headers"] = {name: _shown(name, value) for name, value in step["headers"].items()}
    return body


def _shown(name: str, value: Any) -> Any:
    if isinstance(value, str):
        return {"sealed": True} if is_secret(name, value) else value
    return value if "from" in value else {key: value[key] for key in ("sealed", "prefix") if key in value}


def _required(reason: str, field: str) -> CredentialsRequired:
    return CredentialsRequired(f"{reason}: give the secret again; nothing was stored", field=field)
