"""Credentials by reference over the API: checked when an account is saved, shown as references, never by value."""

import json
from types import SimpleNamespace

import pytest

from clarion.control.providers.verify import Verifier
from clarion.control.routes import routes
from clarion.domain.channel import Channel
from clarion.domain.errors import CallerError, InvalidField, Unverified
from clarion.domain.secret_reference import parse_permissions
from clarion.outbound.secrets.environment import EnvironmentStore
from clarion.outbound.secrets.files import FileStore
from clarion.outbound.secrets.reader import SecretReader
from clarion.providers.chat import slack
from clarion.providers.webhook import standard
from clarion.testing.lines import Lines
from tests.contract.controls import ControlPlane
from tests.routes.test_account_destinations import Network

PATH = "/v1/providers/mine"
TOKEN = "xoxb-5ecret-value"


@pytest.fixture
async def plane(control_backend, empty, tmp_path):
    made = ControlPlane.copy_of(empty, tmp_path, control_backend)
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "token").write_text(f"{TOKEN}\n")
    events = SimpleNamespace(security=lambda *args, **fields: None)
    allowed = parse_permissions([f"acme file:{folder}/*", "acme env:ACME_*", "other env:OTHER"], "secrets.allow")
    stores = {"file": FileStore(), "env": EnvironmentStore({"OTHER": "s3cret", "ACME_SHORT": "nothing"})}
    secrets = SecretReader(stores, allowed, made.clock, events)
    made.network = Network()
    vendors = {(Channel.CHAT, "slack"): slack, (Channel.WEBHOOK, "webhook"): standard}
    verifier = Verifier(vendors, made.directory, lambda: made.network, lambda: made.network, made.clock, secrets)
    declared = {place: vendor.TRAITS for place, vendor in vendors.items()}
    made.routes = routes(
        made.control, made.vault, None, None, declared, made.clock, made.journal, None, verifier, secrets, telemetry=Lines(),
    )  # fmt: skip
    made.folder = folder
    yield made
    await secrets.close()
    await made.close()


def body(source, **settings):
    return {"channel": "chat", "vendor": "slack", "settings": settings, "credentials": {"bot_token": {"from": source}}}


async def refused(plane, given, **query):
    with pytest.raises(CallerError) as found:
        await plane.say("PUT", PATH, given, **query)
    return found.value


async def test_an_account_shows_its_references_and_no_value(plane):
    shown = await plane.say("PUT", PATH, body(f"file:{plane.folder}/token"))
    assert shown == await plane.say("GET", PATH)
    assert shown["credentials_set"] == ["bot_token"]
    assert shown["credentials_from"] == {"bot_token": f"file:{plane.folder}/token"}
    (listed,) = (await plane.say("GET", "/v1/providers"))["data"]
    assert listed == shown
    account = await plane.directory.account("acme", "mine")
    assert account.references == ("bot_token",)
    assert TOKEN not in json.dumps([shown, account.credentials])


async def test_a_literal_that_looks_like_a_reference_is_a_literal(plane):
    shown = await plane.say("PUT", PATH, body("") | {"credentials": {"bot_token": "env:OTHER"}})
    assert shown["credentials_from"] == {}
    account = await plane.directory.account("acme", "mine")
    assert (account.credentials, account.references) == ({"bot_token": "env:OTHER"}, ())


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        ("env:ACME_NONE", "secret_missing", "the secret env:ACME_NONE is not set"),
        ("env:OTHER", "secret_not_permitted", "the secret env:OTHER is not permitted"),
        ("env:CLARION_MASTER_KEY", "secret_not_permitted", "not permitted"),
        ("file:/etc/shadow", "secret_not_permitted", "not permitted"),
        ("nowhere:x", "secret_store_unknown", "there is env, file"),
        ("token", "secret_reference_invalid", "must be"),
    ],
)
async def test_a_reference_that_cannot_be_used_is_refused_when_it_is_saved(plane, source, code, words):
    for query in ({}, {"verify": "true"}):
        error = await refused(plane, body(source), **query)
        assert isinstance(error, InvalidField)
        assert (error.status, error.code, error.field) == (422, code, "credentials.bot_token")
        assert words in error.detail
    assert plane.network.sent == []
    assert await plane.control.providers.get("acme", "mine") is None


async def test_a_store_that_cannot_be_read_is_no_fault_of_the_account(plane, monkeypatch):
    monkeypatch.setattr("os.path.realpath", lambda path: 1 / 0)
    error = await refused(plane, body(f"file:{plane.folder}/token"))
    assert isinstance(error, Unverified)
    assert (error.status, error.code, error.field) == (503, "secret_unavailable", "credentials.bot_token")


async def test_the_value_has_to_be_what_the_vendor_takes(plane):
    given = {"channel": "webhook", "vendor": "webhook", "credentials": {"secret": {"from": "env:ACME_SHORT"}}}
    error = await refused(plane, given)
    assert (error.code, error.field) == ("invalid_field", "credentials.secret")
    assert "nothing" not in error.detail.replace("; nothing was stored", "")


async def test_an_account_is_verified_with_the_current_value(plane):
    await plane.say("PUT", PATH, body(f"file:{plane.folder}/token"), verify="true")
    (plane.folder / "token").write_text("xoxb-rotated")
    await plane.say("PUT", PATH, {"channel": "chat", "vendor": "slack"}, verify="true")
    assert [call.headers["authorization"] for call in plane.network.sent] == [f"Bearer {TOKEN}", "Bearer xoxb-rotated"]


async def test_a_reference_is_bound_to_an_address_as_a_value_is(plane):
    given = body(f"file:{plane.folder}/token", base_url="https://one.test")
    await plane.say("PUT", PATH, given)
    moved = given | {"settings": {"base_url": "https://two.test"}}
    for query in ({}, {"verify": "true"}):
        error = await refused(plane, {key: value for key, value in moved.items() if key != "credentials"}, **query)
        assert (error.code, error.field) == ("credentials_required", "settings.base_url")
    assert plane.network.sent == []
    await plane.say("PUT", PATH, moved)


async def test_kept_references_stay_and_new_values_replace_them(plane):
    await plane.say("PUT", PATH, body(f"file:{plane.folder}/token"))
    kept = await plane.say("PUT", PATH, {"channel": "chat", "vendor": "slack", "priority": 7})
    assert kept["credentials_from"] == {"bot_token": f"file:{plane.folder}/token"}
    replaced = await plane.say("PUT", PATH, body("") | {"credentials": {"bot_token": "xoxb-literal"}})
    assert (replaced["credentials_from"], replaced["credentials_set"]) == ({}, ["bot_token"])
