"""The parts of a played vendor: its requests, its check of credentials, and the text of each of its responses."""

import base64
from collections.abc import Callable
from email import message_from_bytes
from email.message import Message
from hashlib import blake2b
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from clarion_lab.simulate.faults import Answer
from clarion_lab.simulate.http2 import Request

JSON: Final = "application/json"
TEXT: Final = "text/plain"
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""The order of the curve P-256 (FIPS 186-5)."""


class Secrets:
    """Credentials of the vendors, all derived from one stored secret, so that a restarted simulator still accepts
    them."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self._keys: dict[str, ec.EllipticCurvePrivateKey] = {}

    def hex(self, label: str, chars: int = 32) -> str:
        """Return the given number of hexadecimal digits, at most 128."""
        return blake2b(label.encode(), key=self._seed, digest_size=chars // 2).hexdigest()

    def key(self, label: str) -> ec.EllipticCurvePrivateKey:
        """Return a private key on P-256."""
        if label not in self._keys:
            number = int(self.hex(label, 96), 16) % (_ORDER - 1) + 1
            self._keys[label] = ec.derive_private_key(number, ec.SECP256R1())
        return self._keys[label]


class VendorAnswer(msgspec.Struct, frozen=True):
    """A response. In `body` and the values of `headers`, `$id`, `$uuid`, `$ts`, `$to`, `$origin`, `$wait_s` and
    `$reset_s` are replaced by values."""

    status: int
    body: str = ""
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    retry_after: bool = False


class VendorCall(msgspec.Struct, frozen=True):
    """A parsed request: the key of its delivery, the address, and the vendor's id if the sender chooses it."""

    key: str
    to: str
    id: str = ""


Account: TypeAlias = dict[str, dict[str, Any]]


class VendorScript(msgspec.Struct, frozen=True):
    """A vendor, or a further endpoint of one.

    `path` is a regular expression. `check` returns the response to a client that may not send, else None. `parse_call`
    raises `LookupError`, `TypeError` or `ValueError` when the request is malformed. `id_form` makes the vendor's id.
    `account` returns the settings and credentials that are accepted here, `address` an address for messages; `name`
    distinguishes the endpoints of one vendor.
    """

    vendor: str
    channel: str
    path: str
    check: Callable[[Request, Secrets], VendorAnswer | None]
    parse_call: Callable[[Request, Secrets], VendorCall]
    vendor_answer: dict[Answer, VendorAnswer]
    id_form: str
    account: Callable[[Secrets, str], Account]
    address: Callable[[Secrets, str], str]
    name: str = ""


def path_of(request: Request) -> str:
    """Return the path without its query."""
    return request.headers.get(":path", "").partition("?")[0]


def json_of(request: Request) -> Any:
    """Return the JSON of a body. Raises `ValueError` when it is not valid."""
    return msgspec.json.decode(request.body)


def form_of(request: Request) -> dict[str, str]:
    """Return the fields of a form, without its files."""
    media = request.headers.get("content-type", "")
    if media.startswith("multipart/form-data"):
        form = message_from_bytes(f"Content-Type: {media}\r\n\r\n".encode() + request.body)
        parts = [part for part in form.walk() if not part.is_multipart() and part.get_filename() is None]
        return {str(part.get_param("name", header="content-disposition")): _text(part) for part in parts}
    return dict(parse_qsl(request.body.decode("ascii", "replace"), keep_blank_values=True))


def _text(part: Message) -> str:
    content = part.get_payload(decode=True)
    return content.decode("utf-8", "replace") if isinstance(content, bytes) else ""


def text_of(value: Any) -> str:
    """Return a text that is not empty. Raises `ValueError` for any other value."""
    if not isinstance(value, str) or not value:
        raise ValueError("a text is missing")
    return value


def text_key(vendor: str, to: str, text: str) -> str:
    """Return the key of a message of a vendor whose calls carry no delivery id: the same for the same text to one
    address."""
    return blake2b("\0".join((vendor, to, text)).encode(errors="replace"), digest_size=16).hexdigest()


def bearer(request: Request, token: str) -> bool:
    """Return whether the request carries the token."""
    return request.headers.get("authorization") == f"Bearer {token}"


def basic(request: Request, user: str, password: str) -> bool:
    """Return whether the request carries user and password."""
    expected = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    return request.headers.get("authorization") == expected
