"""Headers of fetch steps that are secrets: which ones they are, and the place that a sealed one is bound to."""

from typing import Final
from urllib.parse import urlsplit

import msgspec

from clarion.domain.workflow import PLACEHOLDER

CREDENTIAL_WORDS: Final = ("auth", "cookie", "credential", "key", "password", "secret", "signature", "token")
"""A header whose name contains one of these words carries credentials: `Authorization`, `X-Api-Key`."""
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_JSON: Final = msgspec.json.Encoder()


def carries_credentials(name: str) -> bool:
    """Return whether a header of this name carries credentials."""
    lower = name.lower()
    return any(word in lower for word in CREDENTIAL_WORDS)


def is_secret(name: str, text: str) -> bool:
    """Return whether the text of a header is a secret: it is in a header that carries credentials and is written out,
    without an expression in it."""
    return bool(text) and carries_credentials(name) and not PLACEHOLDER.search(text)


def origin_of(url: str) -> str:
    """Return scheme, host and port of the URL of a fetch step, in one form for URLs of one meaning. The host is
    unchanged but for the case of ASCII letters, so that no two hosts are equal here that a client reads differently."""
    parts = urlsplit(PLACEHOLDER.sub("x", url))
    host, port = parts.netloc.rpartition("@")[2], parts.port
    if port is not None or host.endswith(":"):
        host = host.rpartition(":")[0]
    if host.isascii():
        host = host.lower()
    return f"{parts.scheme}://{host}:{_DEFAULT_PORTS[parts.scheme] if port is None else port}"


def record_of(workflow: str, step: str, header: str, url: str) -> str:
    """Return the id of the record that the sealed value of a header is bound to: it opens for no other workflow, step,
    header or origin."""
    return "fetch-header:" + _JSON.encode([workflow, step, header.lower(), origin_of(url)]).decode()
