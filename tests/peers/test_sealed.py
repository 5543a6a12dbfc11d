"""Messages encrypted and signed for browsers, Apple and mail servers, opened and checked by other implementations."""

import base64

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.attachment import Attachment
from clarion.providers.email import smtp
from clarion.providers.es256 import base64url, key_of, unbase64url
from clarion.providers.push import apns
from clarion.providers.webpush import webpush
from tests.peers.processes import base64_of
from tests.providers import battery

TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=200)

# --- web push ---

SCALARS = st.integers(1, 2**255)
AUTHS = st.binary(min_size=16, max_size=16)
AUDIENCES = {
    "https://push.example/a": "https://push.example",
    "https://Push.example:443/b?c": "https://push.example",
    "https://push.example:8443/": "https://push.example:8443",
}


def pushed(endpoint, scalar, auth, parts):
    point = ec.derive_private_key(scalar, ec.SECP256R1()).public_key()
    point = point.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    keys = {"p256dh": base64url(point), "auth": base64url(auth)}
    address = msgspec.json.encode({"endpoint": endpoint, "keys": keys}).decode()
    return battery.build(webpush, battery.tables()["webpush_webpush"], address=address, parts=parts)


@given(scalar=SCALARS, auth=AUTHS, body=TEXT)
def test_a_browser_reads_what_was_pushed_to_it_and_another_does_not(peer, scalar, auth, body):
    request = pushed("https://push.example/a", scalar, auth, {"title": "Sale", "body": body})
    given_ = {"auth": base64_of(auth), "body": base64_of(request.body)}
    plain = msgspec.json.decode(base64.b64decode(peer.says("push_open", scalar=f"{scalar:x}", **given_)))
    assert plain == {"title": "Sale", "body": body, "delivery_id": battery.DELIVERY}
    assert "error" in peer.ask("push_open", scalar=f"{scalar + 1:x}", **given_)
    broken = request.body[:-1] + bytes([request.body[-1] ^ 1])
    assert "error" in peer.ask("push_open", scalar=f"{scalar:x}", **(given_ | {"body": base64_of(broken)}))


@pytest.mark.parametrize(("endpoint", "audience"), AUDIENCES.items())
def test_the_sender_of_a_push_is_proved_to_its_service(peer, endpoint, audience):
    authorization = pushed(endpoint, 7, bytes(16), {"title": "Sale"}).headers["authorization"]
    assert peer.says("vapid_valid", authorization=authorization) is True
    token, _, point = authorization.removeprefix("vapid t=").partition(", k=")
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), unbase64url(point))
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    claims = peer.says("token_claims", token=token, pem=pem, audience=audience)["claims"]
    assert 0 < claims["exp"] - battery.NOW_MS // 1000 <= 24 * 3_600
    assert "error" in peer.ask("token_claims", token=token, pem=pem, audience=audience + ":1")
    head, dot, signature = authorization.partition(", k=")[0].rpartition(".")
    other = (
        head + dot + ("B" if signature[0] == "A" else "A") + signature[1:] + ", k=" + authorization.partition(", k=")[2]
    )
    assert peer.ask("vapid_valid", authorization=other).get("said") is not True


def test_a_browsers_longest_push_is_read(peer):
    request = pushed("https://push.example/a", 7, bytes(16), {"body": "ü" * 1_900})
    opened = peer.says("push_open", scalar="7", auth=base64_of(bytes(16)), body=base64_of(request.body))
    assert len(request.body) <= 4_096
    assert msgspec.json.decode(base64.b64decode(opened))["body"] == "ü" * 1_900


# --- APNs ---


def test_apples_token_says_who_and_since_when(peer):
    table = battery.tables()["push_apns"]
    request, account = battery.build(apns, table), battery.account(table)
    token = request.headers["authorization"].removeprefix("bearer ")
    key = key_of(account.credentials["private_key"], "private_key").public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    said = peer.says("token_claims", token=token, pem=pem)
    assert said["header"] == {"alg": "ES256", "kid": account.settings["key_id"]} | (
        {"typ": said["header"]["typ"]} if "typ" in said["header"] else {}
    )
    assert said["claims"]["iss"] == account.settings["team_id"]
    # Apple refuses tokens over an hour old.
    assert 0 <= battery.NOW_MS // 1000 - said["claims"]["iat"] < 3_600
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    wrong = other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    assert peer.ask("token_claims", token=token, pem=wrong)["error"].startswith("InvalidSignatureError")


# --- DKIM ---

KEYS = {
    "rsa": rsa.generate_private_key(public_exponent=65_537, key_size=2048),
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
}
FILES = (
    Attachment("Rechnung für März.pdf", content=b"%PDF-1.7\r\n.\r\n\x00\xff"),
    Attachment("logo.png", content=b"\x89PNG", cid="logo@shop.example"),
)
NAME = "s1._domainkey.shop.example."


def record(kind):
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo) if kind == "rsa" else (Encoding.Raw, PublicFormat.Raw)
    return f"v=DKIM1; k={kind}; p={base64_of(KEYS[kind].public_key().public_bytes(*form))}"


def mailed(kind, files=(), **changes):
    """Return the signed mail of an account as it goes over the wire."""
    table = battery.tables()["email_smtp"]
    pem = KEYS[kind].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    account = battery.account(table)
    account = msgspec.structs.replace(
        account,
        settings={**account.settings, "dkim_domain": "shop.example", "dkim_selector": "s1"},
        credentials={**account.credentials, "dkim_private_key": pem},
    )
    message = msgspec.structs.replace(battery.message(table, **changes), attachments=tuple(files))
    return smtp.build(message, account, now_ms=battery.NOW_MS, token=None).payload


def holds(peer, mail, kind):
    return peer.says("mail_valid", mail=base64_of(mail), record=record(kind), name=NAME)


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("files", [(), FILES, FILES[:1]])
def test_signed_mail_holds_with_files_and_links_and_not_when_changed(peer, kind, files):
    mail = mailed(kind, files, unsubscribe_url="https://shop.example/u/1?t=" + "x" * 300, metadata={})
    assert b"List-Unsubscribe-Post: List-Unsubscribe=One-Click" in mail
    assert holds(peer, mail, kind)
    for old, new in (
        (b"\r\nSubject: ", b"\r\nSubject: x"),
        (b"One-Click", b"No-Click"),
        (b"https://shop.example/u/1", b"https://evil.example/u/1"),
        (b"\r\nFrom: ", b"\r\nFrom: a@evil.example\r\nFrom: "),
    ):
        assert old in mail
        assert not holds(peer, mail.replace(old, new, 1), kind), old
    assert not holds(peer, mail + b"Buy now.\r\n", kind)


@given(
    kind=st.sampled_from(sorted(KEYS)),
    subject=st.text(st.characters(codec="utf-8", exclude_categories=["Cc"])),
    text=TEXT,
)
def test_any_mail_that_is_signed_holds(peer, kind, subject, text):
    assert holds(peer, mailed(kind, parts={"subject": subject, "text": text, "html": f"<p>{text}</p>"}), kind)
