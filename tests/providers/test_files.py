"""Files of e-mails: read back by the standard library's parser, and in the request of each API."""

import base64
import json
import re
from email import message_from_bytes, policy

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clarion.domain.attachment import REFUSED_ENDINGS, Attachment, is_cid, is_content_type, name_fault
from clarion.domain.limits_content import ATTACHMENT_NAME_CHARS_MAX
from clarion.providers import form_data, mime, mime_files
from clarion.providers.email import mailgun, postmark, sendgrid, ses, smtp
from clarion_lab.simulate.vendors import script
from tests.providers import battery
from tests.providers.test_mime import BREAKS, GIVEN

names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=ATTACHMENT_NAME_CHARS_MAX).filter(
    lambda name: not name_fault(name)
)
PDF = Attachment("Rechnung für März.pdf", "", b"%PDF-1.7\r\n.\r\n\x00\xff")
LOGO = Attachment("logo.png", "image/png", b"\x89PNG", cid="logo@shop.example")
VENDORS = {"ses": ses, "sendgrid": sendgrid, "mailgun": mailgun, "postmark": postmark, "smtp": smtp}


def parsed(**more):
    payload = mime.build(**{**GIVEN, **more})
    mail = message_from_bytes(payload, policy=policy.default)
    assert not any(part.defects for part in mail.walk())
    assert max(map(len, payload.split(b"\r\n"))) <= 998
    assert payload.isascii()
    return mail


def shape(part):
    kind = part.get_content_type().removeprefix("multipart/")
    return [kind, *map(shape, part.iter_parts())] if part.is_multipart() else kind


@given(name=names, content=st.binary(max_size=300))
@example(name="a; filename=b.pdf", content=b"")
@example(name="%41'; filename=x;.pdf", content=b"--=_m_dlv\r\n")
@example(name="ß" * ATTACHMENT_NAME_CHARS_MAX, content=b".")
@example(name="👩‍👩‍👧‍👦" * 20, content=b"x")
def test_a_file_is_read_back_as_it_was(name, content):
    mail = parsed(files=[Attachment(name, "application/x-thing", content)])
    (file,) = mail.iter_attachments()
    assert (file.get_filename(), file.get_content_type(), file.get_content()) == (name, "application/x-thing", content)
    assert file.keys() == ["Content-Type", "Content-Transfer-Encoding", "Content-Disposition"]
    assert file.get_content_disposition() == "attachment"


@given(text=st.text(max_size=30), field=st.sampled_from(["filename", "content_type", "cid"]))
@pytest.mark.parametrize("junk", BREAKS)
def test_no_file_can_add_a_header(junk, text, field):
    bad = {"filename": "a.pdf", "content_type": "text/plain", "cid": "a"}
    bad[field] = f"{bad[field]}{text}{junk}Bcc: mallory@evil.example"
    with pytest.raises(ValueError, match=r".+"):
        parsed(files=[Attachment(content=b"x", **bad)])


@pytest.mark.parametrize(
    ("text", "html", "files", "wanted"),
    [
        ("t", "", [PDF], ["mixed", "plain", "pdf"]),
        ("t", "h", [PDF], ["mixed", ["alternative", "plain", "html"], "pdf"]),
        ("t", "h", [LOGO], ["alternative", "plain", ["related", "html", "png"]]),
        ("", "h", [LOGO], ["related", "html", "png"]),
        ("t", "", [LOGO], ["mixed", "plain", "png"]),
        ("t", "h", [LOGO, PDF], ["mixed", ["alternative", "plain", ["related", "html", "png"]], "pdf"]),
    ],
)
def test_inline_files_are_next_to_the_html_and_the_rest_at_the_end(text, html, files, wanted):
    def plain(found):
        return [plain(one) for one in found] if isinstance(found, list) else found.rpartition("/")[2]

    assert plain(shape(parsed(text=text, html=html, files=files))) == wanted


def test_an_inline_file_has_the_id_by_which_the_html_names_it():
    (logo,) = [part for part in parsed(files=[LOGO]).walk() if part.get_content_type() == "image/png"]
    assert (logo["Content-ID"], logo.get_content_disposition()) == ("<logo@shop.example>", "inline")


@pytest.mark.parametrize(
    "name",
    ["", "a/b.pdf", "a\\b.pdf", "..", ".bashrc", "a.pdf ", 'a".pdf', "a\u202efdp.exe", "x" * 151, "run.EXE", "a.js"],
)
def test_names_that_are_none(name):
    assert name_fault(name)


@pytest.mark.parametrize(
    ("name", "media"), [("a.PDF", "application/pdf"), ("a.ics", "text/calendar"), ("a", "application/octet-stream")]
)
def test_a_type_comes_from_the_name_when_none_is_given(name, media):
    assert Attachment(name).media == media
    assert not name_fault(name)


def test_types_and_ids():
    assert is_content_type('text/calendar; method=REQUEST; charset="utf-8"')
    assert not any(
        map(
            is_content_type,
            ["", "text", "multipart/mixed", "message/rfc822", "text/plain;x", "a/b\r\nc: d", "a/" + "b" * 127],
        )
    )
    assert not any(map(is_cid, ["", "a b", "<a>", "a@", "a" * 79, "a\n"]))
    assert "exe" in REFUSED_ENDINGS


def test_urls_and_contents_are_not_shown():
    assert "secret" not in repr(Attachment("a.pdf", url="https://files.example/a?secret=1")) + repr(
        Attachment("a.pdf", content=b"secret")
    )


def built(name, *files, parts=None):
    table = battery.tables()[f"email_{name}"]
    message = msgspec.structs.replace(battery.message(table, **({"parts": parts} if parts else {})), attachments=files)
    return VENDORS[name].build(message, battery.account(table), now_ms=GIVEN["created_ms"], token=None)


def test_sendgrid_gets_files():
    files = json.loads(built("sendgrid", Attachment("a;b.ics", "text/calendar; method=REQUEST", b"x"), LOGO).body)[
        "attachments"
    ]
    assert files == [
        {"content": "eA==", "filename": "a_b.ics", "type": "text/calendar", "disposition": "attachment"},
        {"content": "iVBORw==", "filename": "logo.png", "type": "image/png", "disposition": "inline", "content_id": LOGO.cid},
    ]  # fmt: skip


def test_postmark_gets_files():
    files = json.loads(built("postmark", PDF, LOGO).body)["Attachments"]
    assert files[0] | {"Content": ""} == {"Name": PDF.filename, "Content": "", "ContentType": "application/pdf"}
    assert base64.b64decode(files[0]["Content"]) == PDF.content
    assert files[1]["ContentID"] == "cid:logo@shop.example"


def test_ses_gets_files():
    long = "text/plain; x=" + "y" * 100
    files = json.loads(built("ses", PDF, LOGO, Attachment("t.txt", long, b"")).body)["Content"]["Simple"]["Attachments"]
    assert [(file["ContentType"], file["ContentDisposition"], file.get("ContentId")) for file in files] == [
        ("application/pdf", "ATTACHMENT", None), ("image/png", "INLINE", LOGO.cid), ("text/plain", "ATTACHMENT", None),
    ]  # fmt: skip
    assert base64.b64decode(files[0]["RawContent"]) == PDF.content


def form(request):
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    return list(message_from_bytes(head + request.body, policy=policy.HTTP).iter_parts())


def test_mailgun_gets_a_form_with_files():
    parts = form(built("mailgun", PDF, LOGO))
    fields = {part.get_param("name", header="content-disposition"): part for part in parts}
    assert fields["attachment"].get_payload(decode=True) == PDF.content
    assert f'filename="{PDF.filename}"'.encode() in built("mailgun", PDF).body
    assert (fields["inline"].get_filename(), fields["inline"].get_content_type()) == (LOGO.cid, "image/png")
    plain = dict(re.findall(r"([^&=]+)=([^&]*)", built("mailgun").body.decode()))
    assert len(parts) - 2 == len(plain)


def test_the_simulator_reads_the_form():
    played, plain = built("mailgun", PDF, LOGO), built("mailgun")
    assert script.form_of(played) == script.form_of(plain)
    assert script.form_of(plain)["v:delivery_id"] == battery.DELIVERY


@given(values=st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=3), content=st.binary(max_size=50))
def test_a_form_is_read_back_as_it_was(values, content):
    fields = {f"f{at}": value for at, value in enumerate(values)}
    media, body = form_data.encoded(fields, [form_data.FilePart("attachment", "a.bin", "application/x", content)])
    mark = re.search('boundary="(.+)"', media)[1].encode()
    found = [part.removesuffix(b"\r\n").partition(b"\r\n\r\n")[2] for part in body.split(b"--" + mark)[1:-1]]
    assert found == [*(value.encode() for value in values), content]


@pytest.mark.parametrize("name", VENDORS)
def test_without_html_nothing_is_inline(name):
    request = built(name, LOGO, parts={"subject": "s", "text": "t"})
    body = request.payload if name == "smtp" else request.body
    assert not re.search(b'"?inline"?[;"]|"INLINE"|disposition: inline|ContentID|name="inline"', body, re.IGNORECASE)


@pytest.mark.parametrize("name", VENDORS)
@pytest.mark.parametrize(
    "file",
    [
        Attachment("a/b", content=b""),
        Attachment("a.pdf", "x", b""),
        Attachment("a.pdf", cid="<", content=b""),
        Attachment("a.pdf"),
    ],
)
def test_no_vendor_sends_what_is_no_file(name, file):
    with pytest.raises(ValueError, match=r"attachment|content|inline_cid"):
        built(name, file)


@pytest.mark.parametrize(("name", "limit"), [("postmark", 10), ("mailgun", 25), ("sendgrid", 30), ("ses", 40)])
def test_a_vendors_bound_is_reported_before_the_call(name, limit, monkeypatch):
    monkeypatch.setattr(mime_files, "total_bytes", lambda files: limit * 1024 * 1024)
    with pytest.raises(ValueError, match=f"{limit * 1024 * 1024:,} are allowed"):
        built(name, PDF)


def test_base64_is_counted_in_lines():
    content = bytes(1000)
    assert abs(mime_files.total_bytes([Attachment("a", "", content)]) - len(base64.encodebytes(content)) * 78 / 77) < 4
