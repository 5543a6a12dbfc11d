"""Calls to one identity provider, through the guarded egress: what it says of itself (discovery), its keys, and the exchange of a code.

Metadata and keys are kept for an hour. A token whose key is unknown makes us ask for the keys again, at most once in half a minute: so
rotated keys count at once, and made-up ones cost the provider little.
"""

import base64
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from clarion.domain.errors import EgressError
from clarion.domain.limits_people import (
    KEYS_AGAIN_MS_MIN,
    METADATA_MS_MAX,
    PROVIDER_ANSWER_BYTES_MAX,
    PROVIDER_CALL_MS_MAX,
)
from clarion.domain.message import HttpRequest
from clarion.identity.oidc.id_tokens import check_claims, claims_of, header_of
from clarion.identity.oidc.refusals import Refusal, refused
from clarion.identity.settings import Provider
from clarion.ports.clock import Clock
from clarion.ports.egress import HttpEgress
from clarion.ports.telemetry import Telemetry

_WELL_KNOWN: Final = "/.well-known/openid-configuration"
_FORM: Final = "application/x-www-form-urlencoded"
_KINDS: Final = frozenset({"RSA", "EC", "OKP"})


class Metadata(msgspec.Struct, frozen=True):
    """What a provider says of itself, as far as it is used."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)


class _Tokens(msgspec.Struct, frozen=True):
    id_token: str


class _Keys(msgspec.Struct, frozen=True):
    keys: list[dict[str, Any]]


class ProviderClient:
    """Talks to one provider. Belongs to one event loop."""

    def __init__(self, provider: Provider, http: HttpEgress, clock: Clock, telemetry: Telemetry) -> None:
        self.provider = provider
        self._http = http
        self._clock = clock
        self._telemetry = telemetry
        self._metadata: tuple[int, Metadata] | None = None
        self._keys: tuple[int, KeySet] | None = None
        self._again_ms: int | None = None

    async def metadata(self) -> Metadata:
        """Return what the provider says of itself. Raises `Unauthorized`."""
        now_ms = self._clock.monotonic_ms()
        if self._metadata is not None and now_ms - self._metadata[0] < METADATA_MS_MAX:
            return self._metadata[1]
        issuer = self.provider.issuer
        found: Metadata = await self._call("GET", issuer.rstrip("/") + _WELL_KNOWN, Metadata, Refusal.METADATA)
        scheme = urlsplit(issuer).scheme
        places = (found.authorization_endpoint, found.token_endpoint, found.jwks_uri)
        if found.issuer != issuer or any(urlsplit(place).scheme not in (scheme, "https") for place in places):
            self._tell(Refusal.METADATA, "the issuer is another one, or an address is not https")
            raise refused(Refusal.METADATA)
        self._metadata = now_ms, found
        return found

    async def claims(self, code: str, verifier: str, nonce: str, redirect_uri: str) -> dict[str, Any]:
        """Return the claims of the ID token that the provider gives for a code. Raises `Unauthorized`."""
        provider, metadata = self.provider, await self.metadata()
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        headers: dict[str, str] = {}
        if not provider.client_secret:
            fields["client_id"] = provider.client_id
        elif "client_secret_basic" in metadata.token_endpoint_auth_methods_supported:
            # Both are encoded before they are joined (RFC 6749, section 2.3.1).
            pair = f"{quote(provider.client_id, safe='')}:{quote(provider.client_secret, safe='')}"
            headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            fields |= {"client_id": provider.client_id, "client_secret": provider.client_secret}
        tokens = await self._call("POST", metadata.token_endpoint, _Tokens, Refusal.CODE, fields, headers)
        claims = claims_of(tokens.id_token, await self._keys_for(header_of(tokens.id_token)))
        check_claims(claims, metadata.issuer, provider.client_id, nonce, self._clock.now_ms() // 1000)
        return claims

    async def _keys_for(self, header: dict[str, Any]) -> KeySet:
        """Return the keys of the provider; they are read again when the one of a header is not among them."""
        now_ms, key_id = self._clock.monotonic_ms(), header.get("kid")
        if self._keys is not None and now_ms - self._keys[0] < METADATA_MS_MAX:
            if key_id is None or any(key.kid == key_id for key in self._keys[1].keys):
                return self._keys[1]
            if self._again_ms is not None and now_ms - self._again_ms < KEYS_AGAIN_MS_MIN:
                return self._keys[1]
            self._again_ms = now_ms
        found = await self._call("GET", (await self.metadata()).jwks_uri, _Keys, Refusal.METADATA)
        usable = [key for key in found.keys if key.get("kty") in _KINDS and key.get("use", "sig") == "sig"]
        try:
            keys = KeySet.import_key_set({"keys": [_public(key) for key in usable]})
        except (JoseError, ValueError, TypeError, KeyError):
            raise refused(Refusal.METADATA) from None
        self._keys = now_ms, keys
        return keys

    async def _call(
        self,
        method: str,
        url: str,
        kind: type[Any],
        refusal: Refusal,
        fields: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Any:
        body = b"" if fields is None else urlencode(fields).encode()
        sent = {"accept": "application/json", **({"content-type": _FORM} if fields else {}), **(headers or {})}
        request = HttpRequest(method, url, sent, body, PROVIDER_CALL_MS_MAX, answer_bytes_max=PROVIDER_ANSWER_BYTES_MAX)
        try:
            answer = await self._http.send(request)
        except EgressError as error:
            self._tell(Refusal.UNREACHABLE, error.detail)
            raise refused(Refusal.UNREACHABLE) from None
        if answer.status != 200:
            self._tell(refusal, f"status {answer.status}")
            raise refused(refusal if answer.status < 500 else Refusal.UNREACHABLE)
        try:
            return msgspec.json.decode(answer.body, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            self._tell(refusal, "the answer is not what it should be")
            raise refused(refusal) from None

    def _tell(self, refusal: Refusal, detail: str) -> None:
        """Write a log line for the operator, with no secret in it."""
        self._telemetry.log(
            "warning", "identity_provider_failed", name=self.provider.name, reason=refusal, detail=detail[:200]
        )

    def __repr__(self) -> str:
        return f"ProviderClient({self.provider.name})"


def _public(key: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of a public key alone."""
    return {name: key[name] for name in ("kty", "kid", "alg", "use", "n", "e", "crv", "x", "y") if name in key}
