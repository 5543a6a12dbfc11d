"""Receipts are stored before they are answered, repeats do no harm, and other tenants' deliveries are untouched."""

import asyncio
from collections import Counter

import msgspec
import pytest

from clarion.domain import ids
from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.delivery_state import State
from clarion.domain.errors import EgressError, Malformed, Overloaded, Sent, Unauthorized
from clarion.domain.history import Chunk, Delivery
from clarion.domain.limits_delivery import MAILGUN_RECEIPT_AGE_MS_MAX, RECEIPT_AHEAD_MS_MAX, RECEIPT_ONCE_MS
from clarion.domain.message import HttpResponse
from clarion.feedback.worker import Feedback
from clarion.journal.codec import decode
from clarion.journal.topics import OUTCOMES
from clarion.ports.receipts import (
    Forged,
    Handshake,
    Inbound,
    NeedKey,
    Receipt,
    ReceiptCall,
    Suppress,
    Unreadable,
)
from clarion.stores.memory.journal import MemoryJournal
from tests.look import Glance
from tests.stages.virtual import START_MS, LoopClock, run
from tests.stages.world import Notes

PARTITIONS = 4
NOTIFICATION = ids.notification_id(START_MS - 9_000, 3, b"n" * 9)
DELIVERY = ids.delivery_id(NOTIFICATION, "ada", "email", "ada@example.com")
BROADCAST = ids.notification_id(START_MS - 9_000, 1, b"b" * 9)
CHUNK = BROADCAST + b"chunk-0\x02"
MEMBER = ids.delivery_id(BROADCAST, "bo", "email", "bo@example.com")
PACK = msgspec.msgpack.encode


class Rows:
    """`ports.receipt_lookup.ReceiptLookup` over a few rows."""

    def __init__(self):
        self.rows = {DELIVERY: Delivery(DELIVERY, "acme", "ada", "email", "ada@example.com", State.SENT)}
        self.by_id = {}
        self.reads = 0
        self.chunks = {
            CHUNK: Chunk(
                CHUNK, "acme", "email", "en", "news", 1, None, 2, 0, 1, b"", b"", b"", b"", PACK(["ada", "bo"]),
                PACK(["ada@example.com", "bo@example.com"]), b"",
            )
        }  # fmt: skip

    async def deliveries(self, tenant, delivery_ids):
        self.reads += 1
        return {i: self.rows[i] for i in delivery_ids if i in self.rows and self.rows[i].tenant == tenant}

    async def deliveries_by_vendor_id(self, tenant, vendor, ids_):
        self.reads += 1
        rows = {id_: self.by_id.get((vendor, id_)) for id_ in ids_}
        return {id_: row for id_, row in rows.items() if row is not None and row.tenant == tenant}

    async def chunks_by_id(self, tenant, chunk_ids):
        self.reads += 1
        found = {i: self.chunks[i] for i in chunk_ids if i in self.chunks}
        return {i: chunk for i, chunk in found.items() if chunk.tenant == tenant}


class Suppressed:
    def __init__(self):
        self.rows = {}
        self.created = {}
        self.writes = 0

    async def add_missing(self, tenant, entries):
        self.writes += 1
        for entry in entries:
            key = (tenant, entry.channel, entry.address)
            if self.rows.setdefault(key, (entry.reason, entry.expires_ms))[0] == entry.reason:
                self.created.setdefault(key, entry.created_ms)

    async def lift(self, tenant, channel, address, reason, asked_ms):
        key = (tenant, channel, address)
        if self.rows.get(key, ("",))[0] == reason and self.created.get(key, 0) <= asked_ms:
            del self.rows[key]
            self.created.pop(key, None)


class Egress:
    def __init__(self):
        self.answers = {}
        self.asked = []

    async def send(self, request):
        self.asked.append(request.url)
        answer = self.answers.get(request.url)
        if answer is None:
            raise EgressError("no route", sent=Sent.NO)
        return answer


class ScriptedVendor:
    """A vendor whose receipts the test sets."""

    def __init__(self):
        self.result = []

    def read_receipts(self, call, account, *, now_ms, keys):
        return self.result(keys) if callable(self.result) else self.result


class FeedbackStage:
    """A feedback stage with one account; it is the directory itself."""

    def __init__(self, vendor="ses"):
        self.owner = Account("acme", "mail", Channel.EMAIL, vendor, 0, {}, {})
        self.vendor, self.notes, self.state = ScriptedVendor(), Notes(), Rows()
        self.suppressed, self.egress = Suppressed(), Egress()
        clock = LoopClock()
        self.journal = MemoryJournal(clock, PARTITIONS)
        self.feedback = Feedback(
            self, {(Channel.EMAIL, vendor): self.vendor}, self.state, self.suppressed, self.journal, self.egress, clock,
            self.notes,
        )  # fmt: skip

    async def account(self, tenant, name):
        return self.owner if (tenant, name) == ("acme", "mail") else None

    async def receive(self, *parsed, body=b"{}", tenant="acme", provider="mail"):
        if parsed:
            self.vendor.result = list(parsed)
        return await self.feedback.receive(tenant, provider, ReceiptCall("POST", "https://x/", {}, {}, body))

    def frames(self):
        return {
            partition: [decode(frame.payload) for frame in Glance(self.journal).read(OUTCOMES, partition, 0)]
            for partition in range(PARTITIONS)
            if Glance(self.journal).read(OUTCOMES, partition, 0)
        }


@pytest.fixture
def stage():
    return FeedbackStage()


REFERENCE = ids.reference(DELIVERY, None)


def receipt(kind="delivered", event_id="e1", reference=REFERENCE, **more):
    return Receipt(kind, event_id, reference, **more)


def test_a_receipt_lands_on_the_partition_of_its_delivery(stage):
    async def go():
        assert await stage.receive(receipt(at_ms=START_MS - 5, detail="250 ok")) == ""

    run(go())
    (frame,) = stage.frames()[3]
    assert (frame.delivery_ids, frame.tenants, frame.kinds) == ([DELIVERY], ["acme"], ["delivered"])
    assert (frame.at_ms, frame.details, frame.places, frame.provider) == ([START_MS - 5], ["250 ok"], [None], "mail")
    assert stage.notes.counts["receipts", "ses", "delivered", "yes"] == 1


def test_a_receipt_of_a_broadcast_names_its_member_and_goes_to_its_chunk(stage):
    run(stage.receive(receipt("bounced", reference=ids.reference(MEMBER, (CHUNK, 1)))))
    (frame,) = stage.frames()[2]
    assert (frame.places, frame.user_ids, frame.addresses) == ([(CHUNK, 1)], ["bo"], ["bo@example.com"])


@pytest.mark.parametrize(
    "reference",
    [
        ids.reference(MEMBER, (CHUNK, 0)),
        ids.reference(MEMBER, (CHUNK, 900)),
        ids.reference(DELIVERY, (NOTIFICATION + b"chunk-0\x02", 0)),
        ids.reference(ids.notification_id(START_MS + 10**9, 1, b"f" * 9) + b"8" * 8, None),
        "dlv_zz",
        "",
    ],
)
def test_an_unknown_reference_has_no_effect(stage, reference):
    run(stage.receive(receipt("bounced", reference=reference)))
    parsed = [frame for frames in stage.frames().values() for frame in frames]
    assert not parsed or parsed[0].places[0] == (NOTIFICATION + b"chunk-0\x02", 0)
    assert stage.notes.counts["receipts", "ses", "bounced", "no"] == 1


def test_the_vendors_own_id_finds_a_delivery_that_is_recorded_in_time(stage):
    row = stage.state.rows[DELIVERY]

    async def go():
        telling = asyncio.create_task(stage.receive(receipt(reference="", vendor_message_id="m-1")))
        await asyncio.sleep(0.5)
        assert stage.frames() == {}
        stage.state.by_id["ses", "m-1"] = row
        await telling
        await stage.receive(receipt(event_id="e2", reference="", vendor_message_id="m-2"))

    run(go())
    assert [frame.delivery_ids for frame in stage.frames()[3]] == [[DELIVERY]]
    assert stage.notes.counts["receipts", "ses", "delivered", "no"] == 1


def test_times_outside_the_life_of_the_message_are_now(stage):
    run(stage.receive(*(receipt(event_id=str(at), at_ms=at) for at in (0, 5, START_MS + 10**9))))
    (frame,) = stage.frames()[3]
    assert frame.at_ms == [START_MS] * 3


def test_bad_addresses_are_suppressed_and_good_ones_lifted(stage):
    bounced = Suppress("Ada@Example.COM", "hard_bounce")
    soft = Suppress("bo@example.com", "soft", ttl_ms=5_000)
    parsed = [receipt("bounced", "e1", suppress=bounced), receipt("bounced", "e2", suppress=soft)]
    run(stage.receive(*parsed, receipt("bounced", "e3", suppress=Suppress("no address", "hard_bounce"))))
    assert stage.suppressed.rows == {
        ("acme", "email", "ada@example.com"): ("hard_bounce", None),
        ("acme", "email", "bo@example.com"): ("soft", START_MS + 5_000),
    }
    run(stage.receive(receipt("resubscribed", "e4", suppress=Suppress("ada@example.com", "unsubscribed", lift=True))))
    assert ("acme", "email", "ada@example.com") in stage.suppressed.rows
    assert stage.notes.lines == ["receipt_address_unreadable"]


def test_a_repeated_receipt_is_not_stored_again(stage):
    async def go():
        for _ in range(3):
            await stage.receive(receipt("bounced", suppress=Suppress("ada@example.com", "hard_bounce")))

    run(go())
    assert len(stage.frames()[3]) == stage.suppressed.writes == 1


def test_a_token_that_covers_no_body_counts_for_one(stage):
    async def go():
        await stage.receive(receipt(once=True), body=b"one")
        await stage.receive(receipt(once=True), body=b"one")
        with pytest.raises(Unauthorized):
            await stage.receive(receipt("bounced", once=True, suppress=Suppress("ada@example.com", "x")), body=b"two")

    run(go())
    assert {kind for frame in stage.frames()[3] for kind in frame.kinds} == {"delivered"}
    assert stage.suppressed.rows == {}


def test_stop_is_heeded_start_lifts_it_and_neither_counts_twice(stage):
    def said(event_id, word):
        return Inbound(event_id, "ada@example.com", word, word)

    async def go():
        await stage.receive(said("1", "stop"))
        assert stage.suppressed.rows[("acme", "email", "ada@example.com")] == ("stop", None)
        await stage.receive(said("2", "start"))
        assert stage.suppressed.rows == {}
        await stage.receive(said("3", "stop"))
        stage.feedback._seen.clear()
        await stage.receive(said("2", "start"))
        await stage.receive(said("4", "help"), said("5", "other"))

    run(go())
    assert stage.suppressed.rows[("acme", "email", "ada@example.com")] == ("stop", None)
    assert stage.notes.counts == Counter(
        {("inbound", "ses", "stop"): 2, ("inbound", "ses", "start"): 1, ("inbound", "ses", "help"): 1,
         ("inbound", "ses", "other"): 1}
    )  # fmt: skip


def test_a_start_sent_before_the_stop_lifts_nothing_however_late_it_arrives(stage):
    def said(event_id, word, at_ms):
        return Inbound(event_id, "ada@example.com", word, word, at_ms)

    async def go():
        await stage.receive(said("2", "stop", START_MS - 1_000))
        await stage.receive(said("1", "start", START_MS - 2_000))
        assert stage.suppressed.rows[("acme", "email", "ada@example.com")] == ("stop", None)
        await stage.receive(said("3", "start", START_MS - 1_000))

    run(go())
    assert stage.suppressed.rows == {}


def test_start_lifts_only_suppressions_by_stop(stage):
    stage.suppressed.rows["acme", "email", "ada@example.com"] = ("manual", None)
    run(stage.receive(Inbound("1", "ada@example.com", "start", "start")))
    assert stage.suppressed.rows


def test_unauthenticated_and_forged_calls_get_the_same_answer(stage):
    said = set()

    async def go():
        stage.vendor.result = Forged("the signature does not match")
        for tenant, provider in (("acme", "mail"), ("acme", "none"), ("none", "mail")):
            with pytest.raises(Unauthorized) as refused:
                await stage.receive(tenant=tenant, provider=provider)
            said.add((refused.value.detail, refused.value.code, refused.value.field))
        stage.owner = msgspec.structs.replace(stage.owner, vendor="silent")
        with pytest.raises(Unauthorized) as refused:
            await stage.receive()
        said.add((refused.value.detail, refused.value.code, refused.value.field))

    run(go())
    assert len(said) == 1
    assert stage.frames() == {}
    assert stage.notes.lines == ["receipt_refused"] * 2, "in the security log, and for the operator"


def test_warnings_about_an_account_are_one_a_minute(stage):
    async def go():
        stage.vendor.result = Unreadable("no event")
        for pause_s in (0, 30, 31):
            await asyncio.sleep(pause_s)
            with pytest.raises(Malformed):
                await stage.receive()

    run(go())
    assert stage.notes.lines == ["receipt_unreadable"] * 2


def test_unauthenticated_calls_hide_no_warning_about_the_providers_calls(stage):
    async def go():
        for parsed, kind in ((Forged("no signature"), Unauthorized), (Unreadable("no event"), Malformed)):
            stage.vendor.result = parsed
            with pytest.raises(kind):
                await stage.receive()

    run(go())
    assert stage.notes.lines == ["receipt_refused", "receipt_refused", "receipt_unreadable"]


def test_a_handshake_is_answered_and_confirmed(stage):
    async def go():
        stage.vendor.result = Handshake(echo="42")
        assert await stage.receive() == "42"
        stage.vendor.result = Handshake(confirm_url="https://sns.example/confirm")
        with pytest.raises(Overloaded):
            await stage.receive()
        stage.egress.answers["https://sns.example/confirm"] = HttpResponse(200, {}, b"")
        assert await stage.receive() == ""

    run(go())
    assert stage.egress.asked == ["https://sns.example/confirm"] * 2


def test_a_key_is_fetched_once_a_day_and_only_over_https(stage):
    url = "https://keys.example/one.pem"

    async def go():
        stage.vendor.result = lambda keys: [receipt(event_id=keys[url].decode())] if url in keys else NeedKey(url)
        with pytest.raises(Overloaded):
            await stage.receive()
        stage.egress.answers[url] = HttpResponse(200, {}, b"pem")
        await stage.receive()
        await stage.receive()
        await asyncio.sleep(25 * 3600)
        await stage.receive()
        stage.vendor.result = lambda keys: NeedKey("http://keys.example/one.pem")
        with pytest.raises(Overloaded):
            await stage.receive()
        stage.vendor.result = lambda keys: NeedKey(url)
        with pytest.raises(Unauthorized):
            await stage.receive()

    run(go())
    assert stage.egress.asked == [url] * 3


def test_many_receipts_of_one_call_are_all_stored(stage):
    run(stage.receive(*(receipt(event_id=str(n)) for n in range(1_203))))
    assert [len(frame.kinds) for frame in stage.frames()[3]] == [500, 500, 203]


def test_the_receipts_of_one_call_are_looked_up_at_once(stage):
    stage.state.by_id["ses", "m-1"] = stage.state.rows[DELIVERY]
    parsed = [receipt(event_id=f"a{n}") for n in range(50)]
    parsed += [receipt(event_id=f"b{n}", reference="", vendor_message_id="m-1") for n in range(50)]
    parsed += [receipt(event_id=f"c{n}", reference=ids.reference(MEMBER, (CHUNK, 1))) for n in range(50)]
    run(stage.receive(*parsed))
    assert stage.state.reads == 3
    assert sum(len(frame.kinds) for frames in stage.frames().values() for frame in frames) == 150


def test_tokens_are_remembered_for_longer_than_they_are_taken():
    assert MAILGUN_RECEIPT_AGE_MS_MAX + RECEIPT_AHEAD_MS_MAX < RECEIPT_ONCE_MS


def test_remembered_tokens_are_bounded(stage, monkeypatch):
    monkeypatch.setattr("clarion.feedback.worker.RECEIPTS_REMEMBERED_MAX", 10)
    run(stage.receive(*(receipt(event_id=str(n)) for n in range(25))))
    run(stage.receive(*(receipt(event_id=str(n)) for n in range(15, 25))))
    assert [len(frame.kinds) for frame in stage.frames()[3]] == [25]
