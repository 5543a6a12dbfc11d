"""Attachments of an e-mail: their names and types, and the types that are refused. Pure."""

import re
from typing import Final

import msgspec

from clarion.domain.limits_content import ATTACHMENT_NAME_CHARS_MAX, CID_CHARS_MAX, CONTENT_TYPE_CHARS_MAX

_WORD: Final = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_CONTENT_TYPE: Final = re.compile(
    rf'(?!multipart/|message/){_WORD}/{_WORD}(?:; ?{_WORD}=(?:{_WORD}|"[ !#-\[\]-~]*"))*', re.IGNORECASE
)
"""RFC 2045 5.1, without the types that must not be base64 (RFC 2046 5.1, 5.2)."""
_CID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}(?:@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,62}[A-Za-z0-9])?)?")
_NOT_IN_NAMES: Final = re.compile(
    '[\x00-\x1f\x7f-\x9f"*/:<>?\\\\|\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]'
)
"""Line breaks and control characters, path separators, characters special to a file system, and bidirectional controls,
which show `fdp.exe` as `exe.pdf`."""
DEFAULT_TYPE: Final = "application/octet-stream"
TYPES: Final[dict[str, str]] = {
    "csv": "text/csv",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "gif": "image/gif",
    "html": "text/html",
    "ics": "text/calendar",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "json": "application/json",
    "md": "text/markdown",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
    "odt": "application/vnd.oasis.opendocument.text",
    "pdf": "application/pdf",
    "pkpass": "application/vnd.apple.pkpass",
    "png": "image/png",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "svg": "image/svg+xml",
    "txt": "text/plain",
    "vcf": "text/vcard",
    "webp": "image/webp",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "xml": "application/xml",
    "zip": "application/zip",
}
"""The default media type of a file, by its extension."""
REFUSED_ENDINGS: Final = frozenset({
    "ade", "adp", "apk", "appx", "bat", "cab", "chm", "cmd", "com", "cpl", "dll", "dmg", "exe", "hta", "img", "ins",
    "iso", "isp", "jar", "js", "jse", "lib", "lnk", "mde", "msc", "msi", "msix", "msp", "mst", "nsh", "pif", "ps1",
    "scr", "sct", "shb", "sys", "vb", "vbe", "vbs", "vhd", "vxd", "wsc", "wsf", "wsh", "xll"
})  # fmt: skip
"""Extensions of programs and of files that run as one. The large mailbox providers refuse mail with them, so sending it
would only harm the sender's reputation (https://support.google.com/mail/answer/6590)."""


class Attachment(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """An attachment: its `content`, or the `url` to fetch it from when the e-mail is sent. With a `cid` it is inline:
    the HTML refers to it as `cid:<cid>`. Fields may only be added at the end."""

    filename: str
    content_type: str = ""
    content: bytes | None = None
    url: str = ""
    cid: str = ""

    def __repr__(self) -> str:
        # Its URL may be a secret, as signed ones are.
        size = "by URL" if self.content is None else f"{len(self.content)} bytes"
        return f"Attachment({self.filename!r}, {size})"

    @property
    def media(self) -> str:
        """The media type to send it with: `content_type` if given, else the default for its extension."""
        return self.content_type or TYPES.get(ending(self.filename), DEFAULT_TYPE)


def ending(filename: str) -> str:
    """Return the extension of a file name in lower case, empty when it has none."""
    return filename.rpartition(".")[2].lower() if "." in filename else ""


def name_fault(filename: str) -> str:
    """Return why a name is not valid for an attachment, empty when it is valid."""
    if not 1 <= len(filename) <= ATTACHMENT_NAME_CHARS_MAX:
        return f"must have 1 to {ATTACHMENT_NAME_CHARS_MAX} characters"
    if _NOT_IN_NAMES.search(filename):
        return 'contains a line break, a control character or one of / \\ : * ? " < > |'
    if filename != filename.strip(" .\t\u00a0"):
        return "must not start or end with a dot or space"
    if ending(filename) in REFUSED_ENDINGS:
        return "is the name of a program, which mailboxes refuse"
    return ""


def is_content_type(text: str) -> bool:
    """Return whether a text is a media type that an attachment may have."""
    return len(text) <= CONTENT_TYPE_CHARS_MAX and _CONTENT_TYPE.fullmatch(text) is not None


def is_cid(text: str) -> bool:
    """Return whether a text is a valid content id of an inline attachment: letters, digits, dots and dashes, optionally
    with a domain."""
    return len(text) <= CID_CHARS_MAX and _CID.fullmatch(text) is not None
