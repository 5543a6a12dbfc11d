"""Accounts over HTTP: how they are used, tried before they are stored, how they stand and closing a breaker by hand."""

from types import SimpleNamespace

import msgspec
import pytest

from clarion.backends.memory.standings import MemoryStandings
from clarion.control.providers import standing
from clarion.control.providers.verify import Verifier
from clarion.control.routes import routes
from clarion.domain.channel import Channel
from clarion.domain.errors import EgressError, InvalidField, NotFound, Sent, Unverified
from clarion.domain.history import StandingChange
from clarion.domain.message import HttpRequest, HttpResponse
from clarion.domain.outcome import Misconfigured, Throttled
from clarion.domain.resilience import AccountRules, Breaker, Limits
from clarion.domain.standing import Standing
from clarion.journal.codec import decode
from clarion.journal.topics import OUTCOMES
from clarion.ports.standings import AccountName
from clarion.ports.vendor import Token
from clarion.ports.web import invalid_field
from tests import lookups
from tests.contract.controls import POST_OFFICE, House
from tests.contract.swaps import read, take
from tests.look import Glance

MAIL = {
    "channel": "email",
    "vendor": "post_office",
    "settings": {"from_email": "us@example.com"},
    "credentials": {"api_key": "hunter2-secret"},
}
PATH = "/v1/providers/mail"


class World:
    """The world outside: what it answers, and what it was asked."""

    def __init__(self):
        self.answer = HttpResponse(200, {}, b"")
        self.asked = []
        self.closed = 0

    async def send(self, request):
        self.asked.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def close(self):
        self.closed += 1


def verify_request(account, *, now_ms, token):
    if account.settings.get("batch"):
        raise ValueError(f"cannot use {account.credentials['api_key']}")
    return HttpRequest("GET", "https://post.test/me", {"key": account.credentials["api_key"]}, b"", timeout_ms=60_000)


def read_verify(response, account):
    return Misconfigured(f"no: {response.body.decode()}") if response.status == 401 else None


class Told:
    async def standings(self, tenant, provider, from_ms, to_ms, limit):
        return [StandingChange(tenant, 1_700_000_000_000, provider, "email", "post_office", "closed", "open", "503")]


@pytest.fixture
async def house(engine, empty, tmp_path):
    made = House.copy_of(empty, tmp_path, engine)
    world, post_office = World(), SimpleNamespace(verify_request=verify_request, read_verify=read_verify)
    modules = {(Channel.EMAIL, "post_office"): post_office}
    verifier = Verifier(modules, made.directory, lambda: world, lambda: world, made.clock)
    made.standings, made.world, made.vendor = MemoryStandings(), world, post_office
    made.routes = [
        *routes(
            made.control, made.vault, None, None, {(Channel.EMAIL, "post_office"): POST_OFFICE}, made.clock,
            made.journal, None, verifier,
        ),
        *standing.routes(made.control.providers, made.standings, Told(), made.journal, made.clock),
    ]  # fmt: skip
    yield made
    await made.close()


async def test_an_account_says_how_it_is_used(house):
    rules = {
        "weight": 0,
        "limits": {"per_second": 14, "recipient_interval_ms": 6_000},
        "breaker": {"failure_rate": 0.25, "window_ms": 60_000},
        "on_ambiguous": "stop",
    }
    shown = await house.say("PUT", PATH, MAIL | rules)
    assert {name: shown[name] for name in rules} == rules
    assert await house.say("GET", PATH) == shown
    house.settle()
    (account,) = await lookups.accounts(house.directory, "acme", "email")
    limits = Limits(per_second=14, recipient_interval_ms=6_000)
    assert account.rules == AccountRules(0, limits, Breaker(failure_rate=0.25, window_ms=60_000), "stop")
    again = await house.say("PUT", PATH, MAIL)
    assert (again["weight"], again["limits"], again["breaker"], again["on_ambiguous"]) == (1, {}, {}, None)


WRONG = [
    ({"weight": -1}, "weight"),
    ({"weight": 1_001}, "weight"),
    ({"limits": {"per_second": 0}}, "limits.per_second"),
    ({"limits": {"per_hour": 1}}, "limits.per_hour"),
    ({"breaker": {"failure_rate": 1.5}}, "breaker.failure_rate"),
    ({"breaker": {"window_ms": 10}}, "breaker.window_ms"),
    ({"breaker": {"open_ms": 60_000, "open_max_ms": 5_000}}, "breaker.open_max_ms"),
    ({"on_ambiguous": "pray"}, "on_ambiguous"),
]


async def test_a_wrong_rule_is_named_and_nothing_stored(house):
    for rules, field in WRONG:
        with pytest.raises((InvalidField, msgspec.ValidationError)) as refused:
            await house.call("PUT", PATH, MAIL | rules)
        error = refused.value
        assert (error if isinstance(error, InvalidField) else invalid_field(error)).field == field
    with pytest.raises(NotFound):
        await house.call("GET", PATH)


async def test_an_account_that_works_is_stored_after_one_bounded_call(house):
    assert (await house.say("PUT", PATH, MAIL, verify="true"))["version"] == 1
    (asked,) = house.world.asked
    assert (asked.timeout_ms, house.world.closed) == (10_000, 1)
    house.settle()
    without = {name: value for name, value in MAIL.items() if name != "credentials"}
    assert (await house.say("PUT", PATH, without, verify="true"))["version"] == 2
    assert house.world.asked[1].headers == {"key": "hunter2-secret"}
    await house.say("PUT", PATH, MAIL, verify="false")
    assert len(house.world.asked) == 2
    with pytest.raises(InvalidField) as refused:
        await house.call("PUT", PATH, MAIL, verify="perhaps")
    assert refused.value.field == "verify"


@pytest.mark.parametrize(
    ("answer", "kind", "code", "field"),
    [
        (HttpResponse(401, {}, b"bad key hunter2-secret\n"), InvalidField, "misconfigured", "credentials"),
        (HttpResponse(503, {}, b""), Unverified, "verify_failed", None),
        (HttpResponse(429, {}, b""), Unverified, "verify_failed", None),
        (HttpResponse(302, {"location": "https://elsewhere.test/"}, b""), Unverified, "verify_failed", None),
        (EgressError("refused by hunter2-secret", sent=Sent.NO), Unverified, "verify_failed", None),
        (EgressError("private address", sent=Sent.NO, blocked=True), InvalidField, "egress_blocked", "settings"),
        (TimeoutError(), Unverified, "verify_failed", None),
    ],
)
async def test_an_account_that_does_not_is_refused_and_not_stored(house, answer, kind, code, field):
    house.world.answer = answer
    with pytest.raises(kind) as refused:
        await house.call("PUT", PATH, MAIL, verify="true")
    assert (refused.value.code, refused.value.field) == (code, field)
    assert refused.value.status == (422 if kind is InvalidField else 503)
    assert "hunter2" not in refused.value.detail
    assert house.world.closed == 1
    with pytest.raises(NotFound):
        await house.call("GET", PATH)


async def test_an_account_nothing_can_be_built_for_is_misconfigured(house):
    with pytest.raises(InvalidField) as refused:
        await house.call("PUT", PATH, MAIL | {"settings": {"from_email": "a@b.test", "batch": 1}}, verify="true")
    assert (refused.value.code, refused.value.detail) == ("misconfigured", "cannot use ***")


async def test_a_vendor_that_cannot_tell_says_so(house):
    house.vendor.verify_request = lambda account, *, now_ms, token: None
    for _ in range(2):
        with pytest.raises(InvalidField) as refused:
            await house.call("PUT", PATH, MAIL, verify="true")
        assert (refused.value.code, refused.value.field) == ("verify_unsupported", "verify")
        if hasattr(house.vendor, "verify_request"):
            del house.vendor.verify_request


@pytest.mark.parametrize(
    ("token", "kind"),
    [(Misconfigured("invalid_grant"), InvalidField), (Throttled(1, "busy"), Unverified), (None, None)],
)
async def test_a_token_is_fetched_first(house, token, kind):
    house.vendor.token_request = lambda account, *, now_ms: HttpRequest("POST", "https://post.test/token", {}, b"")
    house.vendor.read_token = lambda response: token or Token("t0ken", 60)
    if kind is None:
        await house.say("PUT", PATH, MAIL, verify="true")
        assert len(house.world.asked) == 2
        return
    with pytest.raises(kind):
        await house.call("PUT", PATH, MAIL, verify="true")
    assert len(house.world.asked) == 1


async def test_an_account_tells_how_it_stands(house):
    await house.say("PUT", PATH, MAIL)
    fresh = await house.say("GET", f"{PATH}/health")
    assert (fresh["state"], fresh["since"], fresh["calls"]) == ("closed", None, 0)
    at_ms = house.clock.monotonic_ms()
    down = Standing(
        "open", 1, ((at_ms - 40_000, 9, 9), (at_ms - 20_000, 10, 4), (at_ms - 1_000, 20, 18)), at_ms - 500,
        at_ms + 4_500, 1, paused_until_ms=at_ms + 1_000, detail="HTTP 503",
    )  # fmt: skip
    await take(house.standings, AccountName("acme", "mail"), down)
    told = await house.say("GET", f"{PATH}/health")
    assert (told["state"], told["detail"], told["calls"], told["failures"]) == ("open", "HTTP 503", 30, 22)
    assert (told["since"], told["until"]) == ("2023-11-14T22:13:19.500000Z", "2023-11-14T22:13:24.500000Z")
    assert told["paused_until"] == "2023-11-14T22:13:21Z"
    assert [(c["before"], c["state"], c["detail"]) for c in told["changes"]] == [("closed", "open", "503")]
    for verb, path in (("GET", f"{PATH}/health"), ("POST", f"{PATH}/reset")):
        with pytest.raises(NotFound):
            await house.call(verb, path, tenant="other")


async def test_what_is_known_of_an_account_before_its_change_is_not_told(house):
    await house.say("PUT", PATH, MAIL)
    await take(house.standings, AccountName("acme", "mail"), Standing("open", 1))
    await house.say("PUT", PATH, MAIL)
    assert (await house.say("GET", f"{PATH}/health"))["state"] == "closed"


async def test_a_breaker_is_closed_by_hand_and_history_says_so(house):
    await house.say("PUT", PATH, MAIL)
    down = Standing("open", 1, ((1, 2, 2),), until_ms=1 << 50, opens=3, rate_m=700, paused_until_ms=1 << 50)
    await take(house.standings, AccountName("acme", "mail"), down)
    assert (await house.call("POST", f"{PATH}/reset")).status == 204
    (after,) = await read(house.standings, AccountName("acme", "mail"))
    assert after == Standing(version=1, changed_ms=house.clock.monotonic_ms(), rate_m=700)
    assert (await house.call("POST", f"{PATH}/reset")).status == 204
    (frame,) = Glance(house.journal).read(OUTCOMES, 0, 0)
    event = decode(frame.payload)
    assert (event.before, event.states, event.providers) == (["open"], ["closed"], ["mail"])
    assert event.details[0].startswith("closed by hand; key ")
