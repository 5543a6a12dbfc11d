"""Endpoints that accept notifications, one or a batch, and cancel them."""

from typing import Final

import msgspec

from clarion.accept.admit import parse_body
from clarion.accept.intake import Intake
from clarion.accept.intake_lifecycle import Lifecycle
from clarion.accept.shapes import BatchIn, BatchOut, NotificationIn, NotificationOut
from clarion.accept.submissions import Batch, Item, digest_of
from clarion.domain.depth import too_deep
from clarion.domain.errors import Malformed, TooLarge
from clarion.domain.json_values import check_values
from clarion.domain.limits import (
    BATCH_BODY_BYTES_MAX,
    BATCH_VALUES_MAX,
    BODY_BYTES_MAX,
    BODY_VALUES_MAX,
    ITEM_DEPTH_MAX,
)
from clarion.domain.limits_processes import LOOP_BATCH_BYTES_MAX
from clarion.ports.web import Call, Reply, Route, invalid_field
from clarion.runtime.slices import each
from clarion.ways_in.http import routes_cancel
from clarion.ways_in.http.routes_once import answer, key_of

_ITEM: Final = msgspec.json.Decoder(NotificationIn)
_ITEM_KEY: Final = b'"idempotency_key"'

_UNREADABLE: Final = "item is not valid JSON, or nested too deeply"


def routes(intake: Intake, lifecycle: Lifecycle) -> list[Route]:
    """Return the endpoints of single notifications and batches."""
    handlers = _Handlers(intake)
    return [
        Route(
            "POST",
            "/v1/notifications",
            handlers.create,
            "notifications:send",
            "Send a notification",
            body=NotificationIn,
            reply=NotificationOut,
            status=202,
            tag="notifications",
            idempotency_key=True,
        ),
        Route(
            "POST",
            "/v1/notifications/batch",
            handlers.create_many,
            "notifications:send",
            "Send up to 1,000 notifications, each accepted or refused on its own",
            body=BatchIn,
            reply=BatchOut,
            status=202,
            limit_bytes=BATCH_BODY_BYTES_MAX,
            values_max=BATCH_VALUES_MAX,
            itemwise=True,
            tag="notifications",
            idempotency_key=True,
        ),
        *routes_cancel.routes(lifecycle),
    ]


class _Handlers:
    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def create(self, call: Call) -> Reply:
        return answer(
            await self._intake.submit(
                call.caller, call.body, key_of(call, call.body.idempotency_key), may_wait_ms=call.may_wait_ms
            )
        )

    async def create_many(self, call: Call) -> Reply:
        """Accept a batch. An idempotency key in the header covers it as a whole."""
        key = key_of(call, None)
        if key is None and _ITEM_KEY not in call.raw:
            self._intake.refuse_exhausted(call.caller)
        large = len(call.raw) > LOOP_BATCH_BYTES_MAX
        items = await each(_item, call.body.notifications, in_thread=large)
        return answer(await self._intake.submit(call.caller, Batch(items, large), key, may_wait_ms=call.may_wait_ms))


def _item(text: msgspec.Raw) -> Item:
    raw = bytes(text)
    if len(raw) > BODY_BYTES_MAX:
        return Item(None, TooLarge(f"item is larger than {BODY_BYTES_MAX} bytes"))
    if too_deep(raw, ITEM_DEPTH_MAX):
        return Item(None, Malformed(_UNREADABLE))
    try:
        check_values(raw, BODY_VALUES_MAX, "item")
        body = _ITEM.decode(raw)
    except TooLarge as refusal:
        return Item(None, refusal)
    except msgspec.ValidationError as error:
        return Item(None, invalid_field(error))
    except (msgspec.DecodeError, RecursionError):
        return Item(None, Malformed(_UNREADABLE))
    return Item(parse_body(body), digest=b"" if body.idempotency_key is None else digest_of(raw))
