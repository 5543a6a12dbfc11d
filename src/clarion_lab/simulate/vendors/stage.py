"""Every played vendor at one origin: finds the vendor of a request, and makes the response."""

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
from clarion_lab.simulate.vendors.script import JSON, Secrets, VendorAnswer, VendorCall, VendorScript, path_of

SCRIPTS: Final[tuple[VendorScript, ...]] = (
    *emails.SCRIPTS, *texts.SCRIPTS, *amazon.SCRIPTS, *pushes.SCRIPTS, *chats.SCRIPTS
)  # fmt: skip
_CUTS: Final = {
    Answer.ACCEPT_THEN_DROP: Reply(action="drop"),
    Answer.HANG: Reply(action="hang"),
    Answer.RESET: Reply(action="reset"),
}


Message: TypeAlias = Callable[[str, Request, int, str, str], None]
"""Called for each message that a vendor has accepted: vendor, request, index in it, address, id."""


def _report_nothing(vendor: str, request: Request, place: int, to: str, id_: str) -> None:
    pass


class Stage:
    """Responds to requests to any vendor; faults are drawn as in the rest of the simulator."""

    def __init__(
        self,
        receipts: Receipts,
        secrets: Secrets,
        retry_after_s: int,
        outages: Outages | None = None,
        message: Message | None = None,
    ) -> None:
        self._messages = message or _report_nothing
        self._outages = outages or Outages((), time.monotonic)
        self._receipts = receipts
        self._secrets = secrets
        self._retry_after_s = retry_after_s
        self._paths = [(re.compile(played.path), played) for played in SCRIPTS]
        by_name = {played.vendor: played for played in SCRIPTS}
        self._batches = [(re.compile(batch.path), batch, by_name[batch.vendor]) for batch in BATCHES]

    def answer(self, request: Request) -> Reply | None:
        """Return the response, recorded for the next flush of the receipts; None when the path is no vendor's."""
        path = path_of(request)
        for pattern, batch, played in self._batches:
            if pattern.fullmatch(path) and (reply := self._batch(batch, played, request)):
                return reply
        for pattern, played in self._paths:
            if pattern.fullmatch(path):
                return self._answer_one(played, request)
        return None

    def _answer_one(self, played: VendorScript, request: Request) -> Reply:
        effect = self._outages.effect(played.vendor)
        message, fault = played.check(request, self._secrets), effect.answer
        call = VendorCall("", "")
        if fault is not None:
            # A vendor in an outage does not check credentials; the request is recorded all the same.
            message = None
            with suppress(LookupError, TypeError, ValueError, AttributeError):
                call = played.parse_call(request, self._secrets)
        elif message is not None:
            fault = Answer.UNAUTHENTICATED
        else:
            try:
                call = played.parse_call(request, self._secrets)
            except (LookupError, TypeError, ValueError, AttributeError):
                fault = Answer.MALFORMED
        retry_after_s = self._retry_after_s if effect.retry_after_s is None else effect.retry_after_s
        values = _values(call, request, retry_after_s)
        id_ = call.id or Template(played.id_form).safe_substitute(values)
        about = About(played.vendor, call.to, id_)
        answer = self._receipts.arrived(call.key, played.channel, request.body, fault, about)
        if answer in TAKEN:
            self._messages(played.vendor, request, 0, call.to, id_)
        if answer in _CUTS:
            return _CUTS[answer]
        vendor_answer = message or words(played.name or played.vendor, answer) or played.vendor_answer[answer]
        if effect.retry_after_s is not None and not _has_retry_after(vendor_answer):
            vendor_answer = msgspec.structs.replace(vendor_answer, retry_after=True)
        return _reply(vendor_answer, values | {"id": id_}, retry_after_s, effect.slow_s)

    def _batch(self, batch: Batch, played: VendorScript, request: Request) -> Reply | None:
        """Return the response to a call with many messages, None when it has only one."""
        message = played.check(request, self._secrets)
        try:
            call = batch.parse_call(request)
        except (LookupError, TypeError, ValueError, AttributeError):
            if batch.path == played.path:
                return None
            return _reply(message or played.vendor_answer[Answer.MALFORMED], {}, self._retry_after_s, 0.0)
        if not call:
            return None
        effect = self._outages.effect(played.vendor)
        retry_after_s = self._retry_after_s if effect.retry_after_s is None else effect.retry_after_s
        values = [_values(one, request, retry_after_s) for one in call]
        ids = [Template(played.id_form).safe_substitute(one) for one in values]
        ids = ids if batch.vendor_answer else [ids[0]] * len(ids)
        values = [one | {"id": id_} for one, id_ in zip(values, ids, strict=True)]
        abouts = [About(played.vendor, one.to, id_) for one, id_ in zip(call, ids, strict=True)]
        drawn = [self._receipts.drawn(one.key, about) for one, about in zip(call, abouts, strict=True)]
        dead = [at for at, answer in enumerate(drawn) if answer is Answer.INVALID_TOKEN]
        fault = effect.answer or (Answer.UNAUTHENTICATED if message else None)
        fault = fault or next((answer for answer in drawn if answer in batch.whole), None)
        answers = [
            self._receipts.arrived(one.key, played.channel, request.body, fault or answer, about)
            for one, answer, about in zip(call, drawn, abouts, strict=True)
        ]
        for at, (one, answer, id_) in enumerate(zip(call, answers, ids, strict=True)):
            if answer in TAKEN:
                self._messages(played.vendor, request, at, one.to, id_)
        if fault in _CUTS:
            return _CUTS[fault]
        if fault is None and batch.vendor_answer:
            return Reply(200, msgspec.json.encode(batch.vendor_answer(answers, values)), slow_s=effect.slow_s)
        if fault is Answer.INVALID_TOKEN and batch.dead:
            return Reply(400, msgspec.json.encode(batch.dead(dead)), slow_s=effect.slow_s)
        answer = fault or Answer.ACCEPTED
        vendor_answer = message or words(played.name or played.vendor, answer) or played.vendor_answer[answer]
        return _reply(vendor_answer, values[0], retry_after_s, effect.slow_s)


def _has_retry_after(vendor_answer: VendorAnswer) -> bool:
    """Return whether a response has its own field for the pause."""
    return "$wait_s" in vendor_answer.body or any("$reset_s" in value for _, value in vendor_answer.headers)


def _values(call: VendorCall, request: Request, retry_after_s: int) -> dict[str, str]:
    """Return the values for a response; ids follow from the delivery, so that a repeated run gives the same ids."""
    digest = blake2b(call.key.encode(errors="replace"), digest_size=16)
    number = int.from_bytes(digest.digest(), "big")
    return {
        "hex": digest.hexdigest(),
        "uuid": str(UUID(bytes=digest.digest())),
        "digits": f"{number % 10**25:025}",
        "ts": f"{1_700_000_000 + number % 10**8}.{number % 10**6:06}",
        "to": call.to,
        "origin": f"https://{request.headers.get(':authority', '')}",
        "wait_s": str(retry_after_s),
        "reset_s": str(int(time.time()) + retry_after_s + 1),
    }


def _reply(vendor_answer: VendorAnswer, values: dict[str, str], retry_after_s: int, slow_s: float) -> Reply:
    fit = (
        html.escape
        if vendor_answer.content_type.endswith("xml")
        else _in_json
        if vendor_answer.content_type == JSON
        else str
    )
    return Reply(
        vendor_answer.status,
        Template(vendor_answer.body).safe_substitute({name: fit(value) for name, value in values.items()}).encode(),
        retry_after_s if vendor_answer.retry_after else None,
        vendor_answer.content_type,
        headers=tuple((name, Template(value).safe_substitute(values)) for name, value in vendor_answer.headers),
        slow_s=slow_s,
    )


def _in_json(text: str) -> str:
    return msgspec.json.encode(text).decode()[1:-1]
