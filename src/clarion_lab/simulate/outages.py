"""Scripted outages: the failure of a vendor, its beginning and its length, described by one line of text. Pure.

    fcm down 10m                        every call, for ten minutes from now
    twilio 20% 503 from 30s for 5m      a fifth of the calls, from half a minute on
    sendgrid 429 retry-after 7          every call, until the outage is replaced
    ses flapping 30s                    down for 30 seconds, up for 30 seconds, and so on
    fcm slow 5s                         every response is five seconds later
    vonage 10% drop                     accepted, without a response

The first word is the vendor. `down` and `503`, `500`, `429` and `401` have the vendor's own response; `hang` (never a
response), `reset` (the connection is cut) and `drop` (accepted, then no response) have none. With a share before it,
the failure affects that share of the calls; `from` and `for` are its beginning and length, counted from the moment it
was set.
"""

import re
from collections.abc import Callable, Collection, Sequence
from hashlib import blake2b
from typing import Final

import msgspec

from clarion.domain.duration import duration_ms
from clarion_lab.simulate.faults import Answer
from clarion_lab.simulate.limits import OUTAGE_CHARS_MAX, OUTAGE_S_MAX, OUTAGES_MAX, SLOW_S_MAX

ANSWERS: Final = {
    "down": Answer.UNAVAILABLE,
    "503": Answer.UNAVAILABLE,
    "500": Answer.ERROR_500,
    "429": Answer.THROTTLE,
    "401": Answer.UNAUTHENTICATED,
    "hang": Answer.HANG,
    "reset": Answer.RESET,
    "drop": Answer.ACCEPT_THEN_DROP,
}
"""The failures of a vendor, and the simulator's answers for them."""
_SHARE: Final = re.compile(r"(\d{1,3}(?:\.\d{1,3})?)%")
_SECONDS: Final = re.compile(r"\d{1,6}")
_KINDS: Final = ", ".join((*ANSWERS, "flapping", "slow"))


class Outage(msgspec.Struct, frozen=True):
    """One outage. `share` of the calls (0 to 1) get `answer`, from `from_s` seconds on for `for_s` (None: without end).
    With `period_s` it alternates, beginning with a failure; `slow_s` delays responses; `text` is the line that
    describes it."""

    vendor: str
    answer: Answer | None
    share: float = 1.0
    from_s: float = 0.0
    for_s: float | None = None
    period_s: float | None = None
    slow_s: float = 0.0
    retry_after_s: int | None = None
    text: str = ""

    def holds(self, at_s: float) -> bool:
        """Return whether it is in force `at_s` seconds after it was set."""
        since_s = at_s - self.from_s
        if since_s < 0 or (self.for_s is not None and since_s >= self.for_s):
            return False
        return self.period_s is None or int(since_s // self.period_s) % 2 == 0


class OutageError(ValueError):
    """A text that is not a valid outage; the message states the reason."""


def parse(text: str, vendors: Collection[str]) -> Outage:
    """Return the outage that a line describes. Raises `OutageError` with the reason when it is not valid; `vendors` are
    the known ones."""
    words = text[:OUTAGE_CHARS_MAX].lower().split()
    if len(text) > OUTAGE_CHARS_MAX:
        raise OutageError(f"an outage has at most {OUTAGE_CHARS_MAX} characters")
    if len(words) < 2:
        raise OutageError(f"{text!r} needs a vendor and its failure, such as 'fcm down 10m'")
    if words[0] not in vendors:
        raise OutageError(f"there is no vendor {words[0]!r}; there is {', '.join(sorted(vendors))}")
    return _Line(" ".join(words), words).outage()


class _Line:
    """The words of one outage, read from left to right."""

    def __init__(self, text: str, words: Sequence[str]) -> None:
        self._text = text
        self._vendor, *self._left = words

    def outage(self) -> Outage:
        share, kind = self._share(), self._word("its failure")
        found = Outage(self._vendor, ANSWERS.get(kind), share, text=self._text)
        if kind == "flapping":
            period_s = self._length_s("flapping", most_s=OUTAGE_S_MAX)
            found = msgspec.structs.replace(found, answer=Answer.UNAVAILABLE, period_s=period_s)
        elif kind == "slow":
            found = msgspec.structs.replace(found, slow_s=self._length_s("slow", most_s=SLOW_S_MAX))
        elif kind not in ANSWERS:
            raise OutageError(f"{kind!r} is no failure of a vendor; there is {_KINDS}")
        elif kind == "down" and self._left and self._left[0] not in _CLAUSES:
            found = msgspec.structs.replace(found, for_s=self._length_s("down", most_s=OUTAGE_S_MAX))
        return self._clauses(found)

    def _share(self) -> float:
        found = _SHARE.fullmatch(self._left[0])
        if found is None:
            if self._left[0].endswith("%"):
                raise OutageError(f"{self._left[0]!r} is not a share such as 20%")
            return 1.0
        if not 0 < float(found[1]) <= 100:
            raise OutageError(f"{self._left[0]!r} is not a share above 0% and up to 100%")
        del self._left[0]
        return float(found[1]) / 100

    def _clauses(self, found: Outage) -> Outage:
        message: set[str] = set()
        while self._left:
            word = self._left.pop(0)
            if word not in _CLAUSES:
                raise OutageError(f"{word!r} is not understood here; there is {', '.join(_CLAUSES)}")
            if word in message or (word == "for" and found.for_s is not None):
                raise OutageError(f"the length or the beginning is given twice: {word!r}")
            message.add(word)
            if word == "retry-after":
                if found.answer not in (Answer.THROTTLE, Answer.UNAVAILABLE):
                    raise OutageError("'retry-after' goes with 429, 503 and down")
                found = msgspec.structs.replace(found, retry_after_s=self._seconds())
            else:
                found = msgspec.structs.replace(found, **{f"{word}_s": self._length_s(word, most_s=OUTAGE_S_MAX)})
        return found

    def _word(self, what: str) -> str:
        if not self._left:
            raise OutageError(f"{self._text!r} ends before {what}")
        return self._left.pop(0)

    def _length_s(self, after: str, *, most_s: int) -> float:
        word = self._word(f"the time after {after!r}")
        try:
            length_s = duration_ms(word) / 1000
        except ValueError as error:
            raise OutageError(f"after {after!r}: {error}") from None
        if not 0 < length_s <= most_s:
            raise OutageError(f"after {after!r}: {word!r} is not between 1s and {most_s}s")
        return length_s

    def _seconds(self) -> int:
        word = self._word("the seconds after 'retry-after'").removesuffix("s")
        if not _SECONDS.fullmatch(word):
            raise OutageError(f"after 'retry-after': {word!r} is not a number of seconds")
        return int(word)


_CLAUSES: Final = ("from", "for", "retry-after")


class Effect(msgspec.Struct, frozen=True):
    """The effect on one call: an answer other than the usual one, or None, and the additional delay in seconds."""

    answer: Answer | None = None
    retry_after_s: int | None = None
    slow_s: float = 0.0


NOTHING: Final = Effect()


class Outages:
    """The outages in force. `now_s` is a clock; the seed and the order of the calls determine which calls a share
    affects."""

    def __init__(self, vendors: Collection[str], now_s: Callable[[], float], seed: int = 0) -> None:
        self._vendors = frozenset(vendors)
        self._now_s = now_s
        self._seed = seed.to_bytes(8, "big", signed=True)
        self._reported_s = 0.0
        self._by_vendor: dict[str, list[Outage]] = {}
        self._calls: dict[str, int] = {}
        self.texts: tuple[str, ...] = ()

    def report(self, texts: Sequence[str]) -> None:
        """Replace all outages, from this moment on. Raises `OutageError` when one is not valid; then nothing
        changes."""
        if len(texts) > OUTAGES_MAX:
            raise OutageError(f"there are at most {OUTAGES_MAX} outages at a time")
        found: dict[str, list[Outage]] = {}
        for text in texts:
            outage = parse(text, self._vendors)
            found.setdefault(outage.vendor, []).append(outage)
        self._by_vendor, self._calls, self._reported_s = found, {}, self._now_s()
        self.texts = tuple(outage.text for outages in found.values() for outage in outages)

    def effect(self, vendor: str) -> Effect:
        """Return the effect on the next call of a vendor: the first answer in force, and the sum of all delays."""
        outages = self._by_vendor.get(vendor)
        if not outages:
            return NOTHING
        at_s = self._now_s() - self._reported_s
        self._calls[vendor] = call = self._calls.get(vendor, 0) + 1
        answer, retry_after_s, slow_s = None, None, 0.0
        for index, outage in enumerate(outages):
            if not outage.holds(at_s) or not self._hits(outage, index, call):
                continue
            slow_s += outage.slow_s
            if answer is None and outage.answer is not None:
                answer, retry_after_s = outage.answer, outage.retry_after_s
        return Effect(answer, retry_after_s, slow_s)

    def _hits(self, outage: Outage, index: int, call: int) -> bool:
        if outage.share >= 1:
            return True
        digest = blake2b(b"%d:%d:%s" % (index, call, outage.vendor.encode()), key=self._seed, digest_size=8).digest()
        return int.from_bytes(digest, "big") / 2**64 < outage.share
