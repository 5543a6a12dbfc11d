"""Accounts as files: what the API shows becomes a body that stores the same, without any secret."""

import json

import pytest
from typer.testing import CliRunner

from clarion.app.cli import provider_files
from clarion.app.cli.provider_files import file_of
from clarion.app.cli.providers import app

SHOWN = {
    "name": "mail", "channel": "email", "vendor": "sendgrid", "priority": 7, "enabled": True, "settings": {"a": 1},
    "credentials_set": ["api_key"], "credentials_from": {"api_key": "file:/run/secrets/key"}, "version": 3,
    "created_at": "x", "updated_at": "y", "weight": 2, "limits": {}, "breaker": {}, "on_ambiguous": None,
}  # fmt: skip


class Server:
    def __init__(self, *accounts):
        self.accounts, self.stored = accounts, {}

    def pages(self, path):
        return iter(self.accounts)

    def put(self, path, body):
        self.stored[path] = body


def run(monkeypatch, server, *words):
    monkeypatch.setattr(provider_files, "remote", lambda url, key: server)
    return CliRunner().invoke(app, list(words))


def test_an_account_comes_back_as_it_was(monkeypatch, tmp_path):
    server = Server(SHOWN)
    assert run(monkeypatch, server, "pull", str(tmp_path / "accounts")).exit_code == 0
    assert json.loads((tmp_path / "accounts" / "mail.json").read_text())["priority"] == 7
    assert run(monkeypatch, server, "apply", "--verify", str(tmp_path / "accounts")).exit_code == 0
    (path, body) = server.stored.popitem()
    assert path == "/v1/providers/mail?verify=true"
    assert body["credentials"] == {"api_key": {"from": "file:/run/secrets/key"}}
    assert body.keys().isdisjoint({"name", "version", "credentials_set", "created_at"})


@pytest.mark.parametrize("names", [["api_key", "signing_key"], []])
def test_credentials_by_value_are_kept_where_they_are(names, monkeypatch, tmp_path):
    mixed = SHOWN | {
        "credentials_set": names,
        "credentials_from": dict(list(SHOWN["credentials_from"].items())[: len(names)]),
    }
    assert "credentials" not in file_of(mixed)
    assert ("signing_key by value" in run(monkeypatch, Server(mixed), "pull", str(tmp_path)).output) == bool(names)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [("a.json", "[]", "is not a JSON object"), ("-a.json", "{}", "not named after an account")],
)
def test_nothing_is_stored_when_a_file_is_wrong(name, text, words, monkeypatch, tmp_path):
    (tmp_path / "0.json").write_text("{}")
    (tmp_path / name).write_text(text)
    server = Server()
    result = run(monkeypatch, server, "apply", str(tmp_path))
    assert words in str(result.exception)
    assert server.stored == {}
