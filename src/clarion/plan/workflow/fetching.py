"""Calls of fetch steps: the request a step comes to, and what its answer means."""

from typing import Final

import msgspec

from clarion.domain.channel import Lane
from clarion.domain.depth import too_deep
from clarion.domain.duration import duration_ms
from clarion.domain.errors import InvalidField
from clarion.domain.ids import INSTANCE_PREFIX, write
from clarion.domain.json_numbers import numbers
from clarion.domain.limits_deciding import FETCH_BODY_BYTES_MAX
from clarion.domain.message import HttpRequest, HttpResponse
from clarion.plan.rules.workflow.state import Answered, Call

_JSON: Final = msgspec.json.Encoder()
_TRY_AGAIN: Final = frozenset({408, 425, 429})
"""Statuses below 500 that say nothing about the request itself (RFC 9110, 8470, 6585)."""


class FetchJob(msgspec.Struct, frozen=True):
    """One call to make before `deadline_ms` (Unix ms); its answer is for the instance's wait `seq`."""

    instance_id: bytes
    tenant: str
    lane: Lane
    partition: int
    seq: int
    deadline_ms: int
    request: HttpRequest


def request_of(instance_id: bytes, call: Call) -> HttpRequest:
    """Return the HTTP request of a call. A call that is repeated after a crash carries the same `Idempotency-Key`."""
    step = call.step
    body = b"" if call.body is None else _JSON.encode(call.body)
    headers = {"accept": "application/json", "idempotency-key": f"{write(INSTANCE_PREFIX, instance_id)}:{step.name}"}
    if body:
        headers["content-type"] = "application/json"
    headers.update({name.lower(): value for name, value in call.headers.items()})
    return HttpRequest(step.method, call.url, headers, body, duration_ms(step.timeout))


def answer_of(response: HttpResponse) -> Answered:
    """Return what a response means to the step: any final status is an answer, an overloaded or broken server is none.
    JSON becomes values, everything else text."""
    if response.status >= 500 or response.status in _TRY_AGAIN:
        return Answered(error=f"status {response.status}")
    if len(response.body) > FETCH_BODY_BYTES_MAX:
        return Answered(error=f"the answer is longer than {FETCH_BODY_BYTES_MAX} bytes")
    if too_deep(response.body):
        return Answered(error="the answer is nested too deeply")
    try:
        body = msgspec.json.decode(response.body)
        numbers(body, "body")
    except (msgspec.DecodeError, UnicodeDecodeError):
        body = response.body.decode(errors="replace")
    except InvalidField as fault:
        return Answered(error=f"the answer {fault.detail}")
    return Answered(response.status, body)
