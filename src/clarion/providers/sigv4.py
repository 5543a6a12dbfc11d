"""Shared by all AWS vendors: accounts, endpoints, Signature Version 4 and the errors of any service.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html. The signature
is right for services whose paths are encoded twice, which is all but S3.
"""

import hmac
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Final
from urllib.parse import quote, urlsplit

import msgspec

from clarion.domain.content import Account
from clarion.domain.limits_delivery import VENDOR_KEYS_MAX
from clarion.domain.message import HttpRequest, HttpResponse
from clarion.domain.outcome import Misconfigured
from clarion.ports.vendor import Field
from clarion.providers.answers import error_detail

ALGORITHM: Final = "AWS4-HMAC-SHA256"

SETTINGS: Final = (
    # The region becomes part of a host name, so it must not contain a character that could end one.
    Field(
        "region",
        required=True,
        about="AWS Region",
        pattern=r"[a-z]{2,4}(-[a-z]+){1,3}-[0-9]{1,2}",
        destination=True,
    ),
    Field("base_url", kind="url", about="origin of the API; the public endpoint of the region unless given"),
)
CREDENTIALS: Final = (
    Field("access_key_id", required=True, about="id of the access key", pattern=r"[A-Za-z0-9_]{16,128}"),
    Field("secret_access_key", required=True, about="the access key's secret", pattern=r"[!-~]{1,256}"),
    Field("session_token", about="session token of temporary credentials", pattern=r"[!-~]{1,8192}"),
)

CODES: Final[dict[str, str]] = {
    "AccessDenied": "account",
    "ExpiredToken": "account",
    "IncompleteSignature": "account",
    "InvalidAccessKeyId": "account",
    "InvalidClientTokenId": "account",
    "InvalidSignature": "account",
    "MissingAuthenticationToken": "account",
    "NotAuthorized": "account",
    "OptInRequired": "account",
    "RequestExpired": "account",
    "SignatureDoesNotMatch": "account",
    "UnrecognizedClient": "account",
    "Throttled": "later",
    "Throttling": "later",
    "TooManyRequests": "later",
    "InternalFailure": "again",
    "ServiceUnavailable": "again",
    "Validation": "invalid_request",
    "ValidationError": "invalid_request",
}
"""Common errors by `code_of`. Several of `account` and `later` come as 400, so codes are read before the status.
`RequestExpired` and `SignatureDoesNotMatch` are also the response to a wrong clock."""


def code_of(name: str) -> str:
    """Return an error's name without the namespace, address and `Exception` that some services add."""
    return name.partition(":")[0].rpartition("#")[2].strip().removesuffix("Exception")


def origin(account: Account, service: str) -> str:
    """Return the account's `base_url`, or the public endpoint of a service in its region."""
    if given := account.settings.get("base_url"):
        return str(given).rstrip("/")
    region = account.settings["region"]
    return f"https://{service}.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"


def signed(request: HttpRequest, account: Account, service: str, now_ms: int) -> HttpRequest:
    """Return the request with the headers that sign all of its headers, its URL and its body."""
    credentials, region = account.credentials, account.settings["region"]
    at = datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {name.lower(): value for name, value in request.headers.items()} | {"x-amz-date": at}
    if token := credentials.get("session_token"):
        headers["x-amz-security-token"] = token
    names, canonical = _canonical(request, headers)
    scope = f"{at[:8]}/{region}/{service}/aws4_request"
    to_sign = f"{ALGORITHM}\n{at}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
    key = _key(credentials["secret_access_key"], at[:8], region, service)
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    given = f"Credential={credentials['access_key_id']}/{scope}, SignedHeaders={names}, Signature={signature}"
    return msgspec.structs.replace(request, headers=headers | {"authorization": f"{ALGORITHM} {given}"})


def _canonical(request: HttpRequest, headers: dict[str, str]) -> tuple[str, str]:
    """Return the names of the signed headers and the canonical request. A query has to be encoded as AWS requires;
    `Host`, which the client adds, follows from the URL."""
    url = urlsplit(request.url)
    default = {"https": 443, "http": 80}.get(url.scheme)
    host = url.netloc.rpartition("@")[2].lower()
    covered = headers | {"host": host.removesuffix(f":{default}")}
    lines = "".join(f"{name}:{' '.join(covered[name].split())}\n" for name in sorted(covered))
    names = ";".join(sorted(covered))
    query = "&".join(sorted(url.query.split("&")))
    digest = sha256(request.body).hexdigest()
    return names, f"{request.method}\n{quote(_normal(url.path), safe='/~')}\n{query}\n{lines}\n{names}\n{digest}"


def _normal(path: str) -> str:
    """Return a path without empty and dot segments (RFC 3986 5.2.4), as AWS normalizes it."""
    segments: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del segments[-1:]
        elif segment not in ("", "."):
            segments.append(segment)
    return "/" + "/".join(segments) + ("/" if segments and path.endswith("/") else "")


@lru_cache(maxsize=VENDOR_KEYS_MAX)
def _key(secret: str, day: str, region: str, service: str) -> bytes:
    """Return the signing key, the same for a whole day."""
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def unusable(response: HttpResponse, code: str, words: str) -> Misconfigured | None:
    """Return the fault of an account, by an error's code, or None. `AccessDenied` means that the signature is
    valid: such a key may be allowed to send."""
    if response.status == 200 or code in ("AccessDenied", "AuthorizationError"):
        return None
    at_fault = CODES.get(code) == "account" or (not code and response.status in (401, 403, 404))
    return Misconfigured(error_detail(response, f"{code} {words}".strip())) if at_fault else None
