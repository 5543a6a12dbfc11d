"""Endpoints that take notifications: one, a batch, and their cancellation."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec

from clarion.accept.admit import Admission, field_of_user, owner_of
from clarion.accept.idempotency import HEADER, REPLAYED, Once, body_hash, entry, key_of
from clarion.accept.shapes import BatchIn, BatchOut, BatchResult, CancelOut, NotificationIn, NotificationOut, ProblemOut
from clarion.accept.worker import AcceptWriter, Taken
from clarion.domain import ids
from clarion.domain.channel import CHANNELS, Lane
from clarion.domain.errors import CallerError, InvalidField, Malformed, NotFound, Overloaded, TooLarge
from clarion.domain.limits import BACKLOG_CHECK_MS, BATCH_BODY_BYTES_MAX, BODY_BYTES_MAX
from clarion.journal import topics
from clarion.journal.codec import encode
from clarion.journal.events import CancelledFrame, Request
from clarion.ports.clock import Clock
from clarion.ports.directory import Directory
from clarion.ports.journal import Append, Cancellation, Frame, IdempotencyEntry, Journal
from clarion.ports.web import Call, Reply, Route, invalid_field

_ITEM: Final = msgspec.json.Decoder(NotificationIn)
_JSON: Final = msgspec.json.Encoder()
_REPLAY: Final = msgspec.json.Decoder(BatchResult)


_WAITING: Final = (topics.GROUP_PLAN, *(topics.group_deliver(channel) for channel in CHANNELS))
"""Groups whose backlog grows with what is accepted."""


class _Prepared(NamedTuple):
    """An item of a batch that passed its own checks, with the idempotency key it holds."""

    place: int
    request: Request
    key: str | None
    digest: bytes


class Door:
    """What taking a notification needs: facts, the writer, ids and the bound on what can be held."""

    def __init__(
        self,
        journal: Journal,
        directory: Directory,
        writer: AcceptWriter,
        clock: Clock,
        known: Callable[[str, bytes], bool],
        *,
        backlog_max: int,
    ) -> None:
        self.journal = journal
        self.directory = directory
        self.writer = writer
        self.clock = clock
        self.known = known
        self.once = Once(journal)
        self._backlog_max = backlog_max
        self._backlog = 0
        self._checked_ms = -BACKLOG_CHECK_MS

    def refuse_overload(self) -> None:
        """Raise `Overloaded` when more waits to be planned or sent than can be held."""
        now_ms = self.clock.monotonic_ms()
        if now_ms - self._checked_ms >= BACKLOG_CHECK_MS:
            self._checked_ms = now_ms
            self._backlog = sum(self.journal.backlog(group) for group in _WAITING)
        if self._backlog >= self._backlog_max:
            raise Overloaded(f"{self._backlog} events wait to be planned or sent; try again", retry_after_s=1)

    def admission(self, tenant: str) -> Admission:
        """Return the checks of a tenant's request as of now: what was defined a moment ago counts."""
        self.directory.revision()
        return Admission(self.directory, tenant, self.clock.now_ms())

    def stamp(self, tenant: str, request: Request) -> Taken:
        """Give a checked request its id and place on the journal."""
        now_ms = self.clock.now_ms()
        partition = ids.partition_for(tenant, owner_of(request), self.journal.partitions)
        id_ = ids.notification_id(now_ms, partition, self.clock.entropy(ids.ENTROPY_BYTES))
        return Taken(id_, tenant, now_ms, Lane(request.lane), partition, request)


def routes(door: Door) -> list[Route]:
    """Return the endpoints of single notifications and batches."""
    handlers = _Handlers(door)
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
            handlers.batch,
            write,
            "Send up to 1,000 notifications, each accepted or refused on its own",
            body=BatchIn,
            reply=BatchOut,
            status=202,
            limit_bytes=BATCH_BODY_BYTES_MAX,
            itemwise=True,
            tag="notifications",
        ),
        Route(
            "POST",
            "/v1/notifications/{id}/cancel",
            handlers.cancel,
            write,
            "Cancel what is not on its way to a provider yet",
            reply=CancelOut,
            status=202,
            tag="notifications",
        ),
    ]


class _Handlers:
    def __init__(self, door: Door) -> None:
        self._door = door

    async def create(self, call: Call) -> Reply:
        door, tenant, body = self._door, call.caller.tenant, call.body
        key = key_of(call.headers.get(HEADER), body.idempotency_key)
        if key is None:
            taken = self._admit(tenant, body)
            await door.writer.take([taken])
            return Reply(_answer(taken), 202)
        digest = body_hash(call.raw)
        answer = door.once.begin(tenant, key, digest, door.clock.now_ms())
        if answer is not None:
            return Reply(raw=answer, status=202, headers=REPLAYED)
        try:
            taken = self._admit(tenant, body)
            answer = _JSON.encode(_answer(taken))
            await door.writer.take([taken], [entry(tenant, key, digest, answer, taken.accepted_ms)])
        finally:
            door.once.end(tenant, key)
        return Reply(raw=answer, status=202)

    def _admit(self, tenant: str, body: NotificationIn) -> Taken:
        self._door.refuse_overload()
        admission = self._door.admission(tenant)
        request = admission.notification(body)
        unknown = admission.unknown_users([request])
        if unknown:
            raise _unknown_user(request, unknown)
        return self._door.stamp(tenant, request)

    async def batch(self, call: Call) -> Reply:
        door, tenant = self._door, call.caller.tenant
        door.refuse_overload()
        key = key_of(call.headers.get(HEADER), None)
        held: list[str] = []
        if key is None:
            try:
                results, taken, entries = self._batch_items(tenant, call.body.notifications, held)
                await door.writer.take(taken, entries)
            finally:
                self._release(tenant, held)
            return Reply(BatchOut(results), 202)
        digest = body_hash(call.raw)
        answer = door.once.begin(tenant, key, digest, door.clock.now_ms())
        if answer is not None:
            return Reply(raw=answer, status=202, headers=REPLAYED)
        try:
            results, taken, entries = self._batch_items(tenant, call.body.notifications, held)
            answer = _JSON.encode(BatchOut(results))
            entries.append(entry(tenant, key, digest, answer, door.clock.now_ms()))
            await door.writer.take(taken, entries)
        finally:
            door.once.end(tenant, key)
            self._release(tenant, held)
        return Reply(raw=answer, status=202)

    def _release(self, tenant: str, held: list[str]) -> None:
        for key in held:
            self._door.once.end(tenant, key)

    def _batch_items(
        self, tenant: str, raws: list[msgspec.Raw], held: list[str]
    ) -> tuple[list[BatchResult], list[Taken], list[IdempotencyEntry]]:
        """Check every item; return a result for each and what is to be taken. Keys this request now holds go to `held`
        at once, so that they are released whatever happens next."""
        door = self._door
        admission = door.admission(tenant)
        results: list[BatchResult | None] = [None] * len(raws)
        prepared: list[_Prepared] = []
        for index, raw in enumerate(raws):
            try:
                item = self._batch_item(tenant, index, bytes(raw), admission, held)
            except CallerError as error:
                results[index] = _refusal(error)
            else:
                if isinstance(item, BatchResult):
                    results[index] = item
                else:
                    prepared.append(item)
        unknown = admission.unknown_users([item.request for item in prepared])
        taken, entries = [], []
        for item in prepared:
            if unknown and field_of_user(item.request, unknown) is not None:
                results[item.place] = _refusal(_unknown_user(item.request, unknown))
                continue
            one = door.stamp(tenant, item.request)
            taken.append(one)
            result = results[item.place] = _result(one)
            if item.key is not None:
                entries.append(entry(tenant, item.key, item.digest, _JSON.encode(result), one.accepted_ms))
        return [result for result in results if result is not None], taken, entries

    def _batch_item(
        self, tenant: str, index: int, raw: bytes, admission: Admission, held: list[str]
    ) -> _Prepared | BatchResult:
        body = _decode_item(raw)
        request = admission.notification(body)
        if body.idempotency_key is None:
            return _Prepared(index, request, None, b"")
        digest = body_hash(raw)
        answer = self._door.once.begin(tenant, body.idempotency_key, digest, self._door.clock.now_ms())
        if answer is not None:
            return msgspec.structs.replace(_REPLAY.decode(answer), replayed=True)
        held.append(body.idempotency_key)
        return _Prepared(index, request, body.idempotency_key, digest)

    async def cancel(self, call: Call) -> Reply:
        door, tenant, text = self._door, call.caller.tenant, call.path["id"]
        id_ = ids.read(ids.NOTIFICATION_PREFIX, text)
        if id_ is None or not door.known(tenant, id_):
            raise NotFound(f"unknown notification {text!r}", field="id")
        await append_cancellation(door.journal, tenant, id_, ids.partition_of(id_), door.clock.now_ms())
        return Reply(CancelOut(text, "cancelled"), 202)


async def append_cancellation(journal: Journal, tenant: str, subject: bytes, partition: int, now_ms: int) -> None:
    """Make a cancellation durable: the deliver stage reads it before every send, the record stage shows it."""
    frame = Frame(topics.OUTCOMES, partition, 1, encode(CancelledFrame([tenant], [subject], [now_ms]), 1))
    await journal.append(Append(frames=[frame], cancellations=[Cancellation(tenant, subject, now_ms)]))


def _decode_item(raw: bytes) -> NotificationIn:
    if len(raw) > BODY_BYTES_MAX:
        raise TooLarge(f"item is larger than {BODY_BYTES_MAX} bytes")
    try:
        return _ITEM.decode(raw)
    except msgspec.ValidationError as error:
        raise invalid_field(error) from None
    except (msgspec.DecodeError, RecursionError):
        raise Malformed("item is not valid JSON, or nested too deeply") from None


def _unknown_user(request: Request, unknown: set[str]) -> InvalidField:
    name = next(to.user_id for to in request.to if to.user_id in unknown)
    return InvalidField(f"unknown user {name!r}", field=field_of_user(request, unknown), code="unknown_user")


def _refusal(error: CallerError) -> BatchResult:
    return BatchResult("refused", error=ProblemOut(error.code, error.detail, error.field))


def _status(taken: Taken) -> str:
    return "accepted" if taken.request.send_at_ms is None else "scheduled"


def _when(taken: Taken) -> datetime:
    return datetime.fromtimestamp(taken.accepted_ms / 1000, UTC)


def _answer(taken: Taken) -> NotificationOut:
    return NotificationOut(ids.write(ids.NOTIFICATION_PREFIX, taken.notification_id), _status(taken), _when(taken))


def _result(taken: Taken) -> BatchResult:
    return BatchResult(_status(taken), ids.write(ids.NOTIFICATION_PREFIX, taken.notification_id), _when(taken))
