"""Forms with files: `multipart/form-data` (RFC 7578), the same bytes for the same fields."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple


class FilePart(NamedTuple):
    """A file of a form: the name of its field, its own name, its type and its content."""

    field: str
    filename: str
    content_type: str
    content: bytes


def encoded(fields: Mapping[str, str], files: Sequence[FilePart]) -> tuple[str, bytes]:
    """Return the content type and the body of a form. Names and types of files have passed the checks of `mime_files`.

    Raises `ValueError` for text with half a surrogate pair.
    """
    parts = [(f'form-data; name="{_quoted(name)}"', value.encode()) for name, value in fields.items()]
    for file in files:
        head = f'form-data; name="{_quoted(file.field)}"; filename="{_quoted(file.filename)}"'
        parts.append((f"{head}\r\nContent-Type: {file.content_type}", file.content))
    digest = blake2b(digest_size=24)
    for head, content in parts:
        digest.update(head.encode() + content)
    # No part can contain a digest of all parts.
    mark = f"=_{digest.hexdigest()}".encode()
    lines = [
        b"--%s\r\nContent-Disposition: %s\r\n\r\n%s\r\n" % (mark, head.encode(), content) for head, content in parts
    ]
    return f'multipart/form-data; boundary="{mark.decode()}"', b"".join(lines) + b"--%s--\r\n" % mark


def _quoted(name: str) -> str:
    """Return a name as browsers quote it (WHATWG, "Multipart form data")."""
    return name.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")
