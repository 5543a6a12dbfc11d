"""Messages from skeletons, read back by the standard library's parser."""

import contextlib
import re
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clarion.providers import mime

GIVEN = {
    "delivery_id": "dlv_" + "0190" * 12,
    "created_ms": 1_790_000_000_000,
    "sender": "news@shop.example",
    "sender_name": "",
    "reply_to": "",
    "recipient": "ada@example.org",
    "subject": "Your order",
    "text": "text",
    "html": "<p>html</p>",
}
ALWAYS = ["From", "MIME-Version", "To", "Subject", "Message-ID", "Date"]
BREAKS = ["\r", "\n", "\r\n", "\0", "\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1e", "\ud800"]
header_text = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=150)
body_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=2000)


def written(text):
    """A body as it goes over the wire: CRLF line ends."""
    return re.sub(r"\r\n|\r|\n", "\r\n", text)


def read_header(raw):
    return str(make_header(decode_header(re.sub(r"\r?\n(?=[ \t])", "", raw))))


@given(subject=header_text, name=header_text, text=body_text, html=body_text)
@example(subject="=?utf-8?q?spoof?=", name='a "b" \\ c', text=".\r\n.", html="--=_dlv_\n")
@example(subject=" lead and trail ", name=" x ", text="\r", html="")
@example(subject="ascii " * 160, name="ß" * 150, text="", html="x")
def test_the_parser_reads_back_what_was_written(subject, name, text, html):
    text = text or "-"
    payload = mime.build(**{**GIVEN, "subject": subject, "sender_name": name, "text": text, "html": html})
    parsed = message_from_bytes(payload)
    assert parsed.keys() == [*ALWAYS, "Content-Type", *([] if html else ["Content-Transfer-Encoding"])]
    assert read_header(parsed["Subject"]) == subject
    modern = message_from_bytes(payload, policy=policy.default)
    assert modern["From"].addresses[0].addr_spec == "news@shop.example"
    assert len(modern["From"].addresses) == len(modern["To"].addresses) == 1
    assert not modern.defects
    kinds = [
        (part.get_content_type(), part.get_payload(decode=True)) for part in parsed.walk() if not part.is_multipart()
    ]
    expected = [("text/plain", text)] + ([("text/html", html)] if html else [])
    assert kinds == [(kind, written(body).encode()) for kind, body in expected]


@given(subject=st.text(max_size=900).filter(lambda t: not re.search("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]", t)))
def test_lines_stay_within_rfc_5322(subject):
    try:
        payload = mime.build(**{**GIVEN, "subject": subject})
    except ValueError:
        assert re.search("[\ud800-\udfff]", subject)
        return
    lines = payload.split(b"\r\n")
    assert max(map(len, lines)) <= 998
    assert b"\n" not in payload.replace(b"\r\n", b"")
    assert b"\r" not in payload.replace(b"\r\n", b"")
    assert payload.isascii()
    assert all(len(line) <= 76 for line in lines if b"=?utf-8?b?" in line)


@pytest.mark.parametrize("junk", BREAKS)
@pytest.mark.parametrize("field", ["subject", "sender", "sender_name", "reply_to", "recipient", "delivery_id"])
def test_nothing_can_add_a_header(field, junk):
    value = (GIVEN[field] or "https://x.example/") + junk + "Bcc: mallory@evil.example"
    with pytest.raises(ValueError, match=r".+"):
        mime.build(**{**GIVEN, field: value})


@given(junk=st.sampled_from(BREAKS), at=st.integers(0, 10), field=st.sampled_from(["subject", "sender_name"]))
def test_no_break_passes_wherever_it_stands(junk, at, field):
    value = "0123456789"[:at] + junk + "0123456789"[at:]
    with pytest.raises(ValueError, match="line break"):
        mime.build(**{**GIVEN, field: value})


@pytest.mark.parametrize(
    "bad",
    ["", "ada", "@x.example", "a@", "a b@x.example", "a@x.example>", "<a@x.example", "a@x..example", "a@-x.example",
     "a,b@x.example", "a@x.example, b@x.example", '"a b"@x.example', "a@[127.0.0.1]", "a" * 250 + "@x.example"],
)  # fmt: skip
def test_addresses_that_cannot_be_mailed_to(bad):
    with pytest.raises(ValueError, match="not an e-mail address"):
        mime.address(bad, "address")


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),
        ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
        ("a。bücher。example", "a.xn--bcher-kva.example"),
        ("\uff11\uff12.example", "12.example"),
        ("bü\u00adcher.example", "xn--bcher-kva.example"),
    ],
)
def test_a_domain_in_another_script_becomes_ascii(domain, expected):
    assert mime.address(f"ada@{domain}", "address") == f"ada@{expected}"
    assert mime.domain(domain, "dkim_domain") == expected


@pytest.mark.parametrize(
    ("domain", "expected", "forerunner"),
    [
        ("grüße.example", "xn--gre-6ka8l.example", "xn--grsse-lva.example"),
        ("faß.de", "xn--fa-hia.de", "fass.de"),
        ("βόλος.com", "xn--nxasmm1c.com", "xn--nxasmq6b.com"),
        ("نامه\u200cای.com", "xn--mgba3gch31f060k.com", "xn--mgba3gch31f.com"),  # noqa: RUF001 - Persian
        ("ශ්\u200dරී.com", "xn--10cl1a0b660p.com", "xn--10cl1a0b.com"),
    ],
)
def test_the_four_letters_idna_2003_folds_keep_their_domain(domain, expected, forerunner):
    """UTS 46 calls them deviation characters: the other domain may belong to somebody else."""
    assert domain.encode("idna").decode() == forerunner
    assert mime.address(f"ada@{domain}", "address") == f"ada@{expected}"


@pytest.mark.parametrize(
    "domain",
    ["☃.example", "℀.example", "xn--ü.example", "-ü.example", "ü..example", "ü.example.", "a\u200db.example", "\u0301a.example",
     "אa.example", "ü" * 64 + ".example", "ü." * 120 + "example", "\u00ad", "ü@x.example"],
)  # fmt: skip
def test_domains_that_cannot_be(domain):
    with pytest.raises(ValueError, match="address"):
        mime.address(f"ada@{domain}", "address")
    with pytest.raises(ValueError, match="not the name of a domain"):
        mime.domain(domain, "dkim_domain")


@given(st.text(max_size=300))
def test_no_domain_does_harm(text):
    with contextlib.suppress(ValueError):
        name = mime.domain(text, "dkim_domain")
        assert re.fullmatch(r"[A-Za-z0-9_.-]{1,253}", name)
        assert mime.domain(name, "dkim_domain") == name


@pytest.mark.parametrize("local", ["ä", "用户", "ada.müller", "🎉"])
def test_a_local_part_beyond_ascii_is_refused_with_that_reason(local):
    with pytest.raises(ValueError, match="address has characters beyond ASCII before its @: that takes SMTPUTF8"):
        mime.address(f"{local}@bücher.example", "address")


@pytest.mark.parametrize(
    "bad", ["http://x.example/", "javascript:alert(1)", "https://x.example/>", "https://x y", "https://", "x"]
)
def test_links_are_https_and_mailto_only(bad):
    with pytest.raises(ValueError, match="list_unsubscribe"):
        mime.link(bad)


def test_further_headers_are_there_only_when_given():
    assert b"List-Unsubscribe" not in mime.build(**GIVEN)
    payload = mime.build(**GIVEN, headers={"List-Unsubscribe": "<https://a.example/1>, <mailto:leave@shop.example>"})
    assert b"\r\nList-Unsubscribe: <https://a.example/1>,\r\n <mailto:leave@shop.example>\r\n" in payload


@pytest.mark.parametrize("junk", BREAKS)
def test_no_further_header_brings_another(junk):
    with pytest.raises(ValueError, match="List-Unsubscribe"):
        mime.build(**GIVEN, headers={"List-Unsubscribe": f"<https://a.example/1>{junk}Bcc: x@evil.example"})


@given(at_ms=st.integers(0, 4_102_444_800_000))
@example(at_ms=951_782_400_000)
def test_dates_agree_with_the_library(at_ms):
    assert parsedate_to_datetime(mime.date(at_ms)).timestamp() == at_ms // 1000


def test_a_message_without_text_and_html_is_refused():
    with pytest.raises(ValueError, match="text or an html"):
        mime.build(**{**GIVEN, "text": "", "html": ""})
