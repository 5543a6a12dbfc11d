"""The HTTP services of the simulator: OAuth token endpoint, FCM `messages:send`, webhook endpoint, and the vendors of
`stage`.

They check requests as the real services do: a wrong token is 401, data that is not strings is 400 with `BadRequest`, a
wrong webhook signature is 401.
"""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Final
from urllib.parse import parse_qs

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from standardwebhooks import Webhook, WebhookVerificationError

from clarion_lab.simulate.faults import Answer
from clarion_lab.simulate.http2 import Reply, Request
from clarion_lab.simulate.outages import Effect, OutageError, Outages
from clarion_lab.simulate.receipts import About, Receipts
from clarion_lab.simulate.vendors.stage import Stage

TOKEN_PATH: Final = "/token"  # noqa: S105 - a path
WEBHOOK_PATH: Final = "/webhook"
OUTAGES_PATH: Final = "/outages"
TOKEN_TTL_S: Final = 3_599
_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_FCM_ERROR: Final = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
_UNKNOWN: Final = About()
_BAD_REQUEST: Final = "type.googleapis.com/google.rpc.BadRequest"


class _Target(msgspec.Struct):
    token: str
    data: dict[str, str] = {}


class _Send(msgspec.Struct):
    message: _Target


def _error(status: int, name: str, text: str, detail: dict[str, object] | None = None) -> Reply:
    """Return an error in the shape of Google's APIs."""
    error = {"code": status, "message": text, "status": name, "details": [detail] if detail else []}
    return Reply(status, msgspec.json.encode({"error": error}))


class _Message(msgspec.Struct, forbid_unknown_fields=True):
    outages: list[str]


def _affected(reply: Reply, effect: Effect) -> Reply:
    """Return a response with the delay and the pause of an outage."""
    if effect.retry_after_s is not None:
        reply = msgspec.structs.replace(reply, retry_after_s=effect.retry_after_s)
    return msgspec.structs.replace(reply, slow_s=effect.slow_s) if effect.slow_s else reply


class Services:
    """Responds to batches of requests. `service_account` is the key file for which it issues tokens."""

    def __init__(
        self,
        receipts: Receipts,
        service_account: dict[str, str],
        webhook_secret: str,
        stage: Stage,
        retry_after_s: int,
        outages: Outages,
    ) -> None:
        self._outages = outages
        self._receipts = receipts
        self._stage = stage
        self._account = service_account
        self._public = _key_of(service_account["private_key"])
        self._webhook = Webhook(webhook_secret)
        self._decode = msgspec.json.Decoder(_Send).decode
        # As long as Google's; the same after a restart, so that senders do not notice it.
        self._token = "ya29." + blake2b(service_account["private_key"].encode()).hexdigest() + 60 * "x"
        self._bearer = f"Bearer {self._token}"
        self._send_path = f"/v1/projects/{service_account['project_id']}/messages:send"
        throttled = _error(
            429, "RESOURCE_EXHAUSTED", "Quota exceeded", {"@type": _FCM_ERROR, "errorCode": "QUOTA_EXCEEDED"}
        )
        self._replies = {
            Answer.THROTTLE: msgspec.structs.replace(throttled, retry_after_s=retry_after_s),
            Answer.ERROR_500: _error(500, "INTERNAL", "Internal error", {"@type": _FCM_ERROR, "errorCode": "INTERNAL"}),
            Answer.UNAVAILABLE: _error(
                503,
                "UNAVAILABLE",
                "The service is currently unavailable.",
                {"@type": _FCM_ERROR, "errorCode": "UNAVAILABLE"},
            ),
            Answer.ACCEPT_THEN_DROP: Reply(action="drop"),
            Answer.HANG: Reply(action="hang"),
            Answer.RESET: Reply(action="reset"),
            Answer.INVALID_TOKEN: _error(
                404, "NOT_FOUND", "Requested entity was not found.", {"@type": _FCM_ERROR, "errorCode": "UNREGISTERED"}
            ),
            Answer.UNAUTHENTICATED: _error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials."),
            Answer.MALFORMED: _error(
                400,
                "INVALID_ARGUMENT",
                "Invalid JSON payload received.",
                {"@type": _BAD_REQUEST, "fieldViolations": [{"field": "message", "description": "Invalid value"}]},
            ),
        }

    def handle(self, requests: Sequence[Request]) -> list[Reply]:
        """Return the responses in the order of the requests, after writing the receipts."""
        replies = [self._route(request) for request in requests]
        self._receipts.flush()
        return replies

    def _route(self, request: Request) -> Reply:
        path = request.headers.get(":path", "").partition("?")[0]
        if path == OUTAGES_PATH:
            return self._report(request)
        if request.headers.get(":method") != "POST":
            return Reply(405)
        if path == self._send_path:
            return self._fcm(request)
        if path == TOKEN_PATH:
            return self._issue(request)
        if path.startswith(WEBHOOK_PATH):
            return self._hook(request)
        return self._stage.answer(request) or _error(404, "NOT_FOUND", "Requested entity was not found.")

    def _fcm(self, request: Request) -> Reply:
        effect = self._outages.effect("fcm")
        fault = effect.answer
        key, about = "", _UNKNOWN
        if fault is None and request.headers.get("authorization") != self._bearer:
            fault = Answer.UNAUTHENTICATED
        else:
            try:
                target = self._decode(request.body).message
                key, about = target.data.get("delivery_id", ""), About(address=target.token)
            except msgspec.MsgspecError:
                fault = fault or Answer.MALFORMED
        answer = self._receipts.arrived(key, "push", request.body, fault, about)
        if answer is Answer.ACCEPTED:
            reply = Reply(200, f'{{"name":"projects/simulator/messages/{key}"}}'.encode())
        else:
            reply = self._replies[answer]
        return _affected(reply, effect)

    def _report(self, request: Request) -> Reply:
        """Return the outages in force, after replacing them when the request contains new ones."""
        if request.headers.get(":method") == "POST":
            try:
                self._outages.report(msgspec.json.decode(request.body, type=_Message).outages)
            except (OutageError, msgspec.MsgspecError) as error:
                return Reply(400, msgspec.json.encode({"error": str(error)}))
        return Reply(200, msgspec.json.encode({"outages": self._outages.texts}))

    def _issue(self, request: Request) -> Reply:
        """Grant a token to a valid assertion (RFC 7523 3.1)."""
        form = parse_qs(request.body.decode("ascii", "replace"))
        try:
            if form.get("grant_type") != [_GRANT]:
                raise ValueError("grant type")
            claims = jwt.decode(form["assertion"][0], self._public, algorithms=["RS256"]).claims
            if claims["iss"] != self._account["client_email"]:
                raise ValueError("issuer")
        except (JoseError, KeyError, ValueError):
            return Reply(400, b'{"error":"invalid_grant","error_description":"Invalid JWT Signature."}')
        token = {"access_token": self._token, "expires_in": TOKEN_TTL_S, "token_type": "Bearer"}
        return Reply(200, msgspec.json.encode(token))

    def _hook(self, request: Request) -> Reply:
        effect = self._outages.effect("webhook")
        fault = effect.answer
        if fault is None:
            try:
                self._webhook.verify(request.body, request.headers)
            except (WebhookVerificationError, ValueError):
                fault = Answer.UNAUTHENTICATED
        answer = self._receipts.arrived(request.headers.get("webhook-id", ""), "webhook", request.body, fault)
        plain = {Answer.ACCEPTED: Reply(204), Answer.INVALID_TOKEN: Reply(410)}
        return _affected(plain.get(answer) or self._replies[answer], effect)


@lru_cache(maxsize=1)
def _key_of(pem: str) -> RSAKey:
    """Return a key, cached: to check its numbers takes longer than most calls to a simulator."""
    return RSAKey.import_key(pem)
