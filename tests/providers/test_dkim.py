"""Signatures against an independent verifier, which is first checked with RFC 8463's example."""

import base64
import re
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from hypothesis import example, given
from hypothesis import strategies as st

from clarion.domain.content import Account
from clarion.outbound.net.smtp_session import wire_form
from clarion.providers import dkim, mime
from clarion.providers.email import smtp
from tests.providers import battery
from tests.providers.dkim_verifier import body_hash, record, verify
from tests.providers.test_mime import GIVEN, body_text, header_text

RFC_8463 = """\
DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.
""".replace("\n", "\r\n").encode()
RFC_SEED = base64.b64decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
RFC_ED25519 = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
RFC_RSA = (
    "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi"
    "0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QID"
    "AQAB"
)
WHERE = {"domain": "shop.example", "selector": "s1", "at_ms": GIVEN["created_ms"]}
FLAWS = [
    ("dkim_domain", "-x.example"), ("dkim_domain", "x.example; l=0"), ("dkim_domain", "x\r\n y"), ("dkim_selector", "a b"),
    ("dkim_selector", "a;l=0"), ("dkim_selector", "a\r\n"), ("dkim_selector", ".a"), ("dkim_selector", "ü"),
]  # fmt: skip


def pem(key, how=PrivateFormat.PKCS8, lock=None):
    return key.private_bytes(Encoding.PEM, how, lock or NoEncryption()).decode()


@cache
def made(bits):
    return rsa.generate_private_key(public_exponent=65_537, key_size=bits)


ED25519 = Ed25519PrivateKey.from_private_bytes(RFC_SEED)


def key(kind):
    return ED25519 if kind == "ed25519" else load_pem_private_key(battery.rsa_pem().encode(), None)


def signed(payload, kind="ed25519"):
    return dkim.signed(payload, pem=pem(key(kind)), **WHERE)


@pytest.mark.parametrize(("at", "record_text"), [(0, RFC_ED25519), (1, RFC_RSA)])
def test_the_verifier_takes_the_example_of_rfc_8463_and_nothing_beside_it(at, record_text):
    assert verify(RFC_8463, record_text, at)["t"] == "1528637909"
    for old, new in ((b"ready?", b"ready!"), (b"hungry", b"angry"), (b"To:", b"From: x\r\nTo:"), (b"t=1", b"t=2")):
        with pytest.raises(AssertionError):
            verify(RFC_8463.replace(old, new), record_text, at)


def test_the_example_of_rfc_8463_has_the_signature_we_would_make():
    """Ed25519 is deterministic, so an equal signature means equal signed bytes."""
    head, _, body = RFC_8463.partition(b"\r\n\r\n")
    lines = re.split(rb"\r\n(?![ \t])", head)
    by_name = {line.partition(b":")[0].lower(): line for line in lines[2:]}
    own, parsed = lines[0].rsplit(b"b=", 1)
    names = (b"from", b"to", b"subject", b"date", b"message-id")
    covered = b"".join(dkim.relaxed_field(by_name[name]) + b"\r\n" for name in names) + dkim.relaxed_field(own + b"b=")
    assert dkim._signature(ED25519, covered) == base64.b64decode(parsed)
    assert body_hash(body.decode().split("\r\n")) == "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8="


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_a_message_is_signed_with_everything_a_reader_goes_by(kind):
    given_ = {**GIVEN, "reply_to": "help@shop.example", "headers": {"List-Unsubscribe": "<https://shop.example/u/1>"}}
    payload = mime.build(**given_)
    mail = signed(payload, kind)
    said = verify(mail, record(key(kind)))
    assert mail.endswith(payload)
    assert mail == signed(payload, kind)
    assert (said["d"], said["s"], said["t"]) == ("shop.example", "s1", "1790000000")
    assert not {"l", "x", "i"} & said.keys()
    assert said["h"].split(":") == [
        "from", "to", "subject", "date", "message-id", "mime-version", "content-type", "reply-to", "list-unsubscribe", "from",
    ]  # fmt: skip
    assert max(map(len, mail.partition(payload)[0].split(b"\r\n"))) <= 78


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"From: ", b"From: mallory@evil.example\r\nFrom: "),
        (b"Subject: ", b"Subject: Re: "),
        (b"To: ada", b"To: bob"),
        (b"multipart/alternative", b"text/plain"),
        (b"\r\n--=_dlv", b"\r\nx\r\n--=_dlv"),
        (b"t=17", b"t=18"),
    ],
)
def test_what_is_changed_on_the_way_shows(old, new):
    mail = signed(mime.build(**GIVEN))
    assert old in mail
    with pytest.raises(AssertionError):
        verify(mail.replace(old, new, 1), record(ED25519))


def test_what_relays_do_to_blanks_and_folds_does_not_matter():
    mail = signed(mime.build(**{**GIVEN, "subject": "Grüße " * 30}))
    changed = (
        mail.replace(b"To: ", b"TO:\t ").replace(b"\r\n =?", b" \r\n\t=?").replace(b"=\r\n", b"= \r\n") + b"\r\n \r\n"
    )
    assert changed != mail
    verify(changed, record(ED25519))


@given(subject=header_text, name=header_text, text=body_text, html=body_text)
@example(subject=" a  b ", name="ß" * 150, text=".\r\n.. \t\r\n \r\n", html="")
@example(subject="x" * 900, name="", text="-" * 5_000, html=" ")
def test_any_signed_message_verifies(subject, name, text, html):
    parts = {"subject": subject, "sender_name": name, "text": text or "-", "html": html}
    verify(signed(mime.build(**{**GIVEN, **parts})), record(ED25519))


blanks = st.lists(st.sampled_from([b" ", b"\t", b"\r\n", b".", b"a", b"\xc3\xbc", b"  \r\n"]), max_size=30).map(
    b"".join
)
lines = st.one_of(blanks, st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])).map(str.encode))


@given(body=lines, value=blanks.map(lambda text: text.replace(b"\r\n", b"\r\n ")))
@example(body=b"", value=b"")
@example(body=b"\r\n \r\n", value=b" \t ")
@example(body=b"a" * 2_000 + b" ", value=b"a \r\n \t b")
def test_bodies_and_fields_of_any_shape_verify(body, value):
    """Our bodies are Base64, but a signature must not depend on that."""
    verify(signed(b"From: a@shop.example\r\nSubject : " + value + b"\r\n\r\n" + body), record(ED25519))


@given(body=lines)
@example(body=b".\r\n..\r\n.")
def test_dots_at_the_start_of_lines_survive_the_way_over_the_wire(body):
    mail = signed(b"From: a@shop.example\r\nSubject: x\r\n\r\n" + re.sub(rb"\r\n|[\r\n]", b"\r\n", body))
    arrived = wire_form(mail).removesuffix(b".\r\n").replace(b"\r\n..", b"\r\n.")
    verify(arrived, record(ED25519))


def test_of_two_fields_of_one_name_both_are_signed():
    mail = signed(b"From: a@x.example\r\nTo: a@x.example\r\nTo: b@x.example\r\n\r\nx\r\n")
    assert verify(mail, record(ED25519))["h"] == "from:to:to:from"
    with pytest.raises(AssertionError):
        verify(mail.replace(b"a@x.example\r\nTo: b", b"b@x.example\r\nTo: a"), record(ED25519))


def test_a_domain_in_another_script_signs_in_ascii():
    mail = dkim.signed(mime.build(**GIVEN), pem=pem(ED25519), domain="grüße.example", selector="s1", at_ms=0)
    assert verify(mail, record(ED25519))["d"] == "xn--gre-6ka8l.example"


@pytest.mark.parametrize("bits", [2048, 3072])
@pytest.mark.parametrize("how", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_rsa_keys_as_tools_write_them(bits, how):
    text = pem(made(bits), how)
    assert re.fullmatch(dkim.PEM, text)
    verify(dkim.signed(mime.build(**GIVEN), pem=text, **WHERE), record(made(bits)))


def test_keys_that_are_too_small_or_too_large_for_receivers():
    with pytest.raises(ValueError, match="has 1024 bits"):
        dkim.key_of(pem(made(1024)))
    with pytest.raises(ValueError, match="not an unencrypted"):
        dkim.key_of(pem(made(2048)) + "\n" * 4_096)


@pytest.mark.parametrize(
    "text",
    [
        "canary", "", "é", "-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----\n",
        pem(ec.derive_private_key(7, ec.SECP256R1())), pem(ED25519, lock=BestAvailableEncryption(b"canary")),
        pem(ED25519).replace("\n", "\\n"),
    ],
)  # fmt: skip
def test_what_is_no_key_is_not_repeated(text):
    with pytest.raises(ValueError, match="unencrypted RSA or Ed25519") as caught:
        dkim.key_of(text)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["canary", pem(ED25519, lock=BestAvailableEncryption(b"x")), pem(ED25519).replace("\n", r"\n")]
)
def test_what_does_not_look_like_a_key_is_refused_when_it_is_stored(text):
    assert not re.fullmatch(dkim.PEM, text)


@pytest.mark.parametrize(("field", "value"), FLAWS)
def test_names_that_would_break_the_signature(field, value):
    names = {**WHERE, field.removeprefix("dkim_"): value}
    with pytest.raises(ValueError, match=field):
        dkim.signed(mime.build(**GIVEN), pem=pem(ED25519), **names)


@pytest.mark.parametrize("missing", ["dkim_domain", "dkim_selector", "dkim_private_key"])
def test_all_three_or_none(missing):
    table = battery.tables()["email_smtp_dkim"]
    settings = {k: v for k, v in table["account"]["settings"].items() if k != missing}
    credentials = {k: v for k, v in table["account"]["credentials"].items() if k != missing}
    account = Account("acme", "mail", "email", "smtp", 0, settings, credentials)
    with pytest.raises(ValueError, match=f"{missing} is missing"):
        smtp.build(battery.message(table), account, now_ms=0, token=None)


def test_without_any_of_them_nothing_is_signed():
    assert b"DKIM" not in battery.build(smtp, battery.tables()["email_smtp"]).payload


def test_an_address_in_any_script_is_signed_too():
    mail = signed(mime.build(**{**GIVEN, "recipient": "grüße@example.org"}))
    assert "To: grüße@example.org\r\n" in mail.decode()
    verify(mail, record(ED25519))
