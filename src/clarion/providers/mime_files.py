"""Files as MIME parts (RFC 2045, 2183, 2392); names that are not plain ASCII are written by RFC 2231.

The values of a request are checked once more here, so that no value can end the header line that it is written to.
"""

import binascii
import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from clarion.domain.attachment import Attachment, is_cid, is_content_type, name_fault

_LINE_BYTES: Final = 57
"""Bytes of content per line, which make 76 characters of base64 (RFC 2045 6.8)."""
_SECTION_CHARS: Final = 54
_PLAIN: Final = re.compile(r"[ !#-\[\]-~]*")
_UNRESERVED: Final = "!#$&+-.^_`{}~"


def split(files: Sequence[Attachment], *, html: bool) -> tuple[list[Attachment], list[Attachment]]:
    """Return the files shown within the HTML, and the other files; without HTML no file is inline."""
    inline = [file for file in files if file.cid] if html else []
    return inline, [file for file in files if not (html and file.cid)]


def checked(file: Attachment) -> bytes:
    """Return the content of a file. Raises `ValueError` when its name, type or id cannot be put into a header, or it has no
    content."""
    if fault := name_fault(file.filename):
        raise ValueError(f"the filename of an attachment {fault}")
    if not is_content_type(file.media):
        raise ValueError(f"the content_type of {file.filename} is not a media type")
    if file.cid and not is_cid(file.cid):
        raise ValueError(f"the inline_cid of {file.filename} is not an id")
    if file.content is None:
        raise ValueError(f"{file.filename} has no content")
    return file.content


def total_bytes(files: Sequence[Attachment]) -> int:
    """Return the bytes of files encoded as lines of base64."""
    return sum((len(file.content or b"") + 2) // 3 * 4 * 78 // 76 for file in files)


def base64_of(file: Attachment) -> str:
    """Return the content of a file in base64, for JSON. Raises `ValueError` as `checked` does."""
    return binascii.b2a_base64(checked(file), newline=False).decode()


def part(file: Attachment, *, inline: bool) -> bytes:
    """Return a file as a complete body part with its headers. Raises `ValueError` as `checked` does."""
    content = checked(file)
    head = f"Content-Type: {file.media}\r\nContent-Transfer-Encoding: base64\r\n"
    if inline:
        head += f"Content-ID: <{file.cid}>\r\n"
    head += f"Content-Disposition: {'inline' if inline else 'attachment'};{_filename(file.filename)}\r\n\r\n"
    encode = binascii.b2a_base64
    lines = [encode(content[at : at + _LINE_BYTES], newline=False) for at in range(0, len(content), _LINE_BYTES)]
    return b"%s%s\r\n" % (head.encode(), b"\r\n".join(lines))


def _filename(name: str) -> str:
    """Return the `filename` parameter: a quoted string, or percent-encoded sections (RFC 2231 3, 4)."""
    if _PLAIN.fullmatch(name):
        return f'\r\n filename="{name}"'
    sections = [""]
    for char in name:
        encoded = quote(char, safe=_UNRESERVED)
        if len(sections[-1]) + len(encoded) > _SECTION_CHARS:
            sections.append("")
        sections[-1] += encoded
    if len(sections) == 1:
        return f"\r\n filename*=utf-8''{sections[0]}"
    sections[0] = f"utf-8''{sections[0]}"
    return ";".join(f"\r\n filename*{number}*={section}" for number, section in enumerate(sections))
