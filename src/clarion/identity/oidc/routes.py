"""The way to a provider and back (RFC 6749 with PKCE, RFC 7636). What has to be the same on the way back is sealed in a cookie of the
browser that began: the state, the nonce and the verifier, each of 256 random bits."""

import base64
import hmac
from collections.abc import Mapping
from hashlib import sha256
from typing import Final
from urllib.parse import urlencode

import msgspec

from clarion.domain.cookies import FLOW_COOKIE, cookie, drop_cookie, set_cookie
from clarion.domain.errors import CallerError, NotFound
from clarion.domain.limits_people import CODE_CHARS_MAX, FLOW_MS_MAX
from clarion.domain.person import TOKEN_BYTES, token_of
from clarion.identity.oidc.arrivals import Arrivals
from clarion.identity.oidc.client import ProviderClient
from clarion.identity.oidc.refusals import Refusal, refused
from clarion.identity.people.accounts import Accounts
from clarion.identity.people.forms import Forms, lead, lead_with, refusal
from clarion.identity.people.routes_sign_in import HOME, NEXT, TENANTS, read
from clarion.identity.people.sealed_steps import SealedSteps
from clarion.identity.rules.return_path import check_return
from clarion.ports.clock import Clock
from clarion.ports.web import Call, Query, Reply, Route

_PURPOSE: Final = "provider"
_BEGIN: Final = (
    NEXT,
    Query("invitation", "The invitation to accept at the provider"),
    Query("connect", "Whether to connect the provider with the account that is signed in"),
)
_BACK: Final = (
    Query("code", "What the provider gives for an ID token"),
    Query("state", "What the browser began with"),
    Query("iss", "Which provider answers (RFC 9207)"),
    Query("error", "Why the provider refuses"),
)


class Flow(msgspec.Struct, frozen=True):
    """A sign-in on its way: `connect` is the person who connects the provider, empty for a sign-in."""

    provider: str
    state: str
    nonce: str
    verifier: str
    next: str
    invitation: str
    connect: str


class _Handlers:
    def __init__(
        self,
        clients: Mapping[str, ProviderClient],
        arrivals: Arrivals,
        accounts: Accounts,
        forms: Forms,
        steps: SealedSteps,
        clock: Clock,
        public_url: str,
    ) -> None:
        self._clients = clients
        self._arrivals = arrivals
        self._accounts = accounts
        self._forms = forms
        self._steps = steps
        self._clock = clock
        self._url = public_url

    async def begin(self, call: Call) -> Reply:
        client, next_ = self._client(call), check_return(call.query.get("next", ""))
        connect = ""
        if "connect" in call.query:
            found = await self._forms.session(call)
            if found is None:
                return lead(f"/sign-in?next={HOME}")
            connect = found.person.person_id
        state, nonce, verifier = (token_of(self._clock.entropy(TOKEN_BYTES)) for _ in range(3))
        name, metadata = client.provider.name, await client.metadata()
        invitation = call.query.get("invitation", "")[:100]
        flow = Flow(name, state, nonce, verifier, next_, invitation, connect)
        challenge = base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code", "client_id": client.provider.client_id, "redirect_uri": self._back(name),
            "scope": " ".join(client.provider.scopes), "state": state, "nonce": nonce, "code_challenge": challenge,
            "code_challenge_method": "S256",
        }  # fmt: skip
        joint = "&" if "?" in metadata.authorization_endpoint else "?"
        there = f"{metadata.authorization_endpoint}{joint}{urlencode(asked)}"
        sealed = self._steps.seal(_PURPOSE, flow, FLOW_MS_MAX)
        return lead(there, set_cookie(FLOW_COOKIE, sealed, FLOW_MS_MAX // 1000))

    async def back(self, call: Call) -> Reply:
        client, gone = self._client(call), drop_cookie(FLOW_COOKIE)
        flow = self._steps.open(_PURPOSE, cookie(call.headers, FLOW_COOKIE), Flow)
        try:
            reply = await self._arrived(client, flow, call)
        except CallerError as error:
            await self._accounts.refused("", call, error.code)
            reply = refusal(error)
        reply.cookies = (*reply.cookies, gone)
        return reply

    async def _arrived(self, client: ProviderClient, flow: Flow | None, call: Call) -> Reply:
        query, name = call.query, client.provider.name
        state = query.get("state", "").encode("utf-8", "replace")
        if flow is None or flow.provider != name or not hmac.compare_digest(state, flow.state.encode()):
            raise refused(Refusal.STATE)
        if query.get("iss", client.provider.issuer) != client.provider.issuer:
            raise refused(Refusal.ISSUER)
        code = query.get("code", "")
        if "error" in query or not 1 <= len(code) <= CODE_CHARS_MAX:
            raise refused(Refusal.PROVIDER)
        claims = await client.claims(code, flow.verifier, flow.nonce, self._back(name))
        if flow.connect:
            found = await self._forms.session(call)
            if found is None or found.person.person_id != flow.connect:
                raise refused(Refusal.STATE)
            await self._arrivals.connect(found, claims, call)
            return lead(HOME)
        found = await self._arrivals.arrive(client.provider, claims, flow.invitation, call)
        return lead_with(found, flow.next or (HOME if found.session.tenant else TENANTS))

    def _client(self, call: Call) -> ProviderClient:
        client = self._clients.get(call.path["provider"])
        if client is None:
            raise NotFound("there is no such provider")
        return client

    def _back(self, name: str) -> str:
        return f"{self._url}/sign-in/with/{name}/callback"


def routes(
    clients: Mapping[str, ProviderClient],
    arrivals: Arrivals,
    accounts: Accounts,
    forms: Forms,
    steps: SealedSteps,
    clock: Clock,
    public_url: str,
) -> list[Route]:
    """Return the endpoints."""
    do = _Handlers(clients, arrivals, accounts, forms, steps, clock, public_url)
    return [
        read("/sign-in/with/{provider}", do.begin, "Go to an identity provider to sign in", *_BEGIN),
        read("/sign-in/with/{provider}/callback", do.back, "Come back from an identity provider", *_BACK),
    ]
