"""Responses for the fetch steps of workflows, set by a test, in place of the network."""

from typing import Any

import msgspec

from clarion.domain.errors import EgressError, Sent
from clarion.domain.message import HttpRequest, HttpResponse, SmtpReply, SmtpRequest


class Answers:
    """Implements `ports.egress.HttpEgress` without a network. `asked` lists the requests so far."""

    def __init__(self) -> None:
        self.asked: list[HttpRequest] = []
        self._by_url: dict[str, HttpResponse] = {}

    def give(self, url: str, body: Any, status: int) -> None:
        """Set the response of a URL from now on; a text is sent unchanged, any other value as JSON."""
        raw = body.encode() if isinstance(body, str) else msgspec.json.encode(body)
        self._by_url[url] = HttpResponse(status, {}, raw)

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Return the response of the URL. Raises `EgressError` when it has none."""
        self.asked.append(request)
        answer = self._by_url.get(request.url)
        if answer is None:
            raise EgressError(f"no answer was given for {request.url}", sent=Sent.NO)
        return answer

    async def close(self) -> None:
        """Nothing is open."""


class NoMail:
    """Implements `ports.egress.SmtpEgress` for an installation that sends only to sandboxes. Every call raises
    `EgressError`."""

    async def send(self, request: SmtpRequest) -> SmtpReply:
        """Raise `EgressError`."""
        raise EgressError("nothing is sent from a test", sent=Sent.NO)

    async def check(self, request: SmtpRequest) -> SmtpReply:
        """Raise `EgressError`."""
        raise EgressError("no mail server is called from a test", sent=Sent.NO)

    async def close(self) -> None:
        """Nothing is open."""
