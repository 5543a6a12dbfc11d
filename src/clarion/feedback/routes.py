"""The receipt endpoints: one URL per account, without an API key; the provider's own signature is checked."""

from clarion.domain.limits_delivery import RECEIPT_BODY_BYTES_MAX, RECEIPT_VALUES_MAX
from clarion.domain.permissions import PUBLIC
from clarion.feedback.worker import Feedback
from clarion.ports.receipts import ReceiptCall
from clarion.ports.web import Call, Reply, Route

PATH = "/v1/receipts/{tenant}/{provider}"


def routes(feedback: Feedback, public_url: str) -> list[Route]:
    """Return the endpoints for providers; `public_url` is the origin (and path) under which providers reach this
    installation."""
    handlers = _Receipts(feedback, public_url)
    return [
        Route(
            "POST", PATH, handlers.post, PUBLIC, "Delivery receipts and inbound messages, signed by the provider",
            raw=True, limit_bytes=RECEIPT_BODY_BYTES_MAX, values_max=RECEIPT_VALUES_MAX, tag="receipts", proves=True,
        ),
        Route(
            "GET", PATH, handlers.get, PUBLIC, "A provider's handshake, or receipts in a query",
            raw=True, limit_bytes=RECEIPT_BODY_BYTES_MAX, values_max=RECEIPT_VALUES_MAX, tag="receipts", proves=True,
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
        parsed = ReceiptCall(method, self._public_url + call.target, call.query, call.headers, call.raw)
        echo = await self._feedback.receive(call.path["tenant"], call.path["provider"], parsed)
        # Plain text: a vendor that replies to the sender of a message parses any other type as its own markup.
        return Reply(raw=echo.encode(), content_type="text/plain; charset=utf-8")
