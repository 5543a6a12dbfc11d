"""Messages that are ready at the same time share a call, where the vendor takes several.

The first message of an idle account leaves in the loop's next pass, together with those that became ready in this one.
While a call is under way, further messages gather until it is answered, for `BATCH_LINGER_MS` at most.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import cast

from clarion.domain.content import Account
from clarion.domain.errors import EgressError
from clarion.domain.limits_delivery import BATCH_CHARS_MAX, BATCH_LINGER_MS, BATCH_MESSAGE_CHARS, BATCH_ROUNDS_MAX
from clarion.domain.masking import mask_secrets, secrets_of
from clarion.domain.message import HttpRequest, Message
from clarion.domain.outcome import Ambiguous, Outcome
from clarion.ports.clock import Clock
from clarion.ports.egress import HttpEgress
from clarion.ports.telemetry import Telemetry
from clarion.ports.vendor import BatchVendor, Vendor

Call = Callable[[Vendor, Message, Account, str | None], Awaitable[Outcome]]
"""Sends one message in a call of its own."""

_Key = tuple[str, str, str, int, str | None, str]


class _Waiter:
    """A message and the future of its answer: an outcome, an error to raise, or None for a message that needs its own
    call."""

    def __init__(self, message: Message) -> None:
        self.message = message
        self.chars = BATCH_MESSAGE_CHARS + sum(len(part) for part in message.parts.values() if isinstance(part, str))
        self.answer: asyncio.Future[Outcome | EgressError | None] = asyncio.get_running_loop().create_future()
        self.send_single = False

    def resolve(self, answer: Outcome | EgressError | None) -> None:
        """Set the answer, unless the waiter was cancelled."""
        if not self.answer.done():
            self.answer.set_result(answer)


class _Group:
    """Messages of one account and key, which may share a call. `timer` is set while messages wait to be taken."""

    def __init__(self, key: _Key, vendor: BatchVendor, account: Account, token: str | None) -> None:
        self.key = key
        self.vendor = vendor
        self.account = account
        self.token = token
        self.waiting: deque[_Waiter] = deque()
        self.chars = 0
        self.under_way = 0
        self.timer: asyncio.Handle | None = None


class Batches:
    """Collects messages into calls, for every account of one process."""

    def __init__(self, http: HttpEgress, clock: Clock, telemetry: Telemetry) -> None:
        self._http = http
        self._clock = clock
        self._telemetry = telemetry
        self._groups: dict[_Key, _Group] = {}
        self._calls: set[asyncio.Task[None]] = set()

    async def send(
        self,
        vendor: Vendor,
        message: Message,
        account: Account,
        token: str | None,
        call: Call,
        *,
        urgent: bool = False,
    ) -> Outcome:
        """Return the outcome of a message, sent in a shared call or by `call`. An urgent message never waits for other
        messages.

        Raises `EgressError` as `call` does. Cancelling it leaves the other messages of its call alone.
        """
        shares = not urgent and vendor.TRAITS.batch_max > 1
        what = cast(BatchVendor, vendor).batch_key(message, account) if shares else None
        if what is None:
            return await call(vendor, message, account, token)
        group = self._group(cast(BatchVendor, vendor), account, token, what)
        waiter = _Waiter(message)
        group.waiting.append(waiter)
        group.chars += waiter.chars
        self._schedule(group)
        try:
            answer = await waiter.answer
            if isinstance(answer, EgressError):
                raise answer
            return await call(vendor, message, account, token) if answer is None else answer
        finally:
            if waiter.send_single:
                self._end_call(group)

    def _group(self, vendor: BatchVendor, account: Account, token: str | None, what: str) -> _Group:
        key = (account.tenant, account.channel.value, account.name, account.version, token, what)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(key, vendor, account, token)
        group.account = account  # its secrets may have been rotated since the group began
        return group

    def _schedule(self, group: _Group) -> None:
        """Schedule the call of waiting messages: now when they fill a call, else soon."""
        if len(group.waiting) >= group.vendor.TRAITS.batch_max or group.chars >= BATCH_CHARS_MAX:
            self._take(group)
        elif group.timer is None:
            loop = asyncio.get_running_loop()
            if group.under_way:
                group.timer = loop.call_later(BATCH_LINGER_MS / 1000, self._take, group)
            else:
                group.timer = loop.call_soon(self._take, group)

    def _take(self, group: _Group) -> None:
        """Start calls for all waiting messages."""
        if group.timer is not None:
            group.timer.cancel()
            group.timer = None
        waiting, group.waiting, group.chars = group.waiting, deque(), 0
        while waiting:
            self._start(group, _take_fitting(waiting, group.vendor.TRAITS.batch_max))
        self._close(group)

    def _start(self, group: _Group, waiters: list[_Waiter]) -> None:
        if len(waiters) < 2:
            _send_singly(group, waiters)
            return
        group.under_way += 1
        task = asyncio.create_task(self._share(group, waiters))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _share(self, group: _Group, waiters: list[_Waiter]) -> None:
        """Send messages in one call; repeat without those that the vendor's response names, as long as it names
        some."""
        try:
            left = waiters
            for _ in range(BATCH_ROUNDS_MAX):
                before = len(left)
                left = [waiter for waiter in await self._make_call(group, left) if not waiter.answer.done()]
                if len(left) < 2 or len(left) == before:
                    break
            _send_singly(group, left)
        finally:
            for waiter in waiters:
                if not waiter.send_single:
                    waiter.answer.cancel()  # does nothing if it is resolved
            self._end_call(group)

    async def _make_call(self, group: _Group, waiters: list[_Waiter]) -> list[_Waiter]:
        """Make one call, resolve the waiters it has an answer for, and return the rest: those were certainly not
        sent."""
        messages = [waiter.message for waiter in waiters]
        request = self._build_call(group, messages)
        if request is None:
            return waiters
        try:
            outcomes = await self._read_answer(group, request, messages)
        except EgressError as error:
            for waiter in waiters:
                waiter.resolve(EgressError(error.detail, sent=error.sent, blocked=error.blocked))
            return []
        if outcomes is None:
            return waiters
        for waiter, outcome in zip(waiters, outcomes, strict=True):
            if outcome is not None:
                waiter.resolve(outcome)
        return [waiter for waiter, outcome in zip(waiters, outcomes, strict=True) if outcome is None]

    def _build_call(self, group: _Group, messages: list[Message]) -> HttpRequest | None:
        """Return the call, or None when one of the messages cannot be built: their single calls show which."""
        now_ms = self._clock.now_ms()
        try:
            return group.vendor.build_batch(messages, group.account, now_ms=now_ms, token=group.token)
        except ValueError:
            return None
        except Exception as error:  # noqa: BLE001 - a vendor's bug in its batches must not stop its messages
            self._log(group, "batch_build_crashed", error)
            return None

    async def _read_answer(
        self, group: _Group, request: HttpRequest, messages: list[Message]
    ) -> list[Outcome | None] | None:
        """Return the outcome of each message by the vendor's response, or None when none was sent. An unreadable
        response makes all of them ambiguous."""
        try:
            response = await self._http.send(request)
            now_ms = self._clock.now_ms()
            outcomes = group.vendor.read_batch(response, messages, group.account, now_ms=now_ms)
        except EgressError:
            raise
        except Exception as error:  # noqa: BLE001 - a vendor's bug must cost these deliveries, not the partition
            self._log(group, "batch_crashed", error)
            return [Ambiguous(f"internal error: {type(error).__name__}")] * len(messages)
        if outcomes is None or len(outcomes) == len(messages):
            return outcomes
        vendor = group.account.vendor
        self._telemetry.log("error", "batch_miscounted", vendor=vendor, sent=len(messages), reported=len(outcomes))
        words = f"HTTP {response.status}: {len(outcomes)} results for {len(messages)} messages"
        return [Ambiguous(words)] * len(messages)

    def _log(self, group: _Group, event: str, error: Exception) -> None:
        words = mask_secrets(repr(error), secrets_of(group.account.credentials, group.token))
        self._telemetry.log("error", event, vendor=group.account.vendor, error=words)

    def _end_call(self, group: _Group) -> None:
        """Note the end of a call; messages gathered meanwhile go out now."""
        group.under_way -= 1
        if not group.under_way and group.waiting:
            self._take(group)
        self._close(group)

    def _close(self, group: _Group) -> None:
        if not group.under_way and not group.waiting:
            self._groups.pop(group.key, None)


def _take_fitting(waiting: deque[_Waiter], most: int) -> list[_Waiter]:
    """Remove and return the first waiters that fit into one call: by number, size, and each address once. Cancelled
    ones are skipped; at least one is returned if any is left."""
    taken: list[_Waiter] = []
    addresses: set[str] = set()
    chars = 0
    while waiting and len(taken) < most:
        waiter = waiting[0]
        address = waiter.message.address.casefold()
        if taken and (address in addresses or chars + waiter.chars > BATCH_CHARS_MAX):
            break
        waiting.popleft()
        if not waiter.answer.done():
            taken.append(waiter)
            addresses.add(address)
            chars += waiter.chars
    return taken


def _send_singly(group: _Group, waiters: list[_Waiter]) -> None:
    """Let each waiter make its own call. Each is under way from now on, even before its task runs."""
    for waiter in waiters:
        if not waiter.answer.done():
            waiter.send_single = True
            group.under_way += 1
            waiter.resolve(None)
