"""The files of a certificate: each way in which they can be wrong has its sentence, and a bad renewal changes nothing."""

import asyncio
import os
import ssl
import time
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption

from clarion.domain.errors import OperatorError
from clarion.domain.limits_processes import PEM_FILE_BYTES_MAX, TLS_CONTEXT_MS_MAX
from clarion.edge.tls.context import load
from clarion.edge.tls.files import UnusableFile
from clarion.edge.tls.renewal import ServerTls
from tests.certificates import DAY, ServerFiles, key_pem, written


@pytest.fixture
def files(tmp_path):
    return ServerFiles(tmp_path)


class Watched:
    """Clock and telemetry of a server's TLS."""

    def __init__(self, settings):
        self.ms = time.time_ns() // 1_000_000
        self.events = []
        self.lines = []
        self.tls = ServerTls(settings, self, self)

    def now_ms(self):
        return self.ms

    def log(self, level, event, **fields):
        self.lines.append(fields["error"])

    def security(self, event, **fields):
        self.events.append((event.value, fields.get("reason")))

    def renew(self):
        asyncio.run(self.tls.renew(settle_s=0))


def weak_rsa():
    return rsa.generate_private_key(public_exponent=65_537, key_size=1024)  # noqa: S505 - refused


def pair_of(files, key):
    certificate, key = files.authority.issue(key=key)
    written(files.certificate, certificate)
    written(files.key, key)


WRONG = {
    "cannot be read: No such file": ("unreadable", lambda f: f.certificate.unlink()),
    "cannot be read: No such file or": ("unreadable", lambda f: f.key.unlink()),
    "is not a file": ("unreadable", lambda f: (f.key.unlink(), os.mkfifo(f.key, 0o600))),
    "holds no certificate in PEM": ("not_pem", lambda f: f.certificate.write_bytes(b"\x30\x82")),
    "holds no private key in PEM": ("not_pem", lambda f: f.key.write_bytes(b"")),
    "is encrypted": (
        "key_encrypted",
        lambda f: f.key.write_bytes(key_pem(ec.generate_private_key(ec.SECP256R1()), BestAvailableEncryption(b"x"))),
    ),
    "does not match the first certificate": ("key_mismatch", lambda f: f.key.write_bytes(f.authority.issue()[1])),
    "can be read by all users; run: chmod o=": ("key_exposed", lambda f: f.key.chmod(0o644)),
    "holds a weak key": ("weak_key", lambda f: pair_of(f, weak_rsa())),
    "holds a weak key; needs": ("weak_key", lambda f: pair_of(f, ec.generate_private_key(ec.SECP224R1()))),
    "is larger than": ("unreadable", lambda f: f.certificate.write_bytes(b"x" * (PEM_FILE_BYTES_MAX + 1))),
}


@pytest.mark.parametrize(("text", "reason", "spoil"), [(text, *wrong) for text, wrong in WRONG.items()], ids=WRONG)
def test_a_bad_pair_is_refused_at_start_and_at_renewal(files, text, reason, spoil):
    watched = Watched(files.settings())
    before = watched.tls.context
    spoil(files)
    with pytest.raises(UnusableFile, match=text) as error:
        load(files.settings())
    assert str(error.value).startswith("Setting api.tls.")
    assert error.value.reason == reason
    watched.renew()
    watched.renew()
    assert watched.tls.context is before
    assert watched.events == [("certificate_refused", reason)]
    assert watched.lines == [str(error.value)]


def test_half_of_the_settings_is_refused(files):
    for half in ({"certificate_file": ""}, {"key_file": ""}):
        with pytest.raises(OperatorError, match=next(iter(half))):
            load(files.settings(**half))


@pytest.mark.parametrize(
    "key", [ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP384R1())], ids=type
)
def test_strong_keys_of_other_kinds_are_taken(files, key):
    pair_of(files, key)
    assert load(files.settings()).context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_a_client_ca_may_have_comments_in_any_language(files):
    files.ca.write_bytes("# Prüfstelle\n".encode() + files.authority.pem)
    assert load(files.settings(client_ca_file=str(files.ca))).context.verify_mode is ssl.CERT_REQUIRED


def test_a_client_ca_without_a_certificate_is_refused(files):
    ca = files.ca.with_name("clients.pem")
    ca.write_text("nothing")
    with pytest.raises(UnusableFile, match="client_ca_file"):
        load(files.settings(client_ca_file=str(ca)))


def test_a_new_pair_is_taken_once(files):
    watched = Watched(files.settings())
    before = watched.tls.context
    watched.renew()
    assert watched.tls.context is before
    files.renew()
    watched.renew()
    watched.renew()
    assert watched.tls.context is not before
    assert watched.events == [("certificate_changed", None)]


@pytest.mark.parametrize(
    ("validity", "reason"),
    [({"ends": -timedelta(hours=1), "begins": 2 * DAY}, "expired"), ({"begins": -DAY}, "not_yet_valid")],
)
def test_a_renewal_that_is_not_valid_now_is_refused(files, validity, reason):
    watched = Watched(files.settings())
    before = watched.tls.context
    files.renew(**validity)
    watched.renew()
    assert watched.tls.context is before
    assert watched.events == [("certificate_refused", reason)]


def test_a_file_that_is_replaced_while_it_is_read_is_read_again(files, monkeypatch):
    watched = Watched(files.settings())
    certificate, key = files.authority.issue()
    written(files.certificate, certificate)

    async def settle(_s):
        written(files.key, key)

    monkeypatch.setattr(asyncio, "sleep", settle)
    watched.renew()
    assert watched.events == [("certificate_changed", None)]


def test_keys_of_session_tickets_are_replaced_daily(files):
    watched = Watched(files.settings())
    before = watched.tls.context
    watched.ms += TLS_CONTEXT_MS_MAX
    watched.renew()
    assert watched.tls.context is not before
    assert watched.events == []


@pytest.mark.parametrize(
    ("ends", "days", "reasons"),
    [
        (timedelta(days=13.5), 3, ["days_left_13", "days_left_12", "days_left_11"]),
        (timedelta(days=14.5), 2, ["days_left_13"]),
        (timedelta(days=0.5), 2, ["days_left_0", "expired"]),
    ],
)
def test_the_end_of_a_certificate_is_reported_daily(files, ends, days, reasons):
    files.renew(ends=ends)
    watched = Watched(files.settings())
    for _ in range(days):
        watched.tls._warn()
        watched.tls._warn()
        watched.ms += 24 * 3600 * 1000
    assert watched.events == [("certificate_expires_soon", reason) for reason in reasons]
