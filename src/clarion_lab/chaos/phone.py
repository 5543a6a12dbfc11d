"""The phones of all users: the messages that arrive, from the simulator's receipts, and the reactions of their
owners."""

import heapq
import random
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from clarion_lab.chaos.drive import Plan
from clarion_lab.chaos.journeys import EVENT
from clarion_lab.load import people
from clarion_lab.load.receipts import DELIVERY_PREFIX

REACTING: Final = 0.7
"""Share of questions that get a reaction."""
PAUSE_S_MAX: Final = 3.0
"""How long people take to react."""


class Message(msgspec.Struct, frozen=True):
    """A push that a phone got: the delivery's 48 hex digits, the phone's owner, and the push's data. `items` are the
    numbers of the triggers in a digest."""

    delivery: str
    user: str
    step: str
    workflow: str
    number: int
    thread: str
    items: tuple[int, ...]

    @property
    def notification(self) -> str:
        """Return the 32 hex digits of its notification."""
        return self.delivery[:32]


class _Receipt(msgspec.Struct):
    key: str
    taken: bool
    body: str


class _Push(msgspec.Struct):
    token: str
    data: dict[str, str]


class _Body(msgspec.Struct):
    message: _Push


_RECEIPT: Final = msgspec.json.Decoder(_Receipt)
_BODY: Final = msgspec.json.Decoder(_Body)


class Arrivals:
    """Reads the messages of a growing receipts file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_bytes = 0

    def new(self) -> list[Message]:
        """Return the messages that arrived since the last call; a message that arrived twice is there twice."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._read_bytes)
            whole, end, _ = file.read().rpartition(b"\n")
        self._read_bytes += len(whole + end)
        receipts = map(_RECEIPT.decode, whole.splitlines())
        return [_message(receipt) for receipt in receipts if receipt.taken]


def _message(receipt: _Receipt) -> Message:
    push = _BODY.decode(receipt.body).message
    data = push.data
    user = people.user_id(int(push.token.split("-")[1]))
    items = tuple(map(int, data["items"].split()))
    delivery = receipt.key.removeprefix(DELIVERY_PREFIX)
    return Message(delivery, user, data["step"], data["workflow"], int(data["number"]), data["thread"], items)


class UserReactions:
    """Users who react to some of the questions on their phones, each once, after a while. `due` returns the next
    reaction."""

    def __init__(self, arrivals: Arrivals, seed: int) -> None:
        self._arrivals = arrivals
        self._seed = seed
        self._known: set[str] = set()
        self._later: list[tuple[float, str, Plan]] = []

    def due(self) -> Plan | None:
        """Return the next reaction that is due, or None."""
        now = time.monotonic()
        for message in self._arrivals.new():
            if message.step == "ask" and message.delivery not in self._known:
                self._known.add(message.delivery)
                chance = random.Random(f"{self._seed}:{message.number}:{message.user}")
                if chance.random() < REACTING:
                    at = now + chance.uniform(0, PAUSE_S_MAX)
                    heapq.heappush(self._later, (at, message.delivery, reaction(message)))
        if self._later and self._later[0][0] <= now:
            return heapq.heappop(self._later)[2]
        return None


def reaction(message: Message) -> Plan:
    """Return the owner's reaction to a question: the event that the workflow waits for, or that the message was seen.
    The delivery is the idempotency key and identifies the question later."""
    body: dict[str, Any] = {"user_id": message.user}
    path = f"/v1/notifications/ntf_{message.notification}/seen"
    if message.workflow == "answer":
        body |= {"type": EVENT, "data": {"number": message.number}}
        path = "/v1/events"
    return Plan(message.delivery, "reaction", path, msgspec.json.encode(body), [])
