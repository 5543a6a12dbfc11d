"""What the product says through its public API, once it has come to rest."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from clarion.app.commands.remote import Refused, Remote, Unreachable
from clarion_lab.chaos.oracle import TERMINAL, Account
from clarion_lab.chaos.store import ENDING

POLL_S: Final = 0.5
BROADCAST: Final = "brd_"
OPEN: Final = frozenset({"accepted", "scheduled", "in_progress"})
"""Statuses of a notification that is still at it."""


class Observed(msgspec.Struct, frozen=True):
    """`accounts` of every delivery, `listed` the notifications the API lists (broadcasts have no list), `inbox` the
    in-app deliveries that people can read, `instances` the workflow instances by notification."""

    accounts: list[Account]
    listed: list[str]
    inbox: frozenset[str]
    instances: dict[str, list[dict[str, Any]]]


class Observer:
    """Looks at everything a client was told of, and at everything the API lists."""

    def __init__(self, client: Remote, owed: dict[str, int]) -> None:
        self._client = client
        self._owed = owed
        self._broadcasts = [id_ for id_ in owed if id_.startswith(BROADCAST)]

    def drain(self, timeout_s: float) -> bool:
        """Wait until nothing is open; return False when that was not so in time, which the oracle will then show."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            try:
                if self._rests():
                    return True
            except (Refused, Unreachable):
                pass
            time.sleep(POLL_S)
        return False

    def observe(self, users: Iterable[str]) -> Observed:
        """Return what the API says now. `users` are those whose inboxes are looked at."""
        listed = [item["id"] for item in self._client.pages("/v1/notifications")]
        told = {bare(id_): self._client.get(f"/v1/notifications/{id_}") for id_ in listed}
        accounts = [account for notification in told.values() for account in accounts_of(notification)]
        for id_ in self._broadcasts:
            accounts += map(account_of, self._client.pages(f"/v1/broadcasts/{id_}/deliveries"))
        instances = {id_: notification.get("instances", []) for id_, notification in told.items()}
        return Observed(accounts, list(told), frozenset(self._inbox(users)), instances)

    def _rests(self) -> bool:
        """Return whether every acknowledged notification has all its deliveries, and all of those are at their end."""
        for id_ in self._broadcasts:
            states = self._client.get(f"/v1/broadcasts/{id_}")["states"]
            if sum(states.values()) < self._owed[id_] or any(states[state] for state in states.keys() - TERMINAL):
                return False
        missing = {id_: owed for id_, owed in self._owed.items() if not id_.startswith(BROADCAST)}
        for item in self._client.pages("/v1/notifications"):
            if item["status"] in OPEN or any(one["state"] not in TERMINAL for one in item["deliveries"]):
                return False
            if len(item["deliveries"]) >= missing.get(item["id"], 0):
                missing.pop(item["id"], None)
        return not missing

    def _inbox(self, users: Iterable[str]) -> Iterator[str]:
        for user in users:
            token = self._client.post(f"/v1/users/{user}/tokens", {})["token"]
            for item in self._client.with_key(token).pages("/v1/inbox"):
                yield bare(item["id"])


def bare(public_id: str) -> str:
    """Return the hex digits of a public id."""
    return public_id.partition("_")[2]


def accounts_of(notification: dict[str, Any]) -> list[Account]:
    """Return the accounts of a notification's deliveries; what ended each is counted in the timeline."""
    ends = Counter(moment["delivery_id"] for moment in notification.get("timeline") or () if moment["event"] in ENDING)
    return [account_of(delivery, ends[delivery["id"]]) for delivery in notification["deliveries"]]


def account_of(delivery: dict[str, Any], ends: int = 0) -> Account:
    """Return the account of one delivery. Unsure are attempts begun again after a crash or left without an answer."""
    unsure = sum(attempt["repeated"] + (attempt["outcome"] == "ambiguous") for attempt in delivery["attempts"])
    return Account(bare(delivery["id"]), delivery["state"], ends, unsure, delivery["channel"] != "inapp")
