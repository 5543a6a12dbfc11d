"""The door for providers: one URL an account. It takes no key of ours; the provider's own signature is checked."""

from clarion.domain.limits_resilience import RECEIPT_BODY_BYTES_MAX
from clarion.feedback.worker import Feedback
from clarion.ports.receipts import ReceiptCall
from clarion.ports.web import PUBLIC, Call, Reply, Route

PATH = "/v1/receipts/{tenant}/{provider}"


def routes(feedback: Feedback, public_url: str) -> list[Route]:
    """Return the endpoints for providers; `public_url` is the origin (and path) under which they call us."""
    handlers = _Receipts(feedback, public_url)
    return [
        Route(
            "POST", PATH, handlers.post, PUBLIC, "What a provider tells of messages, signed by the provider",
            raw=True, limit_bytes=RECEIPT_BODY_BYTES_MAX, tag="receipts",
        ),
        Route(
            "GET", PATH, handlers.get, PUBLIC, "What a provider asks to set receipts up, or tells in a query",
            raw=True, limit_bytes=RECEIPT_BODY_BYTES_MAX, tag="receipts",
        ),
    ]  # fmt: skip


class _Receipts:
    def __init__(self, feedback: Feedback, public_url: str) -> None:
        self._feedback = feedback
        self._public_url = public_url

    async def post(self, call: Call) -> Reply:
        return await self._take("POST", call)

    async def get(self, call: Call) -> Reply:
        return await self._take("GET", call)

    async def _take(self, method: str, call: Call) -> Reply:
        told = ReceiptCall(method, self._public_url + call.target, call.query, call.headers, call.raw)
        echo = await self._feedback.take(call.path["tenant"], call.path["provider"], told)
        # Plain text: a vendor that answers people takes anything else for its own markup.
        return Reply(raw=echo.encode(), content_type="text/plain; charset=utf-8")
