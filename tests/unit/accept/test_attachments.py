"""Files in requests: which are accepted, which are refused and for which field, and where they are stored."""

import base64

import msgspec
import pytest

from clarion.accept.rules.attachments import attachments
from clarion.accept.shapes import NotificationIn
from clarion.domain.attachment import Attachment
from clarion.domain.errors import InvalidField
from clarion.domain.limits_content import ATTACHMENTS_INLINE_BYTES_MAX, ATTACHMENTS_MAX

FILE = {"filename": "a.pdf", "content": base64.b64encode(b"%PDF").decode()}


def admit(*given, recipients=1):
    body = msgspec.convert({"to": "ada", "template": "hi", "attachments": list(given)}, NotificationIn)
    files = [
        Attachment(one.filename, one.content_type or "", one.content, one.url or "", one.inline_cid or "")
        for one in body.attachments
    ]
    return attachments(files, recipients)


def test_content_and_urls_are_accepted():
    logo = {
        "filename": "logo.png",
        "url": "https://files.example/l?x=1",
        "content_type": "image/png",
        "inline_cid": "logo",
    }
    assert admit(FILE, logo) == [
        Attachment("a.pdf", "", b"%PDF"),
        Attachment("logo.png", "image/png", None, "https://files.example/l?x=1", "logo"),
    ]
    assert admit() is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"filename": "../a.pdf"}, ".filename"),
        ({"filename": "a\r\nBcc: x"}, ".filename"),
        ({"filename": "setup.exe"}, ".filename"),
        ({"content": None}, ""),
        ({"url": "https://files.example/a"}, ""),
        ({"content": None, "url": "file:///etc/passwd"}, ".url"),
        ({"content": None, "url": "https://user:pass@files.example/"}, ".url"),
        ({"content": None, "url": "https://files.example/ä"}, ".url"),
        ({"content_type": "multipart/mixed"}, ".content_type"),
        ({"content_type": "text/plain\r\nBcc: x"}, ".content_type"),
        ({"inline_cid": "a b"}, ".inline_cid"),
        ({"inline_cid": "same"}, ".inline_cid"),
    ],
)
def test_an_invalid_field_is_named(change, field):
    with pytest.raises(InvalidField) as error:
        admit(FILE | {"inline_cid": "same"}, FILE | change)
    assert error.value.field == f"attachments[1]{field}"


def test_bounds():
    full = FILE | {"content": base64.b64encode(bytes(ATTACHMENTS_INLINE_BYTES_MAX)).decode()}
    assert admit(full)
    for given, recipients in (((full, FILE), 1), ((full,), 1_000)):
        with pytest.raises(InvalidField) as error:
            admit(*given, recipients=recipients)
        assert error.value.field == "attachments"
    with pytest.raises(InvalidField):
        attachments([Attachment("a", "", b"")] * (ATTACHMENTS_MAX + 1), 1)
    with pytest.raises(msgspec.ValidationError, match="attachments"):
        admit(*[FILE] * (ATTACHMENTS_MAX + 1))


@pytest.mark.parametrize("content", ["%%%", "YQ", 7])
def test_content_is_base64(content):
    with pytest.raises(msgspec.ValidationError, match=r"attachments\[0\]\.content"):
        msgspec.json.decode(
            msgspec.json.encode({"to": "ada", "attachments": [FILE | {"content": content}]}), type=NotificationIn
        )
