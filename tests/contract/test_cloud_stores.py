"""Secrets in AWS, Google and Azure: one clear reason for every refusal, fields of JSON, and credentials that the libraries
find by themselves. What each cloud answers is in cloud_answers.py."""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import botocore.exceptions
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from clarion.domain.limits import SECRET_BYTES_MAX
from clarion.domain.limits_processes import CLOUD_CALL_S_MAX
from clarion.outbound.secrets.aws import AwsAccess, AwsStore
from clarion.outbound.secrets.azure import AzureAccess, AzureStore
from clarion.outbound.secrets.gcp import GcpAccess, GcpStore
from clarion.ports.secret_stores import SecretUnavailable
from tests.contract.cloud_answers import CHALLENGE, TOKEN, Aws, Azure, Gcp

pytestmark = pytest.mark.slow  # the libraries take seconds to import

FIELDS = json.dumps({"key": "s3cret ü", "number": 7, "empty": "", "half": "\ud800", "none": None})
SECRETS = {"mail": "s3cret", "fields": FIELDS, "list": '["s3cret"]', "deep": "[" * 50_000,
           "large": json.dumps({"key": "x" * SECRET_BYTES_MAX})}  # fmt: skip
KINDS = [Aws, Gcp, Azure]


@pytest.fixture(params=KINDS)
def cloud(request):
    return request.param(SECRETS)


def refused(store, place, code):
    with pytest.raises(SecretUnavailable) as found:
        store.read(place, "")
    assert found.value.code == code
    assert "s3cret" not in str(found.value) and TOKEN not in str(found.value)
    assert found.value.__cause__ is None
    assert found.value.lasting == (code != "secret_unavailable")
    return found.value.words


def test_a_field_of_json_is_read(cloud):
    store = cloud.store()
    assert store.read(f"{cloud.prefix}fields#key", "") == "s3cret ü".encode()
    assert store.read(f"{cloud.prefix}fields#empty", "") == b""
    assert store.read(f"{cloud.prefix}fields", "") == FIELDS.encode()


def test_a_changed_secret_is_read_as_it_is_now(cloud):
    store = cloud.store()
    store.read(f"{cloud.prefix}mail", "")
    cloud.secrets["mail"] = "rotated"
    assert store.read(f"{cloud.prefix}mail", "") == b"rotated"


@pytest.mark.parametrize(
    ("place", "code"),
    [
        ("none", "secret_missing"),
        ("fields#none-such", "secret_missing"),
        ("mail#key", "secret_missing"),
        ("list#key", "secret_missing"),
        ("deep#key", "secret_missing"),
        ("fields#number", "secret_not_text"),
        ("fields#half", "secret_not_text"),
        ("fields#none", "secret_not_text"),
        ("large#key", "secret_too_large"),
        ("mail#", "secret_reference_invalid"),
    ],
)
def test_what_cannot_be_read_has_a_reason(cloud, place, code):
    refused(cloud.store(), cloud.prefix + place, code)


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        (Gcp, "mail"),
        (Gcp, "projects/shop/secrets/mail/versions/1/more"),
        (Gcp, "projects/shop/secrets/mail?alt=media"),
        (Gcp, "projects/shop/secrets/mail%2F..%2Fother"),
        (Gcp, "projects/shop/secrets/mail:access"),
        (Gcp, "organizations/shop/secrets/mail"),
        (Azure, "mail"),
        (Azure, "evil.example.com/mail"),
        (Azure, "evil.example.com%2F/mail"),
        (Azure, "user@shop/mail"),
        (Azure, "shop:8443/mail"),
        (Azure, "shop/mail?api-version=1"),
        (Azure, "shop/mail/latest"),
        (Azure, "shop/mail/4387e9f3d6e14c459867679a90fd0f79/more"),
    ],
)
def test_only_names_of_secrets_are_asked_for(kind, place):
    cloud = kind(SECRETS)
    refused(cloud.store(), place, "secret_reference_invalid")
    assert not cloud.calls


@pytest.mark.parametrize("kind", KINDS)
def test_who_may_not_read_a_secret_learns_that(kind):
    cloud = kind(SECRETS)
    cloud.refusal = kind.refused
    assert "refuses this installation" in refused(cloud.store(), f"{kind.prefix}mail", "secret_unavailable")


@pytest.mark.parametrize(
    ("kind", "status", "code", "expected"),
    [
        (Aws, 400, "InvalidRequestException", "secret_missing"),
        (Aws, 400, "ValidationException", "secret_reference_invalid"),
        (Aws, 400, "UnrecognizedClientException", "secret_unavailable"),
        (Gcp, 400, "FAILED_PRECONDITION", "secret_missing"),
        (Gcp, 400, "INVALID_ARGUMENT", "secret_unavailable"),
        (Gcp, 401, "UNAUTHENTICATED", "secret_unavailable"),
        (Azure, 400, "BadParameter", "secret_unavailable"),
        (Azure, 401, "Unauthorized", "secret_unavailable"),
    ],
)
def test_errors_of_each_cloud_have_their_code(kind, status, code, expected):
    cloud = kind(SECRETS)
    cloud.refusal = status, code
    refused(cloud.store(), f"{kind.prefix}mail", expected)


@pytest.mark.parametrize("status", [302, 307, 429, 500, 503])
def test_a_cloud_that_fails_is_asked_once_and_may_answer_later(cloud, status):
    cloud.refusal = status, "ThrottlingException"
    refused(cloud.store(), f"{cloud.prefix}mail", "secret_unavailable")
    assert len(cloud.calls) == 1


def test_a_cloud_that_cannot_be_reached_may_come_back(cloud):
    store = cloud.store()
    for fault in (requests.ConnectTimeout("s3cret"), requests.exceptions.SSLError("s3cret"), OSError("s3cret")):
        if isinstance(cloud, Aws) and isinstance(fault, requests.RequestException):
            fault = botocore.exceptions.ConnectTimeoutError(endpoint_url="s3cret")
        cloud.fault = fault
        refused(store, f"{cloud.prefix}mail", "secret_unavailable")
    cloud.fault = None
    assert store.read(f"{cloud.prefix}mail", "") == b"s3cret"


@pytest.mark.parametrize(
    "answer", [b"", b"s3cret", b"[]", b"{}", b'{"payload": 7}', b'{"payload": {"data": "s3cret!"}}']
)
def test_an_answer_in_another_form_is_no_secret(answer):
    cloud = Gcp(SECRETS)
    cloud.found = lambda _: (200, {}, answer)
    refused(cloud.store(), f"{cloud.prefix}mail", "secret_unavailable")


@pytest.mark.parametrize("domain", ["evil.example.com", "azure.net.evil.example.com"])
def test_no_token_is_sent_for_a_challenge_of_another_domain(domain):
    cloud = Azure(SECRETS)
    cloud.challenge = CHALLENGE.replace("vault.azure.net", domain)
    store = AzureStore(AzureAccess("vault-of-the-test.example"))
    store._credential, store._own.transport = cloud.store()._credential, cloud.store()._own.transport
    refused(store, "shop/mail", "secret_unavailable")
    assert [("authorization" in call.headers) for call in cloud.calls] == [False]


def test_binary_secrets_and_versions_are_read():
    aws, gcp = Aws({"mail": b"\xff"}), Gcp(SECRETS)
    assert aws.store().read("mail", "") == b"\xff"
    for place, version in (("", "latest"), ("/versions/7", "7"), ("/versions/live", "live")):
        assert gcp.store().read(f"projects/shop/secrets/mail{place}", "") == b"s3cret"
        assert gcp.calls[-1].url.endswith(f"/projects/shop/secrets/mail/versions/{version}:access")
    azure = Azure(SECRETS)
    assert azure.store().read("shop/mail/4387e9f3d6e14c459867679a90fd0f79", "") == b"s3cret"
    assert "/secrets/mail/4387e9f3d6e14c459867679a90fd0f79?" in azure.calls[-1].url


def test_the_endpoint_is_the_operators():
    cloud = Aws(SECRETS)
    arn = "arn:aws:secretsmanager:us-west-2:123456789012:secret:mail-a1b2c3"
    cloud.secrets[arn] = "s3cret"
    assert cloud.store().read(arn, "") == b"s3cret"
    assert cloud.calls[-1].url == "https://secretsmanager.eu-central-1.amazonaws.com/"
    store = cloud.store()
    store._access = AwsAccess("eu-central-1", "https://vpce-1.example.com")
    store.read("mail", "")
    assert cloud.calls[-1].url == "https://vpce-1.example.com/"


def test_calls_to_aws_are_bounded_those_for_credentials_too():
    store = Aws(SECRETS).store()
    for client in (store._get_client(), store._session.create_client("sts", region_name="eu-central-1")):
        config = client.meta.config
        assert (config.connect_timeout, config.read_timeout) == (CLOUD_CALL_S_MAX, CLOUD_CALL_S_MAX)
        assert config.retries["total_max_attempts"] == 1


def test_stores_show_no_credentials(cloud):
    store = cloud.store()
    store.read(f"{cloud.prefix}mail", "")
    assert TOKEN not in repr(store) and "s3cret" not in repr(store)


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Yield the address of a service that gives credentials in the form of each cloud, and its calls. No other
    credentials can be found."""
    calls = []
    aws = {
        "AccessKeyId": "AKIA" + "0" * 16,
        "SecretAccessKey": TOKEN,
        "Token": "x",
        "Expiration": "2099-01-01T00:00:00Z",
    }
    given = {
        "/aws": aws,
        "/azure": {"access_token": TOKEN, "expires_on": 4102444800, "resource": "https://vault.azure.net"},
        "/gcp": {"access_token": TOKEN, "expires_in": 3600},
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            calls.append(self.path.partition("?")[0])
            self.rfile.read(int(self.headers["content-length"] or 0))
            body = json.dumps(given[calls[-1]]).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - http.server's names

        def log_message(self, *_):
            pass

    for name in os.environ:
        if name.startswith(("AWS_", "AZURE_", "GOOGLE_", "IDENTITY_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", calls
        server.shutdown()
        thread.join()


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_aws_credentials_of_a_container_are_found_once_they_are_there(machine, monkeypatch):
    address, calls = machine
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    cloud = Aws(SECRETS)
    store = AwsStore(AwsAccess("eu-central-1", ""))
    store._session.register("before-send.secrets-manager", cloud._send)
    assert "NoCredentials" in refused(store, "mail", "secret_unavailable")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{address}/aws")
    assert [store.read("mail", ""), store.read("mail", "")] == [b"s3cret"] * 2
    assert calls == ["/aws"]


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_a_service_account_of_google_is_found_once_it_is_there(machine, monkeypatch, tmp_path):
    address, calls = machine
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    cloud = Gcp(SECRETS)
    store = GcpStore(GcpAccess("https://secretmanager.googleapis.com"))
    assert "DefaultCredentials" in refused(store, f"{cloud.prefix}mail", "secret_unavailable")
    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {"type": "service_account", "project_id": "shop", "private_key_id": "1", "private_key": key.decode(),
               "client_email": "clarion@shop.example", "token_uri": f"{address}/gcp"}  # fmt: skip
    (tmp_path / "account.json").write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
    cloud.mount(store)
    assert [store.read(f"{cloud.prefix}mail", "") for _ in range(2)] == [b"s3cret"] * 2
    assert calls == ["/gcp"]


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_a_managed_identity_of_azure_is_found(machine, monkeypatch):
    address, calls = machine
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "prod")
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1")
    cloud = Azure(SECRETS)
    store = AzureStore(AzureAccess("vault.azure.net"))
    cloud.mount(store)
    assert "refuses this installation" in refused(store, "shop/mail", "secret_unavailable")
    monkeypatch.delenv("AZURE_POD_IDENTITY_AUTHORITY_HOST")
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{address}/azure")
    monkeypatch.setenv("IDENTITY_HEADER", "x")
    store = AzureStore(AzureAccess("vault.azure.net"))
    cloud.mount(store)
    assert [store.read("shop/mail", ""), store.read("shop/mail", "")] == [b"s3cret"] * 2
    assert calls == ["/azure"]
