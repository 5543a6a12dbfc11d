"""Outages of the simulator: their syntax, their duration, and the vendors' responses during one."""

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.duration import duration_text
from clarion.domain.message import Message
from clarion.domain.outcome import Ambiguous, Misconfigured, Refused, Throttled, Transient
from clarion.providers import catalogue
from clarion_lab.simulate.config import Faults
from clarion_lab.simulate.direct import answered, call_of
from clarion_lab.simulate.faults import Answer, Chooser
from clarion_lab.simulate.http2 import Request
from clarion_lab.simulate.outages import ANSWERS, NOTHING, Effect, OutageError, Outages, parse
from clarion_lab.simulate.receipts import Receipts
from clarion_lab.simulate.run import VENDORS
from clarion_lab.simulate.services import OUTAGES_PATH, Services
from clarion_lab.simulate.vendors.script import Secrets
from clarion_lab.simulate.vendors.stage import SCRIPTS, Stage
from tests.providers import battery

NOW_MS = 1_700_000_000_000
ORIGIN = "https://127.0.0.1:1"
MODULES = catalogue.load()
PARTS = {"subject": "s", "text": "t", "title": "t", "body": "b"}
WORDS = st.sampled_from(
    ["fcm", "twilio", "down", "20%", "0%", "%", "503", "429", "flapping", "slow", "from", "for", "retry-after", "5s", "9", "x"]
)  # fmt: skip


def test_what_the_documentation_shows():
    assert parse("fcm down 10m", VENDORS) == msgspec.structs.replace(
        parse("fcm down for 10m", VENDORS), text="fcm down 10m"
    )
    twilio = parse("twilio 20% 503 from 30s for 5m", VENDORS)
    assert (twilio.vendor, twilio.answer, twilio.share, twilio.from_s, twilio.for_s) == (
        "twilio", Answer.UNAVAILABLE, 0.2, 30.0, 300.0,
    )  # fmt: skip
    assert parse("ses flapping 30s", VENDORS).period_s == 30.0
    assert parse("FCM slow 5s", VENDORS).slow_s == 5.0
    sendgrid = parse("sendgrid 429 retry-after 7", VENDORS)
    assert (sendgrid.answer, sendgrid.retry_after_s) == (Answer.THROTTLE, 7)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "needs a vendor"),
        ("fcm", "needs a vendor"),
        ("fmc down", "no vendor 'fmc'"),
        ("fcm broken", "'broken' is no failure of a vendor"),
        ("fcm 0% 503", "above 0%"),
        ("fcm 101% 503", "above 0%"),
        ("fcm x% 503", "not a share"),
        ("fcm 20%", "ends before its failure"),
        ("fcm down soon", "'soon' is not a duration"),
        ("fcm down 10m for 5m", "given twice"),
        ("fcm 503 for 5m for 5m", "given twice"),
        ("fcm 503 until 5m", "'until' is not understood"),
        ("fcm flapping", "the time after 'flapping'"),
        ("fcm slow 1h", "not between"),
        ("fcm 500 retry-after 7", "goes with 429"),
        ("fcm 429 retry-after soon", "'soon' is not a number"),
        ("fcm down " + "x" * 300, "at most 200"),
    ],
)
def test_what_is_wrong_is_named(text, words):
    with pytest.raises(OutageError, match=words):
        parse(text, VENDORS)


@given(st.lists(WORDS, max_size=8).map(" ".join) | st.text(max_size=60))
def test_any_text_is_an_outage_or_says_what_is_wrong(text):
    try:
        outage = parse(text, VENDORS)
    except OutageError as error:
        assert str(error)
        return
    assert outage.vendor in VENDORS
    assert 0 < outage.share <= 1
    assert parse(outage.text, VENDORS) == outage


@given(
    st.sampled_from(sorted(VENDORS)), st.sampled_from(sorted(ANSWERS)), st.integers(1, 100), st.integers(1, 86_400),
    st.integers(1, 86_400), st.integers(0, 200_000),
)  # fmt: skip
def test_an_outage_holds_from_then_for_as_long_and_no_longer(vendor, kind, share, from_s, for_s, at_s):
    text = f"{vendor} {share}% {kind} from {duration_text(from_s * 1000)} for {duration_text(for_s * 1000)}"
    outage = parse(text, VENDORS)
    assert outage.holds(at_s) == (from_s <= at_s < from_s + for_s)
    assert (outage.answer, outage.share) == (ANSWERS[kind], share / 100)


def test_flapping_goes_down_first_and_comes_back():
    now = [0.0]
    outages = Outages(VENDORS, lambda: now[0])
    outages.report(["ses flapping 30s", "fcm slow 5s", "fcm slow 1s"])
    seen = []
    for at_s in (0, 29.9, 30, 59, 60, 90):
        now[0] = at_s
        seen.append(outages.effect("ses").answer is Answer.UNAVAILABLE)
    assert seen == [True, True, False, False, True, False]
    assert outages.effect("fcm") == Effect(slow_s=6.0)
    assert outages.effect("twilio") == NOTHING


def test_a_share_hits_about_as_many_and_always_the_same():
    def hit(seed):
        outages = Outages(VENDORS, lambda: 0.0, seed)
        outages.report(["fcm 20% 429"])
        return [outages.effect("fcm").answer for _ in range(2_000)]

    assert hit(1) == hit(1) != hit(2)
    assert 300 < hit(1).count(Answer.THROTTLE) < 500


def test_a_list_with_a_mistake_changes_nothing():
    outages = Outages(VENDORS, lambda: 0.0)
    outages.report(["fcm down"])
    with pytest.raises(OutageError, match="no vendor"):
        outages.report(["twilio down", "nobody down"])
    with pytest.raises(OutageError, match="at most 100"):
        outages.report(["twilio down"] * 101)
    assert outages.texts == ("fcm down",)
    outages.report([])
    assert outages.effect("fcm") == NOTHING


@pytest.fixture
def stage(tmp_path):
    """Return a function that sends a message to a simulated vendor, without a socket, during an outage; it returns the reply and
    the outcome."""
    secrets = Secrets(hashlib.sha256(b"x").digest())
    receipts = Receipts(tmp_path / "r", Chooser(0, Faults()), fsync=False)
    outages = Outages(VENDORS, lambda: 0.0)
    played = Stage(receipts, secrets, 1, outages)

    def send(script, what):
        outages.report([f"{script.vendor} {what}"])
        account = Account("acme", "a", Channel(script.channel), script.vendor, 0, **script.account(secrets, ORIGIN))
        parts = PARTS if script.channel != "chat" else {"text": "t"}
        address = script.address(secrets, ORIGIN)
        message = Message(f"dlv_{1:048x}", "ntf_1", "acme", account.channel, "ada", address, parts, 1, NOW_MS)
        module = MODULES[account.channel, script.vendor]
        request = module.build(message, account, now_ms=NOW_MS, token=None)
        reply = played.answer(call_of(request))
        return reply, reply.action == "answer" and module.read(answered(reply), message, account, now_ms=NOW_MS)

    yield send
    receipts.close()


AMBIGUOUS_5XX = {"twilio", "vonage", "termii", "sns", "whatsapp", "slack"}
"""Where a 5xx may have been sent."""


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name or script.vendor)
def test_each_vendor_is_down_in_its_own_words(stage, script):
    reply, outcome = stage(script, "down")
    assert reply.status == 503
    assert isinstance(outcome, (Transient, Throttled, Ambiguous))
    assert isinstance(outcome, Ambiguous) <= (script.vendor in AMBIGUOUS_5XX)
    assert isinstance(stage(script, "429 retry-after 7")[1], Throttled)
    reply, outcome = stage(script, "500")
    assert isinstance(outcome, (Transient, Ambiguous))
    reply, outcome = stage(script, "hang")
    assert reply.action == "hang"
    assert stage(script, "slow 5s")[0].slow_s == 5.0


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name or script.vendor)
def test_each_vendor_words_a_wrong_credential(stage, script):
    outcome = stage(script, "401")[1]
    # Slack's webhooks have no account: the URL is the only credential, and belongs to one address.
    assert isinstance(outcome, Refused if script.name == "slack-webhook" else Misconfigured)


def test_a_stated_pause_reaches_the_vendors_module(stage):
    for script in SCRIPTS:
        if script.vendor in ("twilio", "termii", "apns", "webpush", "postmark", "mailgun"):
            assert stage(script, "429 retry-after 7")[1].after_ms == 7_000, script.vendor


@pytest.fixture
def services(tmp_path):
    account = {"project_id": "simulator", "client_email": "a@b", "private_key_id": "1",
               "private_key": battery.rsa_pem()}  # fmt: skip
    receipts = Receipts(tmp_path / "r", Chooser(0, Faults()), fsync=False)
    outages = Outages(VENDORS, lambda: 0.0)
    secret = "whsec_" + "QUJD" * 11 + "QUI="
    yield Services(receipts, account, secret, Stage(receipts, Secrets(b"x" * 32), 1, outages), 1, outages)
    receipts.close()


def test_outages_are_reported_over_http(services):
    def ask(method, body=b""):
        (reply,) = services.handle([Request(1, {":method": method, ":path": OUTAGES_PATH}, body)])
        return reply.status, msgspec.json.decode(reply.body)

    assert ask("GET") == (200, {"outages": []})
    assert ask("POST", b'{"outages": ["fcm down 10m", "webhook 401"]}')[0] == 200
    assert ask("POST", b'{"outages": ["fcm dwn"]}') == (
        400, {"error": f"'dwn' is no failure of a vendor; there is {', '.join((*ANSWERS, 'flapping', 'slow'))}"},
    )  # fmt: skip
    assert ask("POST", b'{"outage": []}')[0] == 400
    assert ask("GET") == (200, {"outages": ["fcm down 10m", "webhook 401"]})
    send = {":method": "POST", ":path": "/v1/projects/simulator/messages:send"}
    down, hook = services.handle([Request(1, send, b"{}"), Request(3, {":method": "POST", ":path": "/webhook"}, b"{}")])
    assert (down.status, msgspec.json.decode(down.body)["error"]["status"]) == (503, "UNAVAILABLE")
    assert hook.status == 401
