"""Signatures against AWS's published examples and against botocore's signer; endpoints against botocore's list."""

from datetime import UTC, datetime
from unittest import mock

import botocore.session
import msgspec
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.regions import EndpointResolver
from hypothesis import example, given
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
printable = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)
paths = st.lists(st.from_regex(r"[A-Za-z0-9_~%=:@$,+-]{1,12}", fullmatch=True), max_size=3).map(
    lambda p: "/" + "/".join(p)
)


def account(region="us-east-1", settings=None, **credentials):
    return Account("acme", "aws", Channel.SMS, "x", 0, {"region": region, **(settings or {})}, credentials or EXAMPLE)


def resolver():
    return EndpointResolver(botocore.session.get_session().get_data("endpoints"))


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


def test_the_signing_key_of_the_documentation():
    key = sigv4._key(EXAMPLE["secret_access_key"], "20150830", "us-east-1", "iam")
    assert key.hex() == "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"


@given(
    method=st.sampled_from(["GET", "POST", "PUT"]),
    host=st.sampled_from(["sns.us-east-1.amazonaws.com", "LocalHost", "127.0.0.1", "[::1]"]),
    port=st.sampled_from(["", ":443", ":80", ":4566"]),
    scheme=st.sampled_from(["https", "http"]),
    path=paths,
    query=st.sampled_from(["", "?b=2&a=1", "?a=%20x&a=", "?flag="]),
    extra=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40),
    body=st.binary(max_size=200),
    secret=printable,
    session=st.none() | printable,
    at_ms=st.integers(0, 4_102_444_800_000),
)
@example("POST", "[::1]", ":443", "https", "/", "", "  a   b  ", b"", "s", "t", 951_782_399_999)
def test_any_request_is_signed_as_botocore_does(
    method, host, port, scheme, path, query, extra, body, secret, session, at_ms
):
    headers = {"Content-Type": "text/plain", "X-Extra": extra}
    owner = account("eu-west-1", access_key_id="AKIDEXAMPLE", secret_access_key=secret, session_token=session)
    request = HttpRequest(method, f"{scheme}://{host}{port}{path}{query}", headers, body)
    got = sigv4.signed(request, owner, "sns", at_ms)
    oracle = AWSRequest(method, request.url, dict(headers), body)
    at = datetime.fromtimestamp(at_ms / 1000, UTC).replace(tzinfo=None)
    with mock.patch("botocore.auth.get_current_datetime", return_value=at):
        SigV4Auth(Credentials("AKIDEXAMPLE", secret, session), "sns", "eu-west-1").add_auth(oracle)
    assert got.headers == {name.lower(): value for name, value in oracle.headers.items()}
    assert (got.method, got.url, got.body) == (request.method, request.url, request.body)


def test_the_key_is_derived_once_a_day():
    request = HttpRequest("GET", "https://example.amazonaws.com/", {}, b"")
    sigv4.signed(request, account(), "once", EXAMPLE_MS)
    before = sigv4._key.cache_info().misses
    sigv4.signed(request, account(), "once", EXAMPLE_MS + 60_000)
    assert sigv4._key.cache_info().misses == before
    sigv4.signed(request, account(), "once", EXAMPLE_MS + 24 * 3_600_000)
    assert sigv4._key.cache_info().misses == before + 1


@pytest.mark.parametrize("service", ["email", "sns"])
@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_endpoints_are_those_botocore_knows(service, partition):
    known = resolver()
    for region in known.get_available_endpoints(service, partition):
        check_fields(sigv4.SETTINGS, {"region": region}, "settings", secret=False)
        host = known.construct_endpoint(service, region)["hostname"]
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
