"""A feed in memory, for the hub and what stands on it."""

import asyncio

from clarion.domain.errors import StoreUnavailable
from clarion.domain.inbox import Position
from clarion.gateway.hub import News, Step
from clarion.gateway.messages import opened_as

EPOCH = b"epoch-01"
ADA, BEN = ("acme", "ada"), ("acme", "ben")


class Log:
    """A feed: items of users and of all, in two sequences."""

    def __init__(self):
        self.own, self.shared, self.forgotten = {ADA: [], BEN: []}, [], []
        self.kept = 10_000
        self.fails = 0
        self.calls = []

    def now(self, user):
        return Position(EPOCH, len(self.own[user]), len(self.shared))

    async def since(self, users, joining):
        await asyncio.sleep(0)
        if self.fails:
            self.fails -= 1
            raise StoreUnavailable("away")
        self.calls.append(dict(users))
        return {
            user: self._news(user, seen) for user, seen in users.items() if user in joining or seen != self.now(user)
        }

    async def positions(self, users):
        if self.fails:
            self.fails -= 1
            raise StoreUnavailable("away")
        return [self.now(user) for user in users]

    def _news(self, user, seen):
        now, counts = self.now(user), opened_as("counts", total=0)
        if seen is None or seen.epoch != EPOCH or seen.own > now.own or seen.shared > now.shared:
            return News(now, None, counts)
        steps = [Step(0, n, opened_as("item", id=self.shared[n - 1])) for n in range(seen.shared + 1, now.shared + 1)]
        steps += [Step(n, 0, opened_as("item", id=self.own[user][n - 1])) for n in range(seen.own + 1, now.own + 1)]
        return News(now, steps if len(steps) <= self.kept else None, counts)

    def shown(self, user, position):
        return f"{position.epoch.decode()}.{position.own}.{position.shared}"

    def forget(self, user):
        self.forgotten.append(user)


def read(text):
    epoch, own, shared = text.rsplit(".", 2)
    return Position(epoch.encode(), int(own), int(shared))
