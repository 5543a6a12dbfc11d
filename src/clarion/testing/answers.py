"""The world outside, as a test describes it: what URLs answer to the fetch steps of workflows."""

from typing import Any

import msgspec

from clarion.domain.errors import EgressError, Sent
from clarion.domain.message import HttpRequest, HttpResponse, SmtpReply, SmtpRequest


class Answers:
    """Implements `ports.egress.HttpEgress` without a network. `asked` are the requests made so far."""

    def __init__(self) -> None:
        self.asked: list[HttpRequest] = []
        self._by_url: dict[str, HttpResponse] = {}

    def give(self, url: str, body: Any, status: int) -> None:
        """Answer calls of a URL from now on; a text is sent as it is, everything else as JSON."""
        raw = body.encode() if isinstance(body, str) else msgspec.json.encode(body)
        self._by_url[url] = HttpResponse(status, {}, raw)

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Return the answer of the URL. Raises `EgressError` for one that has none."""
        self.asked.append(request)
        answer = self._by_url.get(request.url)
        if answer is None:
            raise EgressError(f"no answer was given for {request.url}", sent=Sent.NO)
        return answer

    async def close(self) -> None:
        """Nothing is open."""


class NoMail:
    """Implements `ports.egress.SmtpEgress` for an installation that sends to sandboxes alone."""

    async def send(self, request: SmtpRequest) -> SmtpReply:
        """Raise `EgressError`."""
        raise EgressError("nothing is sent from a test", sent=Sent.NO)

    async def check(self, request: SmtpRequest) -> SmtpReply:
        """Raise `EgressError`."""
        raise EgressError("no mail server is called from a test", sent=Sent.NO)

    async def close(self) -> None:
        """Nothing is open."""
