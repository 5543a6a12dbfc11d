"""The faults of calls: drawn from (seed, delivery key, arrival of that key), so that a run can be repeated."""

from enum import StrEnum
from hashlib import blake2b

import msgspec

from clarion_lab.simulate.config import Faults


class Answer(StrEnum):
    """The simulator's response to a message."""

    ACCEPTED = "accepted"
    THROTTLE = "throttle"
    ERROR_500 = "error_500"
    ACCEPT_THEN_DROP = "accept_then_drop"
    HANG = "hang"
    RESET = "reset"
    INVALID_TOKEN = "invalid_token"  # noqa: S105 - a word, not a secret
    MALFORMED = "malformed"
    UNAUTHENTICATED = "unauthenticated"
    UNAVAILABLE = "unavailable"


TAKEN = frozenset({Answer.ACCEPTED, Answer.ACCEPT_THEN_DROP})
"""Answers after which the simulator has the message, which its receipts record as `taken`."""


_WANTED = {"404": (Answer.INVALID_TOKEN, 1 << 31), "429": (Answer.THROTTLE, 1), "500": (Answer.ERROR_500, 1)}
"""Answers by the last digits of an address (before the `@` of a mailbox), and the number of arrivals that get them."""


class Chooser:
    """Draws an answer for each arrival."""

    def __init__(self, seed: int, faults: Faults, *, by_address: bool = False) -> None:
        self._by_address = by_address
        self._seed = seed.to_bytes(8, "big", signed=True)
        self._steps: list[tuple[float, Answer]] = []
        edge = 0.0
        for name, share in msgspec.structs.asdict(faults).items():
            edge += share
            if share:
                self._steps.append((edge, Answer(name)))
        if edge > 1:
            raise ValueError("the shares of faults add up to more than 1")

    def choose(self, key: str, arrival: int, address: str = "") -> Answer:
        """Return the answer for the `arrival`-th arrival (from 1) of a delivery key."""
        if self._by_address and (wanted := _WANTED.get(address.partition("@")[0][-3:])):
            answer, arrivals = wanted
            if arrival <= arrivals:
                return answer
        if self._steps:
            digest = blake2b(b"%d:%s" % (arrival, key.encode()), key=self._seed, digest_size=8).digest()
            point = int.from_bytes(digest, "big") / 2**64
            for edge, answer in self._steps:
                if point < edge:
                    return answer
        return Answer.ACCEPTED
