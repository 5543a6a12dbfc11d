"""Reads the state of the product through its public API, after all deliveries are terminal."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from clarion.app.cli.remote import Remote, RequestRefused, Unreachable
from clarion_lab.chaos.oracle import TERMINAL, Account
from clarion_lab.chaos.store import ENDING

POLL_S: Final = 0.5
BROADCAST: Final = "brd_"
OPEN: Final = frozenset({"accepted", "scheduled", "in_progress"})
"""Statuses of a notification that is not finished."""


class Observed(msgspec.Struct, frozen=True):
    """`accounts` of every delivery, `listed` the notifications that the API lists (broadcasts have no list), `inbox`
    the in-app deliveries that people can read, `instances` the workflow instances by notification."""

    accounts: list[Account]
    listed: list[str]
    inbox: frozenset[str]
    instances: dict[str, list[dict[str, Any]]]


class Observer:
    """Reads everything that was acknowledged to the client, and everything that the API lists."""

    def __init__(self, client: Remote, owed: dict[str, int]) -> None:
        self._client = client
        self._owed = owed
        self._broadcasts = [id_ for id_ in owed if id_.startswith(BROADCAST)]

    def drain(self, timeout_s: float) -> bool:
        """Wait until nothing is open. Return False when something was open at the time-out, which the oracle will
        show."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            try:
                if self._is_idle():
                    return True
            except (RequestRefused, Unreachable):
                pass
            time.sleep(POLL_S)
        return False

    def observe(self, users: Iterable[str]) -> Observed:
        """Return the current state in the API. `users` are those whose inboxes are read."""
        listed = [item["id"] for item in self._client.pages("/v1/notifications")]
        reported = {without_prefix(id_): self._client.get(f"/v1/notifications/{id_}") for id_ in listed}
        accounts = [account for notification in reported.values() for account in accounts_of(notification)]
        for id_ in self._broadcasts:
            accounts += map(account_of, self._client.pages(f"/v1/broadcasts/{id_}/deliveries"))
        instances = {id_: notification.get("instances", []) for id_, notification in reported.items()}
        return Observed(accounts, list(reported), frozenset(self._inbox(users)), instances)

    def _is_idle(self) -> bool:
        """Return whether every acknowledged notification has all its deliveries, and all of them are terminal."""
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
            for item in self._client.with_credential(token).pages("/v1/inbox"):
                yield without_prefix(item["id"])


def without_prefix(public_id: str) -> str:
    """Return the hex digits of a public id."""
    return public_id.partition("_")[2]


def accounts_of(notification: dict[str, Any]) -> list[Account]:
    """Return the accounts of a notification's deliveries; the events that ended each are counted in the timeline."""
    ends = Counter(moment["delivery_id"] for moment in notification.get("timeline") or () if moment["event"] in ENDING)
    return [account_of(delivery, ends[delivery["id"]]) for delivery in notification["deliveries"]]


def account_of(delivery: dict[str, Any], ends: int = 0) -> Account:
    """Return the account of one delivery. Its unsure attempts are those repeated after a crash or without a
    response."""
    unsure = sum(attempt["repeated"] + (attempt["outcome"] == "ambiguous") for attempt in delivery["attempts"])
    return Account(without_prefix(delivery["id"]), delivery["state"], ends, unsure, delivery["channel"] != "inapp")
