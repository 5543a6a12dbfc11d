"""Every played vendor behind one origin: whom a request is for, and what it hears."""

import html
import re
import time
from collections.abc import Callable
from contextlib import suppress
from hashlib import blake2b
from string import Template
from typing import Final, TypeAlias
from uuid import UUID

import msgspec

from clarion_lab.simulate.faults import TAKEN, Answer
from clarion_lab.simulate.http2 import Reply, Request
from clarion_lab.simulate.outage_words import words
from clarion_lab.simulate.outages import Outages
from clarion_lab.simulate.receipts import About, Receipts
from clarion_lab.simulate.vendors import amazon, chats, emails, pushes, texts
from clarion_lab.simulate.vendors.batches import BATCHES, Batch
from clarion_lab.simulate.vendors.script import JSON, Heard, Played, Says, Secrets, path_of

PLAYED: Final[tuple[Played, ...]] = (
    *emails.PLAYED, *texts.PLAYED, *amazon.PLAYED, *pushes.PLAYED, *chats.PLAYED
)  # fmt: skip
_CUTS: Final = {
    Answer.ACCEPT_THEN_DROP: Reply(action="drop"),
    Answer.HANG: Reply(action="hang"),
    Answer.RESET: Reply(action="reset"),
}


Told: TypeAlias = Callable[[str, Request, int, str, str], None]
"""Hears of each message a vendor has taken: vendor, request, place in it, address, id."""


def _tell_nobody(vendor: str, request: Request, place: int, to: str, id_: str) -> None:
    pass


class Stage:
    """Answers requests to any vendor; what may go wrong with them is drawn like everywhere in the simulator."""

    def __init__(
        self,
        receipts: Receipts,
        secrets: Secrets,
        retry_after_s: int,
        outages: Outages | None = None,
        told: Told | None = None,
    ) -> None:
        self._told = told or _tell_nobody
        self._outages = outages or Outages((), time.monotonic)
        self._receipts = receipts
        self._secrets = secrets
        self._retry_after_s = retry_after_s
        self._doors = [(re.compile(played.path), played) for played in PLAYED]
        by_name = {played.vendor: played for played in PLAYED}
        self._batches = [(re.compile(batch.path), batch, by_name[batch.vendor]) for batch in BATCHES]

    def answer(self, request: Request) -> Reply | None:
        """Return the answer, noted for the next flush of the receipts; None when the path is no vendor's."""
        path = path_of(request)
        for pattern, batch, played in self._batches:
            if pattern.fullmatch(path) and (reply := self._batch(batch, played, request)):
                return reply
        for pattern, played in self._doors:
            if pattern.fullmatch(path):
                return self._played(played, request)
        return None

    def _played(self, played: Played, request: Request) -> Reply:
        effect = self._outages.effect(played.vendor)
        told, fault = played.check(request, self._secrets), effect.answer
        heard = Heard("", "")
        if fault is not None:
            # A vendor that is out of order does not look at credentials; what it is asked is noted all the same.
            told = None
            with suppress(LookupError, TypeError, ValueError, AttributeError):
                heard = played.hear(request, self._secrets)
        elif told is not None:
            fault = Answer.UNAUTHENTICATED
        else:
            try:
                heard = played.hear(request, self._secrets)
            except (LookupError, TypeError, ValueError, AttributeError):
                fault = Answer.MALFORMED
        retry_after_s = self._retry_after_s if effect.retry_after_s is None else effect.retry_after_s
        values = _values(heard, request, retry_after_s)
        id_ = heard.id or Template(played.id_form).safe_substitute(values)
        about = About(played.vendor, heard.to, id_)
        answer = self._receipts.arrived(heard.key, played.channel, request.body, fault, about)
        if answer in TAKEN:
            self._told(played.vendor, request, 0, heard.to, id_)
        if answer in _CUTS:
            return _CUTS[answer]
        says = told or words(played.name or played.vendor, answer) or played.says[answer]
        if effect.retry_after_s is not None and not _says_when(says):
            says = msgspec.structs.replace(says, retry_after=True)
        return _reply(says, values | {"id": id_}, retry_after_s, effect.slow_s)

    def _batch(self, batch: Batch, played: Played, request: Request) -> Reply | None:
        """Return the answer to a call with many messages, None when it has only one."""
        told = played.check(request, self._secrets)
        try:
            heard = batch.hear(request)
        except (LookupError, TypeError, ValueError, AttributeError):
            if batch.path == played.path:
                return None
            return _reply(told or played.says[Answer.MALFORMED], {}, self._retry_after_s, 0.0)
        if not heard:
            return None
        effect = self._outages.effect(played.vendor)
        retry_after_s = self._retry_after_s if effect.retry_after_s is None else effect.retry_after_s
        values = [_values(one, request, retry_after_s) for one in heard]
        ids = [Template(played.id_form).safe_substitute(one) for one in values]
        ids = ids if batch.says else [ids[0]] * len(ids)
        values = [one | {"id": id_} for one, id_ in zip(values, ids, strict=True)]
        abouts = [About(played.vendor, one.to, id_) for one, id_ in zip(heard, ids, strict=True)]
        drawn = [self._receipts.drawn(one.key, about) for one, about in zip(heard, abouts, strict=True)]
        dead = [at for at, answer in enumerate(drawn) if answer is Answer.INVALID_TOKEN]
        fault = effect.answer or (Answer.UNAUTHENTICATED if told else None)
        fault = fault or next((answer for answer in drawn if answer in batch.whole), None)
        answers = [
            self._receipts.arrived(one.key, played.channel, request.body, fault or answer, about)
            for one, answer, about in zip(heard, drawn, abouts, strict=True)
        ]
        for at, (one, answer, id_) in enumerate(zip(heard, answers, ids, strict=True)):
            if answer in TAKEN:
                self._told(played.vendor, request, at, one.to, id_)
        if fault in _CUTS:
            return _CUTS[fault]
        if fault is None and batch.says:
            return Reply(200, msgspec.json.encode(batch.says(answers, values)), slow_s=effect.slow_s)
        if fault is Answer.INVALID_TOKEN and batch.dead:
            return Reply(400, msgspec.json.encode(batch.dead(dead)), slow_s=effect.slow_s)
        answer = fault or Answer.ACCEPTED
        says = told or words(played.name or played.vendor, answer) or played.says[answer]
        return _reply(says, values[0], retry_after_s, effect.slow_s)


def _says_when(says: Says) -> bool:
    """Return whether an answer tells in a way of its own how long to wait."""
    return "$wait_s" in says.body or any("$reset_s" in value for _, value in says.headers)


def _values(heard: Heard, request: Request, retry_after_s: int) -> dict[str, str]:
    """Return what answers are filled with; ids follow from the delivery, so that a repeated run gives the same."""
    digest = blake2b(heard.key.encode(errors="replace"), digest_size=16)
    number = int.from_bytes(digest.digest(), "big")
    return {
        "hex": digest.hexdigest(),
        "uuid": str(UUID(bytes=digest.digest())),
        "digits": f"{number % 10**25:025}",
        "ts": f"{1_700_000_000 + number % 10**8}.{number % 10**6:06}",
        "to": heard.to,
        "origin": f"https://{request.headers.get(':authority', '')}",
        "wait_s": str(retry_after_s),
        "reset_s": str(int(time.time()) + retry_after_s + 1),
    }


def _reply(says: Says, values: dict[str, str], retry_after_s: int, slow_s: float) -> Reply:
    fit = html.escape if says.content_type.endswith("xml") else _in_json if says.content_type == JSON else str
    return Reply(
        says.status,
        Template(says.body).safe_substitute({name: fit(value) for name, value in values.items()}).encode(),
        retry_after_s if says.retry_after else None,
        says.content_type,
        headers=tuple((name, Template(value).safe_substitute(values)) for name, value in says.headers),
        slow_s=slow_s,
    )


def _in_json(text: str) -> str:
    return msgspec.json.encode(text).decode()[1:-1]
