"""Unsubscribe links: unique to a subject, the same each time, and without names."""

import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.control.unsubscribe.links import SealedUnsubscribeLinks
from clarion.domain.limits_content import UNSUBSCRIBE_TOKEN_CHARS_MAX
from clarion.outbound.secrets.master_key import FileVault
from clarion.ports.unsubscribe_links import UnsubscribeSubject

LINKS = SealedUnsubscribeLinks(FileVault(bytes(range(32))), "https://notify.example.com/")
ADA = UnsubscribeSubject("acme", "ada", "", "news", "email")
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
subjects = st.builds(UnsubscribeSubject, words, words, words, words, words)


def raw(token):
    return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))


def written(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@given(subject=subjects)
def test_a_link_speaks_for_its_subject(subject):
    url = LINKS.url(subject)
    assert url == LINKS.url(subject)
    if url:
        head, _, token = url.rpartition("/")
        assert head == "https://notify.example.com/v1/unsubscribe"
        assert LINKS.read(token) == subject
        assert len(token) <= UNSUBSCRIBE_TOKEN_CHARS_MAX


@given(first=subjects, second=subjects)
def test_two_subjects_have_two_links(first, second):
    assert (LINKS.token(first) == LINKS.token(second)) == (first == second)


def test_no_byte_of_a_token_can_be_changed():
    token = LINKS.token(ADA)
    whole = raw(token)
    for at in range(len(whole)):
        for bit in range(8):
            assert LINKS.read(written(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])) is None
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = {letter for letter in alphabet if LINKS.read(token[:-1] + letter)}
    assert last == {token[-1]}


@given(
    junk=st.text(max_size=80)
    | st.binary(max_size=80).map(written)
    | st.binary(max_size=80).map(lambda b: written(b"\x01" + b))
)
def test_an_invalid_token_is_refused(junk):
    assert LINKS.read(junk) is None


@pytest.mark.parametrize(
    "change",
    [lambda t: t + "=", lambda t: t + "A", lambda t: t[:-1], lambda t: f" {t}", lambda t: t * 50, lambda t: ""],
)
def test_a_token_is_taken_whole_or_not_at_all(change):
    assert LINKS.read(change(LINKS.token(ADA))) is None


def test_another_installations_token_is_none():
    other = SealedUnsubscribeLinks(FileVault(bytes(32)), "https://notify.example.com")
    assert other.read(LINKS.token(ADA)) is None


def test_a_token_of_another_shape_is_none():
    sealed = LINKS._siv.encrypt(msgspec.msgpack.encode(["acme", 7]), [b"clarion unsubscribe"])
    assert LINKS.read(written(b"\x01" + sealed)) is None
    assert LINKS.read(written(b"\x01" + LINKS._siv.encrypt(msgspec.msgpack.encode(ADA), [b"another purpose"]))) is None


def test_a_link_holds_no_name():
    named = UnsubscribeSubject("acme", "", "ada.lovelace@example.org", "newsletter", "email")
    token = LINKS.token(named)
    for word in ("acme", "lovelace", "newsletter"):
        assert word.encode() not in raw(token)
        assert word not in token


@pytest.mark.parametrize("public_url", ["http://127.0.0.1:8400", "HTTP://x", ""])
def test_links_are_https_or_none(public_url):
    assert SealedUnsubscribeLinks(FileVault(bytes(32)), public_url).url(ADA) == ""


def test_a_link_too_long_for_a_header_is_none():
    assert LINKS.url(UnsubscribeSubject("acme", "💌" * 128, "", "n" * 128, "email")) == ""
    assert LINKS.url(UnsubscribeSubject("t" * 64, "u" * 128, "", "n" * 128, "email"))


def test_its_repr_shows_nothing():
    assert repr(LINKS) == "SealedUnsubscribeLinks()"
