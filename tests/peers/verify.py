"""Checks signatures, tokens and encrypted texts with other implementations. It runs in the environment of peers.

A line of JSON in is a question: the `check`, and its arguments. A line out is `{"said": ...}`, or `{"error": ...}` with the error
that the other implementation raised. Bytes are Base64.
"""

import base64
import json
import sys
from collections.abc import Callable
from typing import Any

import dkim
import http_ece
import jwt
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator
from cryptography.hazmat.primitives.asymmetric import ec
from py_vapid import Vapid02
from sendgrid.helpers.eventwebhook import EventWebhook
from standardwebhooks.webhooks import Webhook
from twilio.request_validator import RequestValidator
from vonage_http_client.auth import Auth
from werkzeug.datastructures import MultiDict


def twilio_sign(token: str, url: str, params: list[tuple[str, str]]) -> str:
    """Return the signature of a form."""
    return RequestValidator(token).compute_signature(url, MultiDict(params))


def twilio_valid(token: str, url: str, params: Any, signature: str) -> bool:
    """Return whether a call is Twilio's; `params` are those of a form, or the text of another body."""
    return RequestValidator(token).validate(url, params if isinstance(params, str) else MultiDict(params), signature)


def sendgrid_valid(key: str, body: str, signature: str, timestamp: str) -> bool:
    """Return whether a batch of events is SendGrid's."""
    return EventWebhook(key).verify_signature(body, signature, timestamp)


def webhook_valid(secret: str, body: str, headers: dict[str, str]) -> Any:
    """Return the payload of a webhook that is signed with a secret."""
    return Webhook(secret).verify(body, headers)


def vonage_sign(secret: str, method: str, params: dict[str, Any]) -> str:
    """Return the `sig` of parameters that have a timestamp."""
    return Auth(api_key="k", signature_secret=secret, signature_method=method).sign_params(params)


def vonage_valid(secret: str, method: str, params: dict[str, Any]) -> bool:
    """Return whether parameters carry the `sig` that fits."""
    return Auth(api_key="k", signature_secret=secret, signature_method=method).check_signature(params)


def push_open(scalar: str, auth: str, body: str) -> str:
    """Return the text of an encrypted push, as the browser with this private key reads it."""
    key = ec.derive_private_key(int(scalar, 16), ec.SECP256R1())
    plain = http_ece.decrypt(base64.b64decode(body), private_key=key, auth_secret=base64.b64decode(auth))
    return base64.b64encode(plain).decode()


def vapid_valid(authorization: str) -> bool:
    """Return whether the token of a `vapid` header is signed with the key in that header."""
    # The library does not accept the space that RFC 8292 3 allows after the comma.
    return bool(Vapid02.verify(authorization.replace(", k=", ",k=")))


def token_claims(token: str, pem: str, audience: str | None = None) -> dict[str, Any]:
    """Return header and claims of an ES256 token for an audience, without a check of its expiry."""
    options = {"verify_exp": False, "verify_iat": False}
    claims = jwt.decode(token, pem, algorithms=["ES256"], audience=audience, options=options)
    return {"header": jwt.get_unverified_header(token), "claims": claims}


def mail_valid(mail: str, record: str, name: str) -> bool:
    """Return whether a message's DKIM signature holds, with the record that DNS has under a name."""
    return dkim.verify(base64.b64decode(mail), dnsfunc=lambda asked, **_: record if asked == name.encode() else None)


def aws_signature(request: dict[str, Any], service: str, region: str, secret: str) -> str:
    """Return the signature that AWS' own library computes for the headers that a request signs."""
    given = {name.lower(): value for name, value in request["headers"].items()}
    names = given["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    made = AWSRequest(request["method"], request["url"], data=base64.b64decode(request["body"]))
    for name in names:
        if name in given:
            made.headers[name] = given[name]
    made.context["timestamp"] = given["x-amz-date"]
    signer = SigV4Auth(Credentials("id", secret, given.get("x-amz-security-token")), service, region)
    return signer.signature(signer.string_to_sign(made, signer.canonical_request(made)), made)


def aws_input_flaws(service: str, operation: str, given: dict[str, Any]) -> str:
    """Return the errors in the input of an operation by AWS' own description of it, or "" when it is valid."""
    model = ServiceModel(Loader().load_service_model(service, "service-2"))
    return ParamValidator().validate(given, model.operation_model(operation).input_shape).generate_report()


CHECKS: dict[str, Callable[..., Any]] = {
    check.__name__: check
    for check in (
        twilio_sign, twilio_valid, sendgrid_valid, webhook_valid, vonage_sign, vonage_valid, push_open, vapid_valid,
        token_claims, mail_valid, aws_signature, aws_input_flaws,
    )
}  # fmt: skip


def answer(line: str) -> dict[str, Any]:
    """Return the response to a request."""
    question = json.loads(line)
    try:
        return {"said": CHECKS[question.pop("check")](**question)}
    except Exception as error:  # noqa: BLE001 - what another implementation raises is its answer
        return {"error": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(line)) + "\n")
        sys.stdout.flush()
