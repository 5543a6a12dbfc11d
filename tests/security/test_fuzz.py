"""Every endpoint with a body, with bodies made from its own type: an invalid body gets a 4xx, never a server error."""

import asyncio
import json
import shutil
import tempfile
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import inspect

from clarion.accept.shapes import NotificationIn
from clarion.control.users.rules import UserBody
from tests.callers import opens
from tests.people import signed_in
from tests.security.api import ENDS_CREDENTIALS, OPERATOR_KEY, WEBHOOK_SECRET, Api

KNOWN = {
    "to": ["ada", "nobody", {"user_id": "ada"}, {"topic": "fans"}],
    "template": ["note"],
    "category": ["news", None],
    "topic": ["fans", "nope"],
    "topics": [["fans"], []],
    "user_ids": [["ada"], ["ada", "ada"]],
    "vendor": ["sandbox", "fcm", "smtp", "webhook", "inapp"],
    "scopes": [["*"], ["users:read"]],
    "data": [{"text": "x"}, {"text": None, "user": 1, "data": {}}],
    "channels": [["sms"], {"sms": {"body": "{{ data.x }}"}}, {"email": {"subject": "s", "html": "{% if %}"}}],
    "settings": [{}, {"by_attempt": ["accepted"]}, {"host": "h", "from_email": "a@b.example"}, {"project_id": "abc"}],
    "credentials": [None, {}, {"secret": WEBHOOK_SECRET}, {"client_email": "a", "private_key": "b"}],
    "email": ["ada@example.com", None],
    "phone": ["+14155550101", None],
    "zone": ["Europe/Berlin", ""],
    "locale": ["pt-BR", ""],
    "expires_at": ["2090-01-01T00:00:00Z", None],
    "audience": [{"all": True}, {"topic": "fans"}, {"segment": "fans"}],
    "filter": [{"locale": "pt"}, {"all": [{"topic": "fans"}, {"not": {"attribute": "a.b", "in": [1, "x"]}}]}],
    "workflow": [None],
    "cancellation_key": ["order-7", None],
    "local_time": [None, "2026-12-01T09:00"],
    "send_at": ["2020-01-01T00:00:00Z", None],
    "cron": ["0 9 * * *", None],
    "rrule": [None, "FREQ=DAILY;COUNT=3"],
    "start": [None, "2026-12-01T09:00"],
    "too_late": ["1h"],
    "expires_after": ["2d", None],
    "windows": [[{"start": "22:00", "end": "08:00"}], [{"start": "08:00", "end": "08:00", "days": [7, 1]}]],
    "hold_max": ["12h", "8d"],
    "caps": [[], [{"limit": 3, "per": "1h", "channel": "sms"}]],
    "route": [None, {"first": ["push", {"all": ["sms", "email"]}], "until": "seen", "within": "2m"}],
    "address": ["ada@example.com", "+14155550101"],
}
NASTY_TEXT = st.sampled_from([
    "", " ", "\x00", "a\x00b", "a\r\nBcc: b@c.example", "\u2028", "\u202e", "\ufeff", "\U0010ffff", "é" * 300, "x" * 5_000,
    "{{ user }}", "{% raw %}", "{{" * 50, "' OR 1=1 --", "%s%n", "../../x", "<script>", "=?utf-8?q?x?=", "null", "\ud800",
    "9" * 5_000, "-0", "1e999", "NaN", "٣", "a@" + "b" * 300, "+" + "1" * 40, "http://[::1", "https://a:b@c", "*",
])  # fmt: skip
NUMBERS = st.sampled_from([0, -1, 1, 1 << 31, (1 << 63) - 1, 1 << 63, -(1 << 63) - 1, 10**30, 0.5, -0.0, 1e300])
SCALARS = NASTY_TEXT | NUMBERS | st.none() | st.booleans() | st.text(max_size=20)
TIMES = st.sampled_from(["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2030-01-01T00:00:00Z", "now", ""])
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NASTY_TEXT, inner, max_size=3), max_leaves=8
)


def made_of(kind, name="", inside=()):
    """Return values of a msgspec type: mostly of its shape, with known names, odd texts and numbers in it."""
    plain = _plain(kind, inside)
    known = st.sampled_from(KNOWN[name]) if name in KNOWN else plain
    return st.one_of(known, known, plain, SCALARS) if name else plain


def _plain(kind, inside=()):
    """`inside` are the types around it: one that holds itself ends at the third level."""
    match kind:
        case inspect.StructType(cls=cls, fields=fields):
            if inside.count(cls) == 2:
                return SCALARS
            made = {field.encode_name: made_of(field.type, field.encode_name, (*inside, cls)) for field in fields}
            rest = {field.encode_name: made.pop(field.encode_name) for field in fields if not field.required}
            return st.fixed_dictionaries(made, optional=rest)
        case inspect.DictType(key_type=key, value_type=value):
            names = _plain(key, inside) | st.sampled_from(["sms", "news", "*", "body", "data"])
            return st.dictionaries(names, _plain(value, inside), max_size=3)
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            return st.lists(_plain(item, inside), max_size=3)
        case inspect.UnionType(types=kinds):
            return st.one_of(*(_plain(one, inside) for one in kinds))
        case inspect.EnumType(cls=enum):
            return st.sampled_from([member.value for member in enum])
        case inspect.LiteralType(values=values):
            return st.sampled_from(values)
        case inspect.DateTimeType():
            return TIMES
        case inspect.IntType() | inspect.FloatType():
            return NUMBERS
        case inspect.BoolType():
            return st.booleans()
        case inspect.StrType():
            return NASTY_TEXT | st.text(max_size=20)
        case _:
            return ANYTHING


def text_of(value) -> bytes:
    """Return JSON as a careless client writes it: lone surrogates and numbers of any size included."""
    import json

    return json.dumps(value).encode()


@pytest.fixture(scope="module")
def running(furnished):
    """One API for all examples, with a loop to call it on."""
    data_dir, keys = furnished
    with asyncio.Runner() as runner, tempfile.TemporaryDirectory() as folder:
        shutil.copytree(data_dir, Path(folder) / "api")

        async def opened():
            api = Api(Path(folder) / "api")
            api.keys = keys | {"ada": api.tokens.issue("acme", "ada", int(time.time()), 3600)}
            api.people["person"] = await signed_in(api, "pat", "acme", "owner")
            spare = await api.call("POST", "/v1/tenants/acme/keys", b'{"scopes": ["users:read"]}', key=OPERATOR_KEY)
            PLACES["{key_id}"] = spare.json["id"]
            return api

        api = runner.run(opened())
        yield api, runner
        runner.run(api.close())


PLACES = {"{key}": "fans", "{name}": "phone", "{device_id}": "d1", "{id}": "ada"}
ODD_BYTES = (
    b"", b"\x00", b"\xff\xfe", b"{", b"}", b'"', b"[]", b"null", b"0", b'"\\ud800"', b'{"a":1,"a":2}', b"[" * 50_000,
    b'{"a":' * 20_000, b"[" * 50_000 + b"]" * 50_000, b"{}" * 2, b"\xef\xbb\xbf{}", b'{"' + b"k" * 500_000 + b'":1}',
    b"9" * 100_000, b"-", b"1e99999", b"NaN", b"[NaN]", b"\\u0000", b'{"\\u0000":1}', b" " * 900_000,
)  # fmt: skip


def _path(route) -> str:
    path = route.path.replace("/v1/tenants/{id}", "/v1/tenants/acme")
    for place, value in PLACES.items():
        path = path.replace(place, value)
    return path


def _key(route) -> str:
    tenant = "other" if route.path in ENDS_CREDENTIALS else "acme"
    return {"operator": OPERATOR_KEY, "user": "ada", "person": "person"}.get(opens(route.permission), tenant)


def _bodies(api):
    """Return each route with a body, with bodies for it; items of a batch are made like single notifications."""
    for route in api.routes:
        if route.body is not None:
            kind = NotificationIn if route.itemwise else route.body
            bodies = _plain(inspect.type_info(kind))
            yield route, bodies.map(lambda body: {"notifications": [body]}) if route.itemwise else bodies


@pytest.mark.slow
@pytest.mark.nightly
def test_no_body_is_a_server_error(running):
    api, runner = running
    taken = {route.path: _tried(api, runner, route, bodies) for route, bodies in _bodies(api)}
    assert len(taken) > 12
    # The bodies pass the first validation: most routes accepted some of them.
    assert sum(number > 0 for number in taken.values()) >= len(taken) * 2 / 3, sorted(taken.items())


def _tried(api, runner, route, bodies) -> int:
    """Send bodies to a route and return the number accepted."""
    taken = 0

    @settings(max_examples=300, suppress_health_check=list(HealthCheck), deadline=None, derandomize=True)
    @given(bodies)
    def check(body):
        nonlocal taken
        raw = json.dumps(body).encode()  # as a careless client writes it, lone surrogates and all
        api.failures.clear()
        answer = runner.run(api.call(route.method, _path(route), raw, key=_key(route)))
        assert answer.status < 500, (route.path, raw, answer, api.failures)
        assert answer.status < 400 or (answer.json["status"] == answer.status and answer.json["detail"])
        taken += answer.status < 400

    check()
    return taken


def test_no_bytes_are_a_server_error(running):
    api, runner = running
    for route, _ in _bodies(api):
        for raw in ODD_BYTES:
            answer = runner.run(api.call(route.method, _path(route), raw, key=_key(route)))
            assert answer.status < 500, (route.path, raw[:40], answer, api.failures)


@settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None, derandomize=True)
@given(lines=st.lists(_plain(inspect.type_info(UserBody)), max_size=4), junk=st.binary(max_size=40))
def test_no_import_is_a_server_error(running, lines, junk):
    api, runner = running
    raw = b"\n".join([*(json.dumps({"id": f"u{n}", **line}).encode() for n, line in enumerate(lines)), junk])
    answer = runner.run(api.call("POST", "/v1/users/bulk", pieces=[raw[:7], raw[7:30], raw[30:]]))
    assert answer.status == 200, (raw, answer, api.failures)


def test_what_was_stored_can_be_read_back(running):
    """After all calls, every list still responds: no stored item prevents reading the rest."""
    api, runner = running
    for route in api.routes:
        if route.method == "GET" and "{" not in route.path and opens(route.permission) == "key":
            answer = runner.run(api.call("GET", f"{route.path}?limit=200"))
            assert answer.status == 200, (route.path, answer)
            msgspec.json.decode(answer.body)
