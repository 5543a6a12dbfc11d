"""Sealed values of headers of fetch steps, in the form that definitions hold them in: base64."""

import base64

from clarion.domain.workflow import SecretHeader
from clarion.ports.secrets import SealBroken, Vault


def seal_header(vault: Vault, tenant: str, record_id: str, secret: str, prefix: str = "") -> SecretHeader:
    """Return the header with its secret sealed, which opens only for the same tenant and record."""
    sealed = base64.b64encode(vault.seal(tenant, record_id, secret.encode())).decode()
    return SecretHeader(sealed=True, secret=sealed, prefix=prefix)


def open_header(vault: Vault, tenant: str, record_id: str, ciphertext: str) -> str:
    """Return the secret of a header. Raises `SealBroken`."""
    try:
        return vault.open(tenant, record_id, base64.b64decode(ciphertext, validate=True)).decode()
    except ValueError:
        raise SealBroken(f"the secret of {record_id!r} is no base64") from None
