"""Secrets in Vault, against a small server: both engines, tokens that end, and one clear reason for every refusal."""

import pytest
from msgspec.structs import replace

from clarion.outbound.secrets.vault import VaultStore
from clarion.outbound.secrets.vault_server import VaultServer
from clarion.ports.secret_stores import SecretUnavailable
from tests.contract.vault_server import serving

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
ACCESS = VaultServer("", "", "token", "", "root", "", "", "", "")
ROLE = replace(ACCESS, auth="approle", token="", role="role-1", secret_id="secret-1")


@pytest.fixture
def vault():
    with serving() as state:
        state.secrets = {"kv/acme/mail": {"key": "s3cret", "number": 7}, "old/engine/acme": {"key": "older"}}
        yield state


def store(vault, access=ACCESS):
    return VaultStore(replace(access, address=vault.address))


def refused(made, place, code):
    with pytest.raises(SecretUnavailable) as found:
        made.read(place, "")
    assert found.value.code == code
    assert "s3cret" not in str(found.value)
    return found.value


@pytest.mark.parametrize(("place", "value"), [("kv/acme/mail#key", b"s3cret"), ("old/engine/acme#key", b"older")])
def test_both_versions_of_the_engine_are_read(vault, place, value):
    made = store(vault)
    assert [made.read(place, ""), made.read(place, "")] == [value] * 2
    assert len(vault.calls) == 3  # the mount is asked for once
    assert "root" not in repr(made)


def test_a_new_version_is_read(vault):
    made = store(vault)
    made.read("kv/acme/mail#key", "")
    vault.secrets["kv/acme/mail"] = {"key": "rotated"}
    assert made.read("kv/acme/mail#key", "") == b"rotated"


@pytest.mark.parametrize(
    ("place", "code"),
    [
        ("kv/acme/none#key", "secret_missing"),
        ("old/engine/none#key", "secret_missing"),
        ("kv/acme/mail#none", "secret_missing"),
        ("kv/acme/mail#number", "secret_not_text"),
        ("nowhere/acme#key", "secret_unavailable"),
        ("kv/acme/mail", "secret_reference_invalid"),
        ("kv#key", "secret_reference_invalid"),
        ("kv/acme%2F..%2Fother#key", "secret_reference_invalid"),
        ("kv/acme?version=1#key", "secret_reference_invalid"),
    ],
)
def test_what_cannot_be_read_has_a_reason(vault, place, code):
    refused(store(vault), place, code)


@pytest.mark.parametrize("status", [302, 400, 429, 500, 503])
def test_a_server_that_fails_may_answer_later(vault, status):
    vault.status = status
    assert not refused(store(vault), "kv/acme/mail#key", "secret_unavailable").lasting


def test_a_server_that_is_not_there_may_come_back():
    with serving() as gone:
        pass
    assert not refused(store(gone), "kv/acme/mail#key", "secret_unavailable").lasting


def test_a_role_logs_in_once_and_again_when_its_token_has_ended(vault):
    made = store(vault, ROLE)
    for _ in range(3):
        assert made.read("kv/acme/mail#key", "") == b"s3cret"
    assert vault.logins == 1
    vault.tokens.clear()
    assert made.read("kv/acme/mail#key", "") == b"s3cret"
    assert vault.logins == 2


def test_a_login_that_fails_is_named_without_its_words(vault):
    made = store(vault, replace(ROLE, secret_id="wrong-s3cret"))
    assert not refused(made, "kv/acme/mail#key", "secret_unavailable").lasting
    assert "s3cret" not in repr(made)


def test_a_token_that_is_refused_is_not_tried_again(vault):
    refused(store(vault, replace(ACCESS, token="old")), "kv/acme/mail#key", "secret_unavailable")
    assert len(vault.calls) == 1
