"""Secrets: encrypted at rest, readable by their owner only, and never disclosed."""

import io
import os
import stat
import subprocess
import sys

import apsw
import msgspec
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from clarion.app.config.loading import load
from clarion.deliver.rules.sanitize import MASK, mask_secrets, sanitized, secrets_of
from clarion.domain.errors import OperatorError
from clarion.domain.limits_delivery import ATTEMPT_DETAIL_CHARS_MAX, ATTEMPT_PAUSE_MS_MAX, VENDOR_MESSAGE_ID_CHARS_MAX
from clarion.domain.message import SmtpRequest
from clarion.domain.outcome import (
    Accepted,
    Ambiguous,
    InvalidRecipient,
    Misconfigured,
    Refused,
    Throttled,
    Transient,
)
from clarion.identity import operator_keys
from clarion.ops import logging
from clarion.outbound.secrets.master_key import FileVault
from clarion.ports.secrets import SealBroken
from tests import lookups
from tests.security.api import OPERATOR_KEY

pytestmark = pytest.mark.usefixtures("restored_logging")

CANARY = "canary-7f3a9c51e2"
SMTP = {
    "channel": "email",
    "vendor": "smtp",
    "settings": {"host": "mail.example.com", "from_email": "a@example.com"},
    "credentials": {"username": f"user-{CANARY}", "password": f"pass-{CANARY}"},
}


def files_with(folder, text: str) -> list[str]:
    return [str(path) for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


async def test_a_credential_is_nowhere_but_sealed(api, tmp_path, capfd):
    stream = io.StringIO()
    logging.configure("debug", "json", stream=stream)
    said = [await api.ok("PUT", "/v1/providers/mail", SMTP)]
    said.append(await api.ok("GET", "/v1/providers/mail"))
    said.append(await api.ok("GET", "/v1/providers"))
    bad = SMTP | {"credentials": {"password": [CANARY]}}
    said.append(await api.call("PUT", "/v1/providers/mail", bad))
    said.append(
        await api.call("PUT", "/v1/providers/mail", SMTP | {"credentials": {CANARY: 1} | {"password": CANARY * 9_999}})
    )
    webhook = {"channel": "webhook", "vendor": "webhook", "credentials": {"secret": f"whsec {CANARY}"}}
    said.append(await api.call("PUT", "/v1/providers/hook", webhook))
    said.append(await api.call("PUT", "/v1/providers/mail", msgspec.json.encode(SMTP)[:-1]))
    assert [answer.status for answer in said] == [200, 200, 200, 422, 422, 422, 400]
    # The name of an unknown credential is the caller's own; values are never disclosed.
    result = [answer.body for answer in said if f"credentials.{CANARY}".encode() not in answer.body]
    assert len(result) == 6
    assert not [body for body in result if CANARY.encode() in body]
    accounts = await lookups.accounts(api.parts.directory, "acme", "email")
    assert accounts[0].credentials["password"] == f"pass-{CANARY}"
    assert CANARY not in repr(accounts) + repr(api.parts.vault) + stream.getvalue() + "".join(api.failures)
    assert CANARY not in "".join(capfd.readouterr())
    assert CANARY.encode() not in api.parts.telemetry.metrics.exposition()
    assert files_with(tmp_path, CANARY) == []


async def test_a_secret_of_a_fetch_step_is_nowhere_but_sealed(api, tmp_path, capfd):
    stream = io.StringIO()
    logging.configure("debug", "json", stream=stream)

    def body(value, **more):
        step = {"kind": "fetch", "name": "ask", "url": "https://x.test/", "headers": {"X-Key": value}}
        return {"steps": [step | more]}

    path, given = "/v1/workflows/w", {"secret": f"key-{CANARY}", "prefix": "Bearer "}
    said = [await api.ok("PUT", path, body(given)), await api.ok("PUT", path, body(f"text-{CANARY}"))]
    said += [await api.ok("GET", one) for one in (path, f"{path}?version=1", "/v1/workflows")]
    bad = [given | {"secret": f"{CANARY}\n"}, given | {"sealed": True}, {"secret": [CANARY]}, {"sealed": CANARY}]
    said += [await api.call("PUT", path, body(value)) for value in bad]
    said.append(await api.call("PUT", path, body({"sealed": True}, url="https://y.test/")))
    said.append(await api.call("PUT", path, msgspec.json.encode(body(given))[:-1]))
    toml = f'[[steps]]\nkind = "fetch"\nname = "ask"\nurl = "https://x.test/"\nheaders = {{X-Key = "{CANARY}"'
    said.append(await api.call("PUT", path, toml.encode(), headers=[(b"content-type", b"application/toml")]))
    assert [answer.status for answer in said] == [200] * 5 + [422] * 5 + [400] * 2
    assert CANARY.encode() not in b"".join(answer.body for answer in said)
    assert CANARY not in stream.getvalue() + "".join(api.failures) + "".join(capfd.readouterr())
    assert CANARY.encode() not in api.parts.telemetry.metrics.exposition()
    assert files_with(tmp_path, CANARY) == []


async def test_keys_and_tokens_are_nowhere_at_all(api, tmp_path):
    made = (await api.ok("POST", "/v1/tenants/acme/keys", {"scopes": ["*"]}, key=OPERATOR_KEY)).json
    token = (await api.ok("POST", "/v1/users/ada/tokens", {}, key=made["key"])).json["token"]
    await api.ok("GET", "/v1/inbox", key=token)
    said = [await api.ok("GET", "/v1/tenants/acme/keys", key=OPERATOR_KEY)]
    said += [
        await api.call("GET", path, key=key) for path in ("/v1/inbox", "/v1/tenants") for key in (made["key"], token)
    ]
    secret = made["key"].split("_", 2)[2]
    for hidden in (secret, token, OPERATOR_KEY):
        assert not [answer for answer in said if hidden.encode() in answer.body]
        assert files_with(tmp_path, hidden) == []
        assert hidden not in "".join(api.failures)
        assert hidden.encode() not in api.parts.telemetry.metrics.exposition()


async def test_rows_that_change_places_do_not_open(api):
    """Encrypted credentials of one tenant or account, copied over another's in the file, cannot be opened there."""
    for key in ("acme", "other"):
        for name in ("mail", "spare"):
            await api.ok("PUT", f"/v1/providers/{name}", SMTP | {"credentials": {"password": f"{key}-{name}"}}, key=key)
    db = apsw.Connection(str(api.parts.config.data_dir / "control.db"))
    query = "SELECT sealed FROM providers WHERE tenant = ? AND name = ?"
    rows = {place: db.execute(query, place).get for place in [("acme", "mail"), ("acme", "spare"), ("other", "mail")]}
    db.close()
    vault = api.parts.vault
    for (tenant, name), sealed in rows.items():
        assert f"{tenant}-{name}".encode() in vault.open(tenant, f"provider:{name}", sealed)
        for other_tenant, other_name in rows.keys() - {(tenant, name)}:
            with pytest.raises(SealBroken):
                vault.open(other_tenant, f"provider:{other_name}", sealed)


@given(
    tenant=st.text(min_size=1, max_size=8), record=st.text(min_size=1, max_size=8), plain=st.binary(max_size=64),
    flip=st.integers(min_value=0),
)  # fmt: skip
def test_a_seal_holds_against_any_flipped_bit_and_any_other_place(tenant, record, plain, flip):
    vault = FileVault(b"k" * 32)
    sealed = vault.seal(tenant, record, plain)
    assert vault.open(tenant, record, sealed) == plain
    at = flip % (8 * len(sealed))
    broken = bytearray(sealed)
    broken[at // 8] ^= 1 << at % 8
    for place, value in (
        ((tenant, record), bytes(broken)), ((tenant + "x", record), sealed), ((tenant, record + "x"), sealed),
        ((tenant + record[:1], record[1:]), sealed), ((tenant, record), sealed[:-1]), ((tenant, record), b""),
    ):  # fmt: skip
        with pytest.raises(SealBroken):
            vault.open(*place, value)


def test_no_nonce_comes_twice():
    vault = FileVault(b"k" * 32)
    assert len({vault.seal("acme", "a", b"")[:13] for _ in range(20_000)}) == 20_000


def test_keys_of_different_purposes_differ():
    vault = FileVault(b"k" * 32)
    purposes = ["credentials", "user-tokens/acme", "user-tokens/other", "user-tokens/", ""]
    assert len({vault.derive(purpose) for purpose in purposes}) == len(purposes)


@pytest.mark.slow
def test_a_fresh_installation_is_its_owners_alone(tmp_path):
    """Created by the command line, under any umask."""
    data_dir = tmp_path / "data"
    command = [sys.executable, "-m", "clarion", "init", "--data-dir", str(data_dir)]
    subprocess.run(command, check=True, capture_output=True, preexec_fn=lambda: os.umask(0), cwd=tmp_path)
    found = {path: stat.S_IMODE(path.stat().st_mode) for path in [data_dir, *data_dir.rglob("*")]}
    assert {path.name for path in found} >= {"master.key", "operator.key", "control.db", "journal.db", "state.db"}
    assert [f"{path.name} {mode:04o}" for path, mode in found.items() if mode & 0o077] == []


@pytest.mark.parametrize("name", ["master.key", "operator.key"])
def test_a_key_that_others_can_read_is_refused(tmp_path, name):
    settings = load(None, {"CLARION_DATA_DIR": str(tmp_path)})

    def start() -> None:
        FileVault.load(tmp_path)
        operator_keys.operator_key(settings)

    start()
    (tmp_path / name).chmod(0o640)
    with pytest.raises(OperatorError, match="read by other"):
        start()


@pytest.mark.parametrize("text", ["", " \n", "short"])
def test_an_operators_key_of_no_length_opens_nothing(tmp_path, text):
    settings = load(None, {"CLARION_DATA_DIR": str(tmp_path)})
    (tmp_path / operator_keys.OPERATOR_KEY_FILE).write_text(text)
    (tmp_path / operator_keys.OPERATOR_KEY_FILE).chmod(0o600)
    with pytest.raises(OperatorError, match="at least"):
        operator_keys.operator_key(settings)


def test_a_request_to_a_mail_server_does_not_show_its_password():
    request = SmtpRequest("mail", 587, "tls", "user", CANARY, "a@b.example", "c@d.example", b"")
    assert CANARY not in repr(request)


@pytest.mark.parametrize("output", ["json", "console"])
def test_a_log_line_stays_one_line(output):
    stream = io.StringIO()
    logging.configure("info", output, stream=stream)
    structlog.get_logger().error("request_failed", error="a\nforged\r\x1b[2J\u2028b", detail={"a\nb": "c\nd"})
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b[2J" not in stream.getvalue()


WORDS = [Throttled, Transient, Ambiguous, InvalidRecipient, Misconfigured]


def test_what_a_server_quotes_of_our_secrets_is_masked():
    credentials = {"username": "postmaster", "password": f"p-{CANARY}", "port": 5, "short": "abc"}
    secrets = secrets_of(credentials, f"token-{CANARY}")
    words = f"535 postmaster with p-{CANARY} and Bearer token-{CANARY} refused, abc"
    assert mask_secrets(words, secrets) == f"535 {MASK} with {MASK} and Bearer {MASK} refused, abc"
    for kind in WORDS:
        assert CANARY not in repr(sanitized(kind(detail=words), secrets))
    assert CANARY not in repr(sanitized(Refused("r", words), secrets))


@given(
    words=st.text(max_size=2_000),
    pause=st.one_of(st.none(), st.integers(), st.floats(), st.text(max_size=3), st.lists(st.integers(), max_size=2)),
)
def test_an_outcome_is_bounded_for_any_response(words, pause):
    for kind in (Throttled, Transient, Ambiguous):
        outcome = sanitized(kind(detail=words, after_ms=pause), [])
        assert outcome.after_ms is None or (
            type(outcome.after_ms) is int and 0 <= outcome.after_ms <= ATTEMPT_PAUSE_MS_MAX
        )
        assert len(outcome.detail) <= ATTEMPT_DETAIL_CHARS_MAX
    assert sanitized(Throttled(scope=words), []).scope == ("recipient" if words == "recipient" else "account")
    accepted = sanitized(Accepted(words, {"a": 1}), [])
    assert len(accepted.vendor_message_id) <= VENDOR_MESSAGE_ID_CHARS_MAX
    assert accepted.content == {"a": 1}
    msgspec.msgpack.encode(accepted)


def test_a_servers_words_do_not_act_on_a_terminal():
    assert sanitized(Transient("a\x1b[2J\x00\x9b1m\u2028b"), []) == Transient("a\ufffd[2J\ufffd\ufffd1m\ufffdb")
    assert sanitized(Accepted("\x1b]0;x\x07"), []).vendor_message_id == "\ufffd]0;x\ufffd"
    assert sanitized(Accepted("Grüße 🎉"), []) == Accepted("Grüße 🎉")
