"""What the settings of TLS and proxies make of URLs and headers."""

import pytest

from clarion.app.cli.options import remote
from clarion.app.config.loading import load
from clarion.app.processes import api, http_server
from clarion.domain.errors import OperatorError

TLS = {"CLARION_API_TLS_CERTIFICATE_FILE": "server.pem", "CLARION_API_TLS_KEY_FILE": "server.key"}
PUBLIC = {"CLARION_API_PUBLIC_URL": "https://notify.example.com/"}


@pytest.mark.parametrize(
    ("settings", "listening", "public", "called"),
    [
        ({}, "http://127.0.0.1:8400", "http://127.0.0.1:8400", "http://127.0.0.1:8400"),
        (PUBLIC, "http://127.0.0.1:8400", "https://notify.example.com", "http://127.0.0.1:8400"),
        (TLS, "https://127.0.0.1:8400", "https://127.0.0.1:8400", "https://127.0.0.1:8400"),
        (TLS | PUBLIC, "https://127.0.0.1:8400", "https://notify.example.com", "https://notify.example.com"),
    ],
)
def test_urls(settings, listening, public, called, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name, value in (settings | {"CLARION_OPERATOR_KEY": "k" * 40}).items():
        monkeypatch.setenv(name, value)
    loaded = load(None, settings)
    assert (loaded.listening_url, loaded.public_url, remote(None, None).url) == (listening, public, called)


@pytest.mark.parametrize(
    ("settings", "headers"),
    [
        ({}, []),
        (TLS, [("strict-transport-security", "max-age=31536000")]),
        (PUBLIC, [("strict-transport-security", "max-age=31536000")]),
        (TLS | {"CLARION_API_PUBLIC_URL": "http://a.example"}, [("strict-transport-security", "max-age=31536000")]),
        (TLS | {"CLARION_API_HSTS_MAX_AGE_S": "60"}, [("strict-transport-security", "max-age=60")]),
        (PUBLIC | {"CLARION_API_HSTS_MAX_AGE_S": "0"}, []),
        (
            TLS | {"CLARION_API_HSTS_SUBDOMAINS": "true"},
            [("strict-transport-security", "max-age=31536000; includeSubDomains")],
        ),
    ],
)
def test_browsers_are_told_to_use_https_where_there_is_https(settings, headers):
    assert api.hsts(load(None, settings)) == headers


def test_client_cas_without_a_certificate_are_refused():
    with pytest.raises(OperatorError, match=r"api\.tls\.client_ca_file"):
        http_server.has_tls(load(None, {"CLARION_API_TLS_CLIENT_CA_FILE": "ca.pem"}))


@pytest.mark.parametrize("name", ["CLARION_CA_FILE", "CLARION_CLIENT_FILE"])
def test_a_file_of_the_command_line_that_cannot_be_used_is_named(name, monkeypatch, tmp_path):
    for content in (None, "no certificate"):
        path = tmp_path / "file.pem"
        if content:
            path.write_text(content)
        monkeypatch.setenv(name, str(path))
        with pytest.raises(OperatorError, match=name):
            remote("https://a.example", "k")
