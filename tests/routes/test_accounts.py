"""Accounts over HTTP: their usage rules, verification before they are stored, account health, and closing a breaker by hand."""

from types import SimpleNamespace

import msgspec
import pytest

from clarion.control.providers import health
from clarion.control.providers.verify import Verifier
from clarion.control.routes import routes
from clarion.domain.account_health import AccountHealth
from clarion.domain.channel import Channel
from clarion.domain.errors import EgressError, InvalidField, NotFound, Sent, Unverified
from clarion.domain.history import HealthChange
from clarion.domain.message import HttpRequest, HttpResponse
from clarion.domain.outcome import Misconfigured, Throttled
from clarion.domain.resilience import AccountRules, Breaker, Limits
from clarion.journal.codec import decode
from clarion.journal.topics import OUTCOMES
from clarion.ports.account_health import AccountName
from clarion.ports.vendor import Token
from clarion.ports.web import invalid_field
from clarion.stores.memory.account_health import MemoryAccountHealth
from tests import lookups
from tests.contract.controls import POST_OFFICE, ControlPlane
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
    """The network: scripted responses, and the recorded requests."""

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


class StoredOutcome:
    async def health_changes(self, tenant, provider, from_ms, to_ms, limit):
        return [HealthChange(tenant, 1_700_000_000_000, provider, "email", "post_office", "closed", "open", "503")]


@pytest.fixture
async def control_plane(control_backend, empty, tmp_path):
    made = ControlPlane.copy_of(empty, tmp_path, control_backend)
    world, post_office = World(), SimpleNamespace(verify_request=verify_request, read_verify=read_verify)
    modules = {(Channel.EMAIL, "post_office"): post_office}
    verifier = Verifier(modules, made.directory, lambda: world, lambda: world, made.clock)
    made.account_health, made.world, made.vendor = MemoryAccountHealth(), world, post_office
    made.routes = [
        *routes(
            made.control, made.vault, None, None, {(Channel.EMAIL, "post_office"): POST_OFFICE}, made.clock,
            made.journal, None, verifier, telemetry=made.notes,
        ),
        *health.routes(made.control.providers, made.account_health, StoredOutcome(), made.journal, made.clock),
    ]  # fmt: skip
    yield made
    await made.close()


async def test_an_account_says_how_it_is_used(control_plane):
    rules = {
        "weight": 0,
        "limits": {"per_second": 14, "recipient_interval_ms": 6_000},
        "breaker": {"failure_rate": 0.25, "window_ms": 60_000},
        "on_ambiguous": "stop",
    }
    shown = await control_plane.say("PUT", PATH, MAIL | rules)
    assert {name: shown[name] for name in rules} == rules
    assert await control_plane.say("GET", PATH) == shown
    control_plane.settle()
    (account,) = await lookups.accounts(control_plane.directory, "acme", "email")
    limits = Limits(per_second=14, recipient_interval_ms=6_000)
    assert account.rules == AccountRules(0, limits, Breaker(failure_rate=0.25, window_ms=60_000), "stop")
    again = await control_plane.say("PUT", PATH, MAIL)
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


async def test_a_wrong_rule_is_named_and_nothing_stored(control_plane):
    for rules, field in WRONG:
        with pytest.raises((InvalidField, msgspec.ValidationError)) as refused:
            await control_plane.call("PUT", PATH, MAIL | rules)
        error = refused.value
        assert (error if isinstance(error, InvalidField) else invalid_field(error)).field == field
    with pytest.raises(NotFound):
        await control_plane.call("GET", PATH)


async def test_an_account_that_works_is_stored_after_one_bounded_call(control_plane):
    assert (await control_plane.say("PUT", PATH, MAIL, verify="true"))["version"] == 1
    (asked,) = control_plane.world.asked
    assert (asked.timeout_ms, control_plane.world.closed) == (10_000, 1)
    control_plane.settle()
    without = {name: value for name, value in MAIL.items() if name != "credentials"}
    assert (await control_plane.say("PUT", PATH, without, verify="true"))["version"] == 2
    assert control_plane.world.asked[1].headers == {"key": "hunter2-secret"}
    await control_plane.say("PUT", PATH, MAIL, verify="false")
    assert len(control_plane.world.asked) == 2
    with pytest.raises(InvalidField) as refused:
        await control_plane.call("PUT", PATH, MAIL, verify="perhaps")
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
async def test_an_account_that_does_not_is_refused_and_not_stored(control_plane, answer, kind, code, field):
    control_plane.world.answer = answer
    with pytest.raises(kind) as refused:
        await control_plane.call("PUT", PATH, MAIL, verify="true")
    assert (refused.value.code, refused.value.field) == (code, field)
    assert refused.value.status == (422 if kind is InvalidField else 503)
    assert "hunter2" not in refused.value.detail
    assert control_plane.world.closed == 1
    with pytest.raises(NotFound):
        await control_plane.call("GET", PATH)


async def test_an_account_nothing_can_be_built_for_is_misconfigured(control_plane):
    with pytest.raises(InvalidField) as refused:
        await control_plane.call(
            "PUT", PATH, MAIL | {"settings": {"from_email": "a@b.test", "batch": 1}}, verify="true"
        )
    assert (refused.value.code, refused.value.detail) == ("misconfigured", "cannot use ***")


async def test_a_vendor_without_verification_is_reported(control_plane):
    control_plane.vendor.verify_request = lambda account, *, now_ms, token: None
    for _ in range(2):
        with pytest.raises(InvalidField) as refused:
            await control_plane.call("PUT", PATH, MAIL, verify="true")
        assert (refused.value.code, refused.value.field) == ("verify_unsupported", "verify")
        if hasattr(control_plane.vendor, "verify_request"):
            del control_plane.vendor.verify_request


@pytest.mark.parametrize(
    ("token", "kind"),
    [(Misconfigured("invalid_grant"), InvalidField), (Throttled(1, "busy"), Unverified), (None, None)],
)
async def test_a_token_is_fetched_first(control_plane, token, kind):
    control_plane.vendor.token_request = lambda account, *, now_ms: HttpRequest(
        "POST", "https://post.test/token", {}, b""
    )
    control_plane.vendor.read_token = lambda response: token or Token("t0ken", 60)
    if kind is None:
        await control_plane.say("PUT", PATH, MAIL, verify="true")
        assert len(control_plane.world.asked) == 2
        return
    with pytest.raises(kind):
        await control_plane.call("PUT", PATH, MAIL, verify="true")
    assert len(control_plane.world.asked) == 1


async def test_an_account_shows_its_health(control_plane):
    await control_plane.say("PUT", PATH, MAIL)
    fresh = await control_plane.say("GET", f"{PATH}/health")
    assert (fresh["state"], fresh["since"], fresh["calls"]) == ("closed", None, 0)
    at_ms = control_plane.clock.monotonic_ms()
    down = AccountHealth(
        "open", 1, ((at_ms - 40_000, 9, 9), (at_ms - 20_000, 10, 4), (at_ms - 1_000, 20, 18)), at_ms - 500,
        at_ms + 4_500, 1, paused_until_ms=at_ms + 1_000, detail="HTTP 503",
    )  # fmt: skip
    await take(control_plane.account_health, AccountName("acme", "mail"), down)
    result = await control_plane.say("GET", f"{PATH}/health")
    assert (result["state"], result["detail"], result["calls"], result["failures"]) == ("open", "HTTP 503", 30, 22)
    assert (result["since"], result["until"]) == ("2023-11-14T22:13:19.500000Z", "2023-11-14T22:13:24.500000Z")
    assert result["paused_until"] == "2023-11-14T22:13:21Z"
    assert [(c["before"], c["state"], c["detail"]) for c in result["changes"]] == [("closed", "open", "503")]
    for verb, path in (("GET", f"{PATH}/health"), ("POST", f"{PATH}/reset")):
        with pytest.raises(NotFound):
            await control_plane.call(verb, path, tenant="other")


async def test_health_of_an_account_before_its_change_is_not_shown(control_plane):
    await control_plane.say("PUT", PATH, MAIL)
    await take(control_plane.account_health, AccountName("acme", "mail"), AccountHealth("open", 1))
    await control_plane.say("PUT", PATH, MAIL)
    assert (await control_plane.say("GET", f"{PATH}/health"))["state"] == "closed"


async def test_a_breaker_closed_by_hand_is_in_the_history(control_plane):
    await control_plane.say("PUT", PATH, MAIL)
    down = AccountHealth("open", 1, ((1, 2, 2),), until_ms=1 << 50, opens=3, rate_m=700, paused_until_ms=1 << 50)
    await take(control_plane.account_health, AccountName("acme", "mail"), down)
    assert (await control_plane.call("POST", f"{PATH}/reset")).status == 204
    (after,) = await read(control_plane.account_health, AccountName("acme", "mail"))
    assert after == AccountHealth(version=1, changed_ms=control_plane.clock.monotonic_ms(), rate_m=700)
    assert (await control_plane.call("POST", f"{PATH}/reset")).status == 204
    (frame,) = Glance(control_plane.journal).read(OUTCOMES, 0, 0)
    event = decode(frame.payload)
    assert (event.before, event.states, event.providers) == (["open"], ["closed"], ["mail"])
    assert event.details[0].startswith("closed by hand; key ")
