"""Who is connected, and the loop that brings each client what is new.

All reading is done by one loop, a batch of users at a time, so that the steps of a user reach each of its clients in order and
once. A client that joins is read for together with the others of its user: from the oldest position among them, and each gets
what lies after its own.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple, Protocol

from clarion.domain.errors import Overloaded, StoreUnavailable
from clarion.domain.inbox import ChangedInboxes, Position, tenant_bucket, user_bucket
from clarion.domain.limits_gateway import (
    BATCH_USERS_MAX,
    CHECKED_USERS_MAX,
    JOINING_USERS_MAX,
    JOINS_MAX,
    ROUND_MS,
    SOCKETS_PER_TENANT_MAX,
    SOCKETS_PER_USER_MAX,
    TIMED_CHECK_MS,
)
from clarion.gateway.client import Client
from clarion.gateway.credentials import Credentials
from clarion.gateway.messages import RELOAD, closed, welcome
from clarion.ports.telemetry import Telemetry

User = tuple[str, str]
"""Tenant and user id."""
RETRY_S = 1.0


class Step(NamedTuple):
    """An item that arrived: the number of the sequence that it is a step of, 0 for the other one, and the frame that clients are
    sent, open at its end for the position that it brings them to."""

    own: int
    shared: int
    frame: bytes


class News(NamedTuple):
    """What lies between two positions of a user, as open frames: items that arrived, in order, `states` of items as they are now,
    and the counts now. `steps` is None when they cannot be told any more: the client has to reload.

    `by_time` says that something has changed although the position is the same. States come first, with the position before:
    a client that is cut between them gets them again, which changes nothing.
    """

    position: Position
    steps: Sequence[Step] | None
    counts: bytes
    states: Sequence[bytes] = ()
    by_time: bool = False


class Feed(Protocol):
    """Reads what is new."""

    async def since(self, users: Mapping[User, Position | None], joining: Collection[User]) -> Mapping[User, News]:
        """Return what lies after the positions of users; None: nothing is asked but where the user stands. Of users who are not
        joining, those for whom nothing is new are left out. Raises `StoreUnavailable` when the store does not answer."""
        ...

    async def positions(self, users: Sequence[User]) -> Sequence[Position]:
        """Return where users stand. Raises `StoreUnavailable`."""
        ...

    def due(self) -> Sequence[User]:
        """Return the users in whose inbox something has changed by itself since it was read."""
        ...

    def shown(self, user: User, position: Position) -> str:
        """Return a position as clients of a user get it."""
        ...

    def forget(self, user: User) -> None:
        """Forget what is kept of a user who is not connected any more."""
        ...


class Hub:
    """The clients of one gateway. Belongs to one event loop."""

    def __init__(self, feed: Feed, telemetry: Telemetry) -> None:
        self._feed = feed
        self._telemetry = telemetry
        self.credentials = Credentials()
        self._users: dict[User, set[Client]] = {}
        self._tenants: dict[str, int] = {}
        self._buckets: dict[int, set[User]] = {}
        self._joining: dict[Client, Position | None] = {}
        self._changed: set[User] = set()
        self._to_check: dict[User, None] = {}
        """Users for whom something may be new although nothing says so, in the order in which they are looked at."""
        self._follow: Callable[[User], None] = lambda _user: None
        self._awake = asyncio.Event()
        self._joined = Counter[str]()
        self._frames = 0
        """What was done since it was counted."""

    def __len__(self) -> int:
        return sum(self._tenants.values())

    @property
    def users(self) -> Iterable[User]:
        """The users who are connected."""
        return self._users.keys()

    @property
    def tenants(self) -> list[str]:
        """The tenants of whom someone is connected."""
        return list(self._tenants)

    @property
    def clients(self) -> Iterator[Client]:
        """All clients that have joined or are joining."""
        return (client for own in self._users.values() for client in own)

    def of(self, user: User) -> Sequence[Client]:
        """Return the clients of a user."""
        return tuple(self._users.get(user, ()))

    def follow(self, changed: Callable[[User], None]) -> None:
        """Call `changed` with each user who connects or leaves from now on."""
        self._follow = changed

    def join(self, client: Client, seen: Position | None) -> None:
        """Add a client that has seen everything up to a position, None for one that begins. Raises `Overloaded` when its
        user or tenant has too many."""
        user = client.tenant, client.user_id
        own = self._users.get(user, set())
        if len(own) >= SOCKETS_PER_USER_MAX or self._tenants.get(client.tenant, 0) >= SOCKETS_PER_TENANT_MAX:
            raise Overloaded("there are too many connections", retry_after_s=60, code="too_many_connections")
        if len(self._joining) >= JOINS_MAX:
            raise Overloaded("too many clients are joining", retry_after_s=5, code="too_many_connections")
        if not own:
            self._buckets.setdefault(user_bucket(*user), set()).add(user)
        own.add(client)
        self.credentials.add(client)
        self._users[user] = own
        self._tenants[client.tenant] = self._tenants.get(client.tenant, 0) + 1
        self._joining[client] = seen
        self._follow(user)
        self._awake.set()

    def leave(self, client: Client) -> None:
        """Forget a client."""
        self._joining.pop(client, None)
        user = client.tenant, client.user_id
        own = self._users.get(user)
        if own is None or client not in own:
            return
        own.remove(client)
        self.credentials.discard(client)
        if not own:
            self._forget(user)
        self._follow(user)
        self._tenants[client.tenant] -= 1
        if not self._tenants[client.tenant]:
            del self._tenants[client.tenant]

    def _forget(self, user: User) -> None:
        del self._users[user]
        self._changed.discard(user)
        self._to_check.pop(user, None)
        bucket = user_bucket(*user)
        self._buckets[bucket].discard(user)
        if not self._buckets[bucket]:
            del self._buckets[bucket]
        self._feed.forget(user)

    def changed(self, users: Iterable[User]) -> None:
        """Record that something may be new for users; those who are not connected are left out."""
        self._changed.update(user for user in users if user in self._users)
        if self._changed:
            self._awake.set()

    def changed_for_all(self) -> None:
        """Record that something may be new for all users. They are looked at a few at a time, behind those of whom it is known."""
        self._to_check.update(dict.fromkeys(self._users))
        self._awake.set()

    def changed_in(self, buckets: ChangedInboxes) -> None:
        """Record that something may be new for the users in some buckets."""
        found = {user for bucket in buckets.users for user in self._buckets.get(bucket, ())}
        if buckets.tenants:
            tenants = {tenant for tenant in self._tenants if tenant_bucket(tenant) in buckets.tenants}
            found.update(user for user in self._users if user[0] in tenants)
        self.changed(found)

    async def run(self) -> None:
        """Serve clients until the task is cancelled. While the store does not answer, they wait."""
        while True:
            await self._awake.wait()
            self._awake.clear()
            try:
                await self._serve()
            except StoreUnavailable as error:
                self._telemetry.log("warning", "gateway_waits_for_store", error=str(error))
            except Exception as error:  # noqa: BLE001 - nobody would hear anything again
                self._telemetry.log("error", "gateway_read_failed", error=repr(error))
            else:
                continue
            await asyncio.sleep(RETRY_S)
            self._awake.set()

    async def keep_time(self) -> None:
        """Look for inboxes that change by themselves, until the task is cancelled."""
        while True:
            await asyncio.sleep(TIMED_CHECK_MS / 1000)
            self.changed(self._feed.due())

    async def _serve(self) -> None:
        while self._joining or self._changed or self._to_check:
            began_s = asyncio.get_running_loop().time()
            await self._check()
            joining, others = self._batch()
            asked, present = dict[User, Position | None](), dict[User, tuple[Client, ...]]()
            for user in (*joining, *others):
                # Who joins meanwhile may have been away for longer than what is read: it is read for in the next round.
                present[user] = own = tuple(self._users[user])
                asked[user] = self._oldest(own)
            self._changed.difference_update(asked)
            try:
                found = await self._feed.since(asked, joining)
            except BaseException:
                self.changed(asked)
                raise
            finally:
                # Not a difference of sets, which would go through all users who are connected.
                for user in asked:
                    if user not in self._users:  # left meanwhile
                        self._feed.forget(user)
            ready = list[tuple[Client, list[bytes]]]()
            for user, news in found.items():
                here = self._users.get(user, ())
                for client in present[user]:
                    if client in here and (frames := self._bring(client, news, asked[user])):
                        ready.append((client, frames))
            for client, frames in ready:  # calls of the system in a row
                client.send(frames)
            # Users whose news come within a moment share the next round.
            await asyncio.sleep(max(0, began_s + ROUND_MS / 1000 - asyncio.get_running_loop().time()))

    def count(self) -> None:
        """Count what was done since the last call."""
        self._telemetry.count("gateway_frames", self._frames)
        for recovered, number in self._joined.items():
            self._telemetry.count("gateway_joins", number, recovered=recovered)
        self._frames = 0
        self._joined.clear()

    def _batch(self) -> tuple[set[User], set[User]]:
        """Return whom to read for: users with clients that join, and others."""
        joining = {(one.tenant, one.user_id) for one in islice(self._joining, JOINING_USERS_MAX)}
        return joining, set(islice(self._changed, BATCH_USERS_MAX - len(joining))) - joining

    async def _check(self) -> None:
        """Look at some users of whom nothing says that anything is new."""
        if self._to_check:
            users = list(islice(self._to_check, CHECKED_USERS_MAX))
            places = await self._feed.positions(users)
            for user, place in zip(users, places, strict=True):
                self._to_check.pop(user, None)
                for client in self._users.get(user, ()):
                    if client.position != place:
                        self._changed.add(user)

    def _oldest(self, clients: Sequence[Client]) -> Position | None:
        """Return the position before which none of a user's clients asks for anything; None when they only begin."""
        if len(clients) == 1:
            return self._joining.get(clients[0], clients[0].position)
        asked = [self._joining.get(client, client.position) for client in clients]
        known = [position for position in asked if position is not None]
        if not known:
            return None
        epoch = known[0].epoch
        same = [position for position in known if position.epoch == epoch]
        return Position(epoch, min(one.own for one in same), min(one.shared for one in same))

    def _bring(self, client: Client, news: News, asked: Position | None) -> list[bytes]:
        """Return what a client is sent to be where its user is, and record that it is there."""
        joins = client in self._joining
        seen = self._joining.pop(client) if joins else client.position
        if not joins and (seen is None or (seen == news.position and not news.by_time)):
            return []
        user = client.tenant, client.user_id
        missed = None if seen is None else after(seen, news, asked)
        frames, now = list[bytes](), self._feed.shown(user, news.position)
        if joins:
            at = now if seen is None else None if missed is None else self._feed.shown(user, seen)
            frames.append(welcome(at, recovered=missed is not None))
            self._joined["new" if seen is None else "no" if missed is None else "yes"] += 1
        if missed is None and seen is not None:
            frames.append(closed(RELOAD, now))
        elif missed is not None and seen is not None:
            frames += [closed(frame, self._feed.shown(user, seen)) for frame in news.states]
        for step in missed or ():
            seen = _stepped(seen or news.position, step)
            at = now if seen == news.position else self._feed.shown(user, seen)
            frames.append(closed(step.frame, at))
        client.position = news.position
        frames.append(closed(news.counts, now))
        self._frames += len(frames)
        return frames

    def drain(self) -> int:
        """Ask all clients to leave, and return how many there were."""
        leaving = list(self.clients)
        for client in leaving:
            self.leave(client)
            client.drain()
        return len(leaving)


def after(seen: Position, news: News, asked: Position | None) -> list[Step] | None:
    """Return the steps that a client has not seen, None when they are not all there. `asked` is from where they were read."""
    if news.steps is None or asked is None or seen.epoch != news.position.epoch:
        return None
    if seen.own < asked.own or seen.shared < asked.shared:
        return None
    return [step for step in news.steps if step.own > seen.own or step.shared > seen.shared]


def _stepped(seen: Position, step: Step) -> Position:
    return Position(seen.epoch, max(seen.own, step.own), max(seen.shared, step.shared))
