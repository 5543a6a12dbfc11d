"""Checks of the files attached to an e-mail."""

import re
from collections.abc import Sequence
from typing import Final

from clarion.domain.address import url
from clarion.domain.attachment import Attachment, is_cid, is_content_type, name_fault
from clarion.domain.errors import InvalidField
from clarion.domain.limits import FANOUT_BYTES_MAX
from clarion.domain.limits_content import ATTACHMENTS_INLINE_BYTES_MAX, ATTACHMENTS_MAX

_ASCII: Final = re.compile("[!-~]+")


def attachments(given: Sequence[Attachment], recipients: int) -> list[Attachment] | None:
    """Return the files of a request to the given number of recipients, None if there are none. Raises `InvalidField`
    naming the field."""
    if len(given) > ATTACHMENTS_MAX:
        raise InvalidField(f"are more than {ATTACHMENTS_MAX}", field="attachments")
    cids: set[str] = set()
    for index, file in enumerate(given):
        _check(file, f"attachments[{index}]")
        if file.cid and file.cid in cids:
            raise InvalidField("is used twice", field=f"attachments[{index}].inline_cid")
        cids.add(file.cid)
    size = sum(len(file.content or b"") for file in given)
    if size > ATTACHMENTS_INLINE_BYTES_MAX:
        raise InvalidField(
            f"hold more than {ATTACHMENTS_INLINE_BYTES_MAX} bytes; give larger files by url", field="attachments"
        )
    if size * recipients > FANOUT_BYTES_MAX:
        raise InvalidField(
            f"are too large for {recipients} recipients at once; send to fewer or give them by url", field="attachments"
        )
    return list(given) or None


def _check(file: Attachment, field: str) -> None:
    if fault := name_fault(file.filename):
        raise InvalidField(fault, field=f"{field}.filename")
    if (file.content is None) == (not file.url):
        raise InvalidField("needs exactly one of content and url", field=field)
    if file.url and not _ASCII.fullmatch(url(file.url, f"{field}.url")):
        raise InvalidField("must be written in ASCII", field=f"{field}.url")
    if file.content_type and not is_content_type(file.content_type):
        raise InvalidField("is not a media type that a file can have", field=f"{field}.content_type")
    if file.cid and not is_cid(file.cid):
        raise InvalidField("must be 1-64 letters, digits, '.', '_', '+' or '-'", field=f"{field}.inline_cid")
