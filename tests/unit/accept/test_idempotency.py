"""Idempotency keys as a state machine: one request runs, the same body gets its answer, another body is refused."""

import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from clarion.accept.idempotency import RunningKeys, entry
from clarion.accept.submissions import Key, digest_of
from clarion.domain.errors import Conflict, InvalidField, KeyReused
from clarion.domain.limits import IDEMPOTENCY_KEY_CHARS_MAX, IDEMPOTENCY_TTL_MS
from clarion.ports.stage_store import AcceptState, StageResult
from clarion.stores.memory.journal import MemoryJournal
from clarion.ways_in.http.routes_once import key_text
from tests.contract.journals import VirtualClock
from tests.look import Glance

places = st.tuples(st.sampled_from(["acme", "other"]), st.sampled_from(["k1", "k2"]))
bodies = st.sampled_from([b"one", b"two"])


class KeyModel(RuleBasedStateMachine):
    """The model: the keys that run, and the answers with their expiry."""

    def __init__(self):
        super().__init__()
        self.clock = VirtualClock()
        self.journal = MemoryJournal(self.clock, 1)
        self.once = RunningKeys()
        self.running: dict[tuple[str, str], bytes] = {}
        self.answered: dict[tuple[str, str], tuple[bytes, bytes, int]] = {}
        self.number = 0

    def begin(self, place, body, now_ms):
        tenant, text = place
        return self.once.begin(
            tenant, Key(text, digest_of(body)), Glance(self.journal).idempotency(tenant, text, now_ms)
        )

    @rule(place=places, body=bodies)
    def ask(self, place, body):
        now_ms = self.clock.now_ms()
        result = self.answered.get(place)
        if place in self.running:
            with pytest.raises(Conflict) as refusal:
                self.begin(place, body, now_ms)
            assert refusal.value.retry_after_s
        elif result is None or result[2] <= now_ms:
            assert self.begin(place, body, now_ms) is None
            self.running[place] = body
        elif result[0] == body:
            assert self.begin(place, body, now_ms) == result[1]
        else:
            with pytest.raises(KeyReused):
                self.begin(place, body, now_ms)

    @precondition(lambda self: self.running)
    @rule(stored=st.booleans(), data=st.data())
    def finish(self, stored, data):
        place = data.draw(st.sampled_from(sorted(self.running)))
        body = self.running.pop(place)
        if stored:
            self.number += 1
            answer, now_ms = b"answer %d" % self.number, self.clock.now_ms()
            entries = [entry(place[0], Key(place[1], digest_of(body)), answer, now_ms)]
            asyncio.run(self.journal.commit(StageResult(accept_state=AcceptState(idempotency=entries))))
            self.answered[place] = (body, answer, now_ms + IDEMPOTENCY_TTL_MS)
        self.once.end(*place)

    @rule(ms=st.sampled_from([1_000, IDEMPOTENCY_TTL_MS - 1, IDEMPOTENCY_TTL_MS]))
    def wait(self, ms):
        self.clock.pass_ms(ms)


TestDoorkeeper = KeyModel.TestCase
TestDoorkeeper.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)


def test_the_key_comes_from_the_header_or_the_body_and_both_must_agree():
    assert key_text(None, None) is None
    assert key_text(None, "body") == "body"
    assert key_text("header", None) == "header"
    assert key_text("same", "same") == "same"
    for header, field in (("one", "two"), ("", None), ("x" * (IDEMPOTENCY_KEY_CHARS_MAX + 1), None), ("a\tb", None)):
        with pytest.raises(InvalidField) as refusal:
            key_text(header, field)
        assert refusal.value.field in ("Idempotency-Key", "idempotency_key")
