"""Calls of fetch steps: the HTTP request of a step, and the interpretation of its response."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

from clarion.domain.channel import Lane
from clarion.domain.depth import too_deep
from clarion.domain.duration import duration_ms
from clarion.domain.errors import InvalidField
from clarion.domain.ids import INSTANCE_PREFIX, write
from clarion.domain.json_numbers import numbers
from clarion.domain.limits import FETCH_BODY_BYTES_MAX
from clarion.domain.masking import MASK, SECRET_CHARS_MIN
from clarion.domain.message import HttpRequest, HttpResponse
from clarion.domain.workflow import SecretHeader
from clarion.plan.rules.workflow.state import FetchAnswered, HttpCall

_JSON: Final = msgspec.json.Encoder()
_NO_SECRETS: Final[Mapping[str, str]] = MappingProxyType({})
_TRY_AGAIN: Final = frozenset({408, 425, 429})
"""Retryable statuses below 500, which do not reject the request itself (RFC 9110, 8470, 6585)."""


class FetchJob(msgspec.Struct, frozen=True):
    """One call to make before `deadline_ms` (Unix ms); its response is for the instance's wait `seq`. `headers`
    are those of the step `step` of `workflow` that are secrets; they are added when it is made."""

    instance_id: bytes
    tenant: str
    lane: Lane
    partition: int
    seq: int
    deadline_ms: int
    request: HttpRequest
    workflow: str = ""
    step: str = ""
    headers: dict[str, SecretHeader] = {}


def request_of(instance_id: bytes, call: HttpCall) -> HttpRequest:
    """Return the HTTP request of a call. A call that is repeated after a crash carries the same `Idempotency-Key`."""
    step = call.step
    body = b"" if call.body is None else _JSON.encode(call.body)
    headers = {"accept": "application/json", "idempotency-key": f"{write(INSTANCE_PREFIX, instance_id)}:{step.name}"}
    if body:
        headers["content-type"] = "application/json"
    headers.update({name.lower(): value for name, value in call.headers.items()})
    return HttpRequest(step.method, call.url, headers, body, duration_ms(step.timeout))


def with_secrets(job: FetchJob, values: Mapping[str, str]) -> HttpRequest:
    """Return the request of a job with the values of its headers that are secrets."""
    if not values:
        return job.request
    filled = {name.lower(): job.headers[name].prefix + value for name, value in values.items()}
    return msgspec.structs.replace(job.request, headers=job.request.headers | filled)


def answer_of(response: HttpResponse, secrets: Mapping[str, str] = _NO_SECRETS) -> FetchAnswered:
    """Return the answer for the step: any final status is an answer, an overloaded or failing server is an error. A
    JSON body becomes values, any other body text. `secrets` are those of the request's headers, by the names of the
    headers; they are masked where the body repeats them."""
    content, hidden = response.body, _hidden(secrets)
    for secret in hidden:
        for form in (secret.encode(), _JSON.encode(secret)[1:-1]):
            content = content.replace(form, MASK.encode())
    if response.status >= 500 or response.status in _TRY_AGAIN:
        return FetchAnswered(error=f"status {response.status}")
    if len(content) > FETCH_BODY_BYTES_MAX:
        return FetchAnswered(error=f"the answer is longer than {FETCH_BODY_BYTES_MAX} bytes")
    if too_deep(content):
        return FetchAnswered(error="the answer is nested too deeply")
    try:
        body = msgspec.json.decode(content)
        numbers(body, "body")
        body = _masked(body, hidden) if hidden else body
    except (msgspec.DecodeError, UnicodeDecodeError):
        body = content.decode(errors="replace")
    except InvalidField as fault:
        return FetchAnswered(error=f"the answer {fault.detail}")
    return FetchAnswered(response.status, body)


def _hidden(secrets: Mapping[str, str]) -> list[str]:
    """Return the texts to mask, the longest first: every secret, and the credentials in it after an authentication
    scheme or the name of a cookie, which servers repeat alone. A short text is no secret: it would be masked within
    other words and numbers."""
    found = set(secrets.values()) | {value.partition(" ")[2] for value in secrets.values()}
    for name, value in secrets.items():
        if name.lower() == "cookie":
            found.update(pair.partition("=")[2].strip() for pair in value.split(";"))
    return sorted((text for text in found if len(text) >= SECRET_CHARS_MIN), key=len, reverse=True)


def _masked(value: Any, secrets: list[str]) -> Any:
    """Return a decoded value with secrets masked that were escaped otherwise than by this encoder."""
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, MASK)
        return value
    if isinstance(value, list):
        return [_masked(one, secrets) for one in value]
    if isinstance(value, dict):
        return {_masked(key, secrets): _masked(one, secrets) for key, one in value.items()}
    return value
