"""Credentials are bound to where they are sent: stored ones stay only while no setting that decides it changes."""

from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clarion.control.providers.fields import check_fields
from clarion.control.providers.verify import Verifier
from clarion.control.routes import routes
from clarion.domain.channel import Channel
from clarion.domain.errors import CallerError, Conflict, InvalidField
from clarion.domain.message import HttpRequest, HttpResponse
from clarion.domain.security_events import SecurityEvent
from clarion.ports.vendor import Field, Traits
from clarion.providers import catalogue
from tests import lookups
from tests.contract.controls import ControlPlane
from tests.providers import battery
from tests.providers.test_destinations import SOME

PATH = "/v1/providers/mine"
VENDORS = catalogue.load()
TABLES = battery.tables()
BOUND = [
    pytest.param(name, field.name, id=f"{name}-{field.name}")
    for name, table in TABLES.items()
    for field in VENDORS[Channel(table["channel"]), table["vendor"]].TRAITS.settings
    if field.is_destination
]


class Network:
    """Records which secret was sent where. Every call succeeds."""

    def __init__(self):
        self.sent = []

    async def send(self, request):
        self.sent.append(request)
        return HttpResponse(200, {}, b"{}")

    async def close(self):
        pass


def plane(made, vendors):
    """Return the control plane with routes over these vendors, and their network."""
    network = Network()
    verifier = Verifier(vendors, made.directory, lambda: network, lambda: network, made.clock)
    declared = {place: vendor.TRAITS for place, vendor in vendors.items()}
    made.routes = routes(
        made.control, made.vault, None, None, declared, made.clock, made.journal, None, verifier, telemetry=made.notes
    )
    return made, network


@pytest.fixture
async def control_plane(control_backend, empty, tmp_path):
    made = ControlPlane.copy_of(empty, tmp_path, control_backend)
    yield made
    await made.close()


def body_of(name, **settings_):
    account = battery.account(TABLES[name])
    given_ = {key: value for key, value in (account.settings | settings_).items() if value is not ...}
    return {"channel": account.channel.value, "vendor": account.vendor, "settings": given_}, account.credentials


async def refused(control_plane, body, field, **query):
    """Check that a change is refused by this field, and that nothing is stored."""
    before = await control_plane.say("GET", PATH)
    with pytest.raises(InvalidField) as found:
        await control_plane.call("PUT", PATH, body, **query)
    error = found.value
    assert (error.status, error.code, error.field) == (422, "credentials_required", field)
    assert "give the credentials again" in error.detail
    assert await control_plane.say("GET", PATH) == before
    event, fields = control_plane.notes.events[-1]
    assert (event, fields["tenant"], fields["subject"]) == (SecurityEvent.CREDENTIALS_REQUIRED, "acme", "mine")


def others(name, setting):
    """Return values of a setting that may be stored, other than that of the table."""
    body, _ = body_of(name)
    fields = VENDORS[Channel(body["channel"]), body["vendor"]].TRAITS.settings
    (field,) = [field for field in fields if field.name == setting]
    current = body["settings"].get(setting, field.default)
    found = [value for value in SOME[field.kind] if value != current]
    return [value for value in found if storable(fields, body["settings"] | {setting: value})]


def storable(fields, given_):
    try:
        return bool(check_fields(fields, given_, "settings", secret=False))
    except InvalidField:
        return False


@pytest.mark.parametrize(("name", "setting"), BOUND)
async def test_a_changed_destination_needs_the_credentials_again(control_plane, name, setting):
    control_plane, network = plane(control_plane, VENDORS)
    body, credentials = body_of(name)
    credentials = credentials or {"password": "hunter2-secret"}
    await control_plane.say("PUT", PATH, body | {"credentials": credentials})
    control_plane.settle()
    values = others(name, setting)
    for value in values:
        changed, _ = body_of(name, **{setting: value})
        await refused(control_plane, changed, f"settings.{setting}")
        await refused(control_plane, changed, f"settings.{setting}", verify="true")
    assert not network.sent
    assert (await control_plane.say("PUT", PATH, changed | {"credentials": credentials}))["settings"][setting] == value


SAME = [
    ("email_postmark", {}, {"base_url": "https://api.postmarkapp.com"}),
    ("email_postmark", {}, {"base_url": "HTTPS://API.PostmarkApp.com:443/"}),
    ("email_postmark", {"base_url": "http://proxy.test:80/a"}, {"base_url": "http://Proxy.test/a/"}),
    ("email_postmark", {"base_url": "https://api.postmarkapp.com/"}, {"base_url": None}),
    ("email_smtp", {"host": "mail.test"}, {"host": "Mail.TEST", "port": 587, "security": "starttls"}),
    ("push_fcm", {}, {"token_url": "https://oauth2.googleapis.com/token", "android_priority": "NORMAL"}),
    ("chat_slack", {}, {"webhook_base_url": "https://elsewhere.test"}),
]
OTHER = [
    ("email_postmark", {"base_url": "https://proxy.test/a"}, {"base_url": "https://proxy.test/A"}),
    ("email_postmark", {"base_url": "https://proxy.test"}, {"base_url": "http://proxy.test"}),
    ("email_postmark", {"base_url": "https://proxy.test"}, {"base_url": "https://proxy.test:80"}),
    ("email_postmark", {"base_url": "https://k.test"}, {"base_url": "https://\u212a.test"}),
    ("email_postmark", {"base_url": "https://proxy.test"}, {"base_url": ...}),
]


@pytest.mark.parametrize(("name", "first", "then"), SAME)
async def test_another_spelling_of_a_destination_keeps_the_credentials(control_plane, name, first, then):
    control_plane, _ = plane(control_plane, VENDORS)
    body, credentials = body_of(name, **first)
    credentials = credentials or {"password": "hunter2-secret"}
    await control_plane.say("PUT", PATH, body | {"credentials": credentials})
    body, _ = body_of(name, **first | then)
    shown = await control_plane.say("PUT", PATH, body)
    assert (shown["version"], shown["credentials_set"]) == (2, sorted(credentials))
    control_plane.settle()
    assert (await control_plane.directory.account("acme", "mine")).credentials == credentials


@pytest.mark.parametrize(("name", "first", "then"), OTHER)
async def test_a_destination_that_may_be_another_is_another(control_plane, name, first, then):
    control_plane, _ = plane(control_plane, VENDORS)
    body, credentials = body_of(name, **first)
    await control_plane.say("PUT", PATH, body | {"credentials": credentials})
    body, _ = body_of(name, **first | then)
    await refused(control_plane, body, "settings.base_url")


async def test_another_vendor_or_channel_needs_the_credentials_again(control_plane):
    control_plane, network = plane(control_plane, VENDORS)
    body, _ = body_of("email_smtp")
    await control_plane.say("PUT", PATH, body | {"credentials": {"username": "us", "password": "hunter2-secret"}})
    await refused(control_plane, {"channel": "email", "vendor": "sandbox"}, "vendor", verify="true")
    await refused(control_plane, {"channel": "sms", "vendor": "sandbox"}, "channel")
    await refused(control_plane, {"channel": "chat", "vendor": "slack"}, "channel")
    assert not network.sent
    shown = await control_plane.say("PUT", PATH, {"channel": "sms", "vendor": "sandbox", "credentials": {}})
    assert shown["credentials_set"] == []
    assert (await control_plane.say("PUT", PATH, body))["version"] == 3, "there was nothing to keep"
    changed, _ = body_of("email_smtp", host="elsewhere.test")
    assert (await control_plane.say("PUT", PATH, changed))["settings"]["host"] == "elsewhere.test"


async def test_given_credentials_replace_all_stored_ones(control_plane):
    """There is no part of the credentials that stays next to given ones, at another address or at the same."""
    control_plane, _ = plane(control_plane, VENDORS)
    body, _ = body_of("email_smtp")
    await control_plane.say("PUT", PATH, body | {"credentials": {"username": "us", "password": "hunter2-secret"}})
    changed, _ = body_of("email_smtp", host="elsewhere.test")
    for given_ in ({"username": "us"}, {"username": "us", "password": None}):
        shown = await control_plane.say("PUT", PATH, changed | {"credentials": given_})
        assert shown["credentials_set"] == ["username"]


async def test_an_account_that_changes_during_verification_is_neither_called_nor_stored(control_plane):
    """The request was checked against an account whose credentials were replaced before they were read."""
    control_plane, network = plane(control_plane, {PLACE: POST})
    await control_plane.say("PUT", PATH, mine("evil.test", {"key": "fake"}))
    providers = control_plane.control.providers
    found = await providers.get("acme", "mine")
    await control_plane.say("PUT", PATH, mine("mail.test", {"key": "hunter2-secret"}))
    control_plane.settle()

    async def stale(tenant, name):
        return found

    providers.get, read = stale, providers.get
    for query in ({"verify": "true"}, {}):
        with pytest.raises(Conflict):
            await control_plane.call("PUT", PATH, mine("evil.test", None), **query)
    providers.get = read
    assert not network.sent
    assert (await control_plane.say("GET", PATH))["version"] == 2


def verify_request(account, *, now_ms, token):
    return HttpRequest("GET", place_of(account.settings), dict(account.credentials), b"")


def place_of(given_):
    return f"{given_['host'].lower()} {given_.get('port', 1)} {given_.get('base_url')}"


PLACE = (Channel.EMAIL, "post")
POST = SimpleNamespace(
    verify_request=verify_request,
    read_verify=lambda response, account: None,
    TRAITS=Traits(
        "post", (Channel.EMAIL,), "A vendor of these tests", "http",
        (Field("host", kind="host", required=True), Field("port", kind="integer", default=1, destination=True),
         Field("base_url", kind="url"), Field("note")),
        (Field("key"), Field("second")),
    ),
)  # fmt: skip


def mine(host, credentials, **more):
    body = {"channel": "email", "vendor": "post", "settings": {"host": host, **more}}
    return body if credentials is None else body | {"credentials": credentials}


hosts = st.sampled_from(["mail.test", "evil.test", "Mail.test"])
steps = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "verify", "remove"]),
        hosts,
        st.none() | st.sampled_from([("key",), ("second",), ("key", "second")]),
        st.fixed_dictionaries(
            {},
            optional={
                "port": st.sampled_from([1, 2]),
                "base_url": st.sampled_from(["https://a.test", "https://b.test"]),
                "note": st.sampled_from(["x", "y"]),
            },
        ),
    ),
    max_size=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
async def test_no_secret_goes_where_it_was_not_given_for(control_plane, steps):
    """Each secret is new, and noted with the address that it was given for. Neither a verification nor a later send
    carries it to another one."""
    control_plane, network = plane(control_plane, {PLACE: POST})
    providers, granted = control_plane.control.providers, set()
    await providers.remove("acme", "mine")
    for number, (action, host, fields, more) in enumerate(steps):
        if action == "remove":
            await providers.remove("acme", "mine")
            continue
        body = mine(host, fields and {name: f"secret-{name}-{number}" for name in fields}, **more)
        granted |= {(place_of(body["settings"]), secret) for secret in body.get("credentials", {}).values()}
        try:
            await control_plane.call("PUT", PATH, body, **({"verify": "true"} if action == "verify" else {}))
        except CallerError as error:
            assert error.code == "credentials_required"
        control_plane.settle()
        accounts = await lookups.accounts(control_plane.directory, "acme", "email")
        network.sent += [verify_request(account, now_ms=0, token=None) for account in accounts]
    assert {(request.url, secret) for request in network.sent for secret in request.headers.values()} <= granted
