"""Signatures against AWS's published examples and against those of botocore, AWS's own client, in sigv4_vectors.toml."""

import tomllib
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.control.providers.fields import check_fields
from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.errors import InvalidField
from clarion.domain.message import HttpRequest
from clarion.providers import sigv4

EXAMPLE_MS = int(datetime(2015, 8, 30, 12, 36, tzinfo=UTC).timestamp() * 1000)
EXAMPLE = {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
VECTORS = tomllib.loads(Path(__file__).with_name("sigv4_vectors.toml").read_text(encoding="utf-8"))["vectors"]


def account(region="us-east-1", settings=None, **credentials):
    return Account("acme", "aws", Channel.SMS, "x", 0, {"region": region, **(settings or {})}, credentials or EXAMPLE)


@pytest.mark.parametrize(
    ("method", "headers", "body", "names", "signature"),
    [
        ("GET", {}, b"", "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("POST", {}, b"", "host;x-amz-date", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        ("POST", FORM, b"Param1=value1", "content-type;host;x-amz-date",
         "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"),
    ],
)  # fmt: skip
def test_the_examples_of_aws(method, headers, body, names, signature):
    request = HttpRequest(method, "https://example.amazonaws.com/", headers, body)
    got = sigv4.signed(request, account(), "service", EXAMPLE_MS)
    scope = "AKIDEXAMPLE/20150830/us-east-1/service/aws4_request"
    assert got.headers["authorization"] == (
        f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={names}, Signature={signature}"
    )


@pytest.mark.parametrize(
    ("path", "read_as"),
    [
        ("", "/"),
        ("//", "/"),
        ("/..", "/"),
        ("/a//b", "/a/b"),
        ("/a/./b/", "/a/b/"),
        ("/x/../a//", "/a/"),
        ("/a/..", "/"),
    ],
)
def test_paths_are_signed_as_aws_reads_them(path, read_as):
    def authorization(path):
        request = HttpRequest("GET", f"https://example.amazonaws.com{path}", {}, b"")
        return sigv4.signed(request, account(), "service", EXAMPLE_MS).headers["authorization"]

    assert authorization(path) == authorization(read_as)


def test_the_signing_key_of_the_documentation():
    key = sigv4._key(EXAMPLE["secret_access_key"], "20150830", "us-east-1", "iam")
    assert key.hex() == "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['method']} {vector['url']}")
def test_requests_are_signed_as_botocore_signs_them(vector):
    owner = account(
        vector["region"],
        access_key_id="AKIDEXAMPLE",
        secret_access_key=vector["secret"],
        session_token=vector["token"],
    )
    headers = {"Content-Type": "application/json", "X-Extra": vector["extra"]}
    request = HttpRequest(vector["method"], vector["url"], headers, vector["body"].encode())
    at_ms = int(datetime.strptime(vector["at"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp() * 1000)
    got = sigv4.signed(request, owner, vector["service"], at_ms)
    expected = {"content-type": "application/json", "x-extra": vector["extra"], "x-amz-date": vector["at"]}
    if vector["token"]:
        expected["x-amz-security-token"] = vector["token"]
    assert got.headers == {**expected, "authorization": vector["authorization"]}
    assert (got.method, got.url, got.body) == (request.method, request.url, request.body)


@given(body=st.binary(max_size=50), other=st.binary(max_size=50), at_ms=st.integers(0, 4_102_444_800_000))
def test_a_signature_covers_the_body_and_the_time(body, other, at_ms):
    def signature(content, now_ms):
        request = HttpRequest("POST", "https://sns.us-east-1.amazonaws.com/", {}, content)
        return sigv4.signed(request, account(), "sns", now_ms).headers["authorization"]

    assert (signature(body, at_ms) == signature(other, at_ms)) == (body == other)
    assert signature(body, at_ms) != signature(body, at_ms + 1000)


def test_the_key_is_derived_once_a_day():
    request = HttpRequest("GET", "https://example.amazonaws.com/", {}, b"")
    sigv4.signed(request, account(), "once", EXAMPLE_MS)
    before = sigv4._key.cache_info().misses
    sigv4.signed(request, account(), "once", EXAMPLE_MS + 60_000)
    assert sigv4._key.cache_info().misses == before
    sigv4.signed(request, account(), "once", EXAMPLE_MS + 24 * 3_600_000)
    assert sigv4._key.cache_info().misses == before + 1


@pytest.mark.parametrize(
    ("region", "service", "host"),
    [
        ("eu-central-1", "email", "email.eu-central-1.amazonaws.com"),
        ("us-gov-west-1", "email", "email.us-gov-west-1.amazonaws.com"),
        ("ap-southeast-4", "sns", "sns.ap-southeast-4.amazonaws.com"),
        ("us-gov-east-1", "sns", "sns.us-gov-east-1.amazonaws.com"),
        ("cn-northwest-1", "sns", "sns.cn-northwest-1.amazonaws.com.cn"),
    ],
)
def test_endpoints_follow_from_the_region(region, service, host):
    check_fields(sigv4.SETTINGS, {"region": region}, "settings", secret=False)
    assert sigv4.origin(account(region), service) == f"https://{host}"


def test_an_origin_of_ones_own_stands_for_the_endpoint():
    assert sigv4.origin(account(settings={"base_url": "http://localhost:4566/"}), "sns") == "http://localhost:4566"


@pytest.mark.parametrize(
    "region", ["", "eu", "eu-central-1.evil.example/", "eu-central-1\n", "EU-CENTRAL-1", "x@y-z-1"]
)
def test_a_region_cannot_lead_to_another_host(region):
    with pytest.raises(InvalidField) as caught:
        check_fields(sigv4.SETTINGS, {"region": region}, "settings", secret=False)
    assert caught.value.field == "settings.region"


@pytest.mark.parametrize(
    ("name", "value"),
    [("session_token", "a\nx-evil: 1"), ("access_key_id", "AKIA CANARY"), ("secret_access_key", "hidden secret")],
)
def test_credentials_cannot_add_a_header_and_do_not_show(name, value):
    given = {"access_key_id": "AKIACANARYCANARY0000", "secret_access_key": "canary", name: value}
    with pytest.raises(InvalidField) as caught:
        check_fields(sigv4.CREDENTIALS, given, "credentials", secret=True)
    assert value not in str(caught.value)


def test_signing_leaves_no_secret_in_a_repr():
    owner = account(access_key_id="AKIACANARY", secret_access_key="canary-secret", session_token="canary-token")
    got = sigv4.signed(HttpRequest("POST", "https://example.amazonaws.com/", {}, b"x"), owner, "sns", EXAMPLE_MS)
    assert "canary" not in repr(got).lower()
    assert "canary-secret" not in msgspec.json.encode(got.headers).decode()


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("ThrottlingException", "Throttling"),
        ("com.amazonaws.ses#MessageRejected", "MessageRejected"),
        ("MessageRejected:http://internal.amazon.com/coral/x/", "MessageRejected"),
        ("ns#A.b#CException:https://x/#y", "C"),
        ("", ""),
    ],
)
def test_names_of_errors(name, code):
    assert sigv4.code_of(name) == code
