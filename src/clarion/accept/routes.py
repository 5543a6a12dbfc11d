"""Endpoints that take notifications: one, a batch, and their cancellation."""

from collections.abc import Sequence
from typing import Final

import msgspec

from clarion.accept import routes_cancel
from clarion.accept.intake import Intake
from clarion.accept.intake_apart import apart
from clarion.accept.intake_steering import Steering
from clarion.accept.routes_once import answer, key_of
from clarion.accept.shapes import BatchIn, BatchOut, NotificationIn, NotificationOut
from clarion.accept.submissions import Batch, Item, digest_of
from clarion.domain.errors import Malformed, TooLarge
from clarion.domain.limits import BATCH_BODY_BYTES_MAX, BODY_BYTES_MAX, LOOP_BATCH_BYTES_MAX
from clarion.ports.web import Call, Reply, Route, invalid_field

_ITEM: Final = msgspec.json.Decoder(NotificationIn)


def routes(intake: Intake, steering: Steering) -> list[Route]:
    """Return the endpoints of single notifications and batches."""
    handlers = _Handlers(intake)
    write = "notifications:write"
    return [
        Route(
            "POST",
            "/v1/notifications",
            handlers.create,
            write,
            "Send a notification",
            body=NotificationIn,
            reply=NotificationOut,
            status=202,
            tag="notifications",
        ),
        Route(
            "POST",
            "/v1/notifications/batch",
            handlers.create_many,
            write,
            "Send up to 1,000 notifications, each accepted or refused on its own",
            body=BatchIn,
            reply=BatchOut,
            status=202,
            limit_bytes=BATCH_BODY_BYTES_MAX,
            itemwise=True,
            tag="notifications",
        ),
        *routes_cancel.routes(steering),
    ]


class _Handlers:
    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def create(self, call: Call) -> Reply:
        return answer(await self._intake.submit(call.caller, call.body, key_of(call, call.body.idempotency_key)))

    async def create_many(self, call: Call) -> Reply:
        """Take a batch; a key of its own in the header covers it as a whole."""
        key = key_of(call, None)
        large = len(call.raw) > LOOP_BATCH_BYTES_MAX
        items = await apart(large, _items, call.body.notifications)
        return answer(await self._intake.submit(call.caller, Batch(items, large), key))


def _items(raws: Sequence[msgspec.Raw]) -> list[Item]:
    return [_item(bytes(raw)) for raw in raws]


def _item(raw: bytes) -> Item:
    if len(raw) > BODY_BYTES_MAX:
        return Item(None, TooLarge(f"item is larger than {BODY_BYTES_MAX} bytes"))
    try:
        body = _ITEM.decode(raw)
    except msgspec.ValidationError as error:
        return Item(None, invalid_field(error))
    except (msgspec.DecodeError, RecursionError):
        return Item(None, Malformed("item is not valid JSON, or nested too deeply"))
    return Item(body, digest=b"" if body.idempotency_key is None else digest_of(raw))
