"""Every vendor, with hostile settings, credentials, addresses, content and responses, from its table of the battery.

For any account that could be stored and any message, `build` returns a request to the account's own origin, with sound headers
and a body of the declared type, or raises `ValueError`. For any response of a server, `read` returns an outcome that can be
stored and shown. A vendor with a table is tested here without being named.
"""

import json
import re
from email import message_from_bytes
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clarion.control.providers.fields import check_fields
from clarion.deliver.rules.retry import RetryPolicy, Turn, after
from clarion.deliver.rules.sanitize import sanitized, secrets_of
from clarion.domain.attachment import Attachment
from clarion.domain.channel import Channel
from clarion.domain.content import PARTS
from clarion.domain.errors import InvalidField
from clarion.domain.message import AppriseReply, HttpRequest, HttpResponse, SmtpReply, SmtpRequest
from clarion.domain.outcome import Accepted, Refused
from clarion.domain.trail import Trail
from clarion.providers import catalogue
from tests.providers import battery

pytestmark = pytest.mark.slow

VENDORS = catalogue.load()
CASES = [
    pytest.param(VENDORS[Channel(table["channel"]), table["vendor"]], table, id=name)
    for name, table in battery.tables().items()
]
HTTP = [case for case in CASES if case.values[0].TRAITS.transport == "http"]
BATCHING = [case for case in CASES if case.values[0].TRAITS.batch_max > 1]
REMOTE = [case for case in CASES if case.values[0].TRAITS.transport != "local"]

BREAKS = ["\r\n", "\n", "\r", "\x00", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"]
INJECTIONS = [
    *(f"{line}bcc: b@c.example" for line in BREAKS),
    "/../../admin", "?to=x", "#x", "@evil.example/", "\\evil.example", "%2e%2e%2f", "&to=%2b1", "=", " ", '"', "\\", ">", ",b@c.example",
    "<script>", "'", ";", "\u202e", "\ud800",
]  # fmt: skip
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
URLS = [
    "https://proxy.example", "https://proxy.example/", "https://proxy.example:8443", "https://proxy.example/a/b", "https://[2606::1]",
    "https://PROXY.example", "https://b\u00fccher.example", "https://proxy.example?", "https://proxy.example#", "https://proxy.example/?a=b",
    "https://proxy.example/#a", "https://proxy.example?a=", "https://a%2fb.example", "https://a\\b.example", "https://a..example",
    "https://proxy.example/%0d%0a", "https://proxy.example/\u00fc", "https://proxy.example/..", "http://proxy.example",
]  # fmt: skip
_ORIGIN = re.compile(r"https?://[^\x00-\x20\x7f-\U0010ffff/\\?#@%]+(?=[/?]|\Z)")
_UNSHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_HEADERS = {
    b"From", b"Reply-To", b"To", b"Subject", b"Message-ID", b"Date", b"MIME-Version", b"Content-Type",
    b"Content-Transfer-Encoding", b"List-Unsubscribe", b"List-Unsubscribe-Post", b"DKIM-Signature",
}  # fmt: skip

_PART_HEADERS = {"Content-Type", "Content-Transfer-Encoding", "Content-ID", "Content-Disposition"}


def near(text):
    """Return the text of the table, with something after, before or inside it, or any other text."""
    at = len(text) // 2
    tails = st.sampled_from(INJECTIONS)
    odd = tails.map(lambda tail: text + tail) | tails.map(lambda tail: text[:at] + tail + text[at:])
    return st.just(text) | odd | tails.map(lambda tail: tail + text) | st.text(max_size=30) | st.just(text * 2_000)


def values_of(fields, given_values, *, secret):
    """Return values with which an account can be stored, by the validation of accounts; most are the table's."""

    def one(field):
        known = given_values.get(field.name, field.default)
        if field.kind == "url":
            return st.sampled_from(URLS)
        if field.kind in ("boolean", "integer"):
            return st.booleans() if field.kind == "boolean" else st.integers(field.least, field.most)
        if field.kind != "string":
            return st.just(known)
        odd = near(known if isinstance(known, str) else "x")
        return odd | st.from_regex(field.pattern, fullmatch=True) if field.pattern else odd

    def checked(changes):
        values = given_values | changes
        try:
            return check_fields(fields, values, "x", secret=secret)
        except InvalidField:
            return None

    drawn = [st.just({})] + [one(field).map(lambda value, name=field.name: {name: value}) for field in fields]
    pairs = st.tuples(st.one_of(drawn), st.one_of(drawn)).map(lambda two: checked(two[0] | two[1]))
    return pairs.filter(lambda values: values is not None)


def accounts(vendor, table):
    owner = battery.account(table)
    return st.builds(
        lambda values, credentials: msgspec.structs.replace(owner, settings=values, credentials=credentials),
        values_of(vendor.TRAITS.settings, owner.settings, secret=False),
        values_of(vendor.TRAITS.credentials, owner.credentials, secret=True),
    )


FILES = st.sampled_from([Attachment("a.pdf", "", b"x"), Attachment("ä.png", "image/png", b"", cid="logo")]) | st.builds(
    Attachment,
    filename=near("a.pdf"),
    content_type=st.just("") | near("text/plain; charset=utf-8"),
    content=st.binary(max_size=20),
    cid=st.just("") | near("logo"),
)
"""Files as requests may name them."""


def messages(table):
    """Return the table's message with parts, address, expiry and metadata changed as templates and users may change them."""
    known = table["message"].get("parts", {})
    kinds = {}
    for name, part in PARTS[Channel(table["channel"])].items():
        text = known.get(name)
        odd = near(text if isinstance(text, str) else "x")
        kinds[name] = odd | ANYTHING if part.kind == "tree" else odd
        if text is not None:
            kinds[name] |= st.just(text)
    return st.fixed_dictionaries(
        {
            "address": near(table["message"]["address"]),
            "parts": st.just(known) | st.fixed_dictionaries({}, optional=kinds).map(lambda parts: known | parts),
            "metadata": st.just({}) | near("https://x.example/u").map(lambda link: {"list_unsubscribe": link}),
            "expires_ms": st.none() | st.integers(0, 1 << 53),
            "unsubscribe_url": st.just("") | near("https://x.example/v1/unsubscribe/t"),
            "attachments": st.just(()) | st.lists(FILES, max_size=2).map(tuple),
        }
    )


def origins(vendor, owner, address):
    """Return the origins an account's requests may go to: those of its settings, or of the address where that is the URL."""
    urls = [f.default for f in vendor.TRAITS.settings if f.kind == "url" and f.default]
    urls += [owner.settings[f.name] for f in vendor.TRAITS.settings if f.kind == "url" and owner.settings.get(f.name)]
    if region := owner.settings.get("region"):
        urls += [f"https://{name}.{region}.amazonaws.com{end}" for name in ("email", "sns") for end in ("", ".cn")]
    if owner.channel in (Channel.WEBHOOK, Channel.WEBPUSH):
        urls += re.findall(r"https?://[^\"\\ ]+", address)
    return {urlsplit(url)[:2] for url in urls}


def is_sound(request, vendor, owner, address):
    """Check that a request on the wire is one request, to an origin of the account, with a body of the declared type."""
    if isinstance(request, SmtpRequest):
        head = request.payload.partition(b"\r\n\r\n")[0].replace(b"\r\n ", b" ")
        names = [line.partition(b":")[0] for line in head.split(b"\r\n")]
        assert set(names) <= _HEADERS
        assert len(names) == len(set(names))
        assert not re.search(r"[\s<>]", request.sender + request.recipient)
        parts = list(message_from_bytes(request.payload).walk())
        assert not any(part.defects for part in parts)
        assert all(set(part.keys()) <= _PART_HEADERS for part in parts[1:])
    if not isinstance(request, HttpRequest):
        return
    for name, value in request.headers.items():
        assert re.fullmatch(r"[a-z0-9-]+", name), name
        assert re.fullmatch(r"[!-~](?:[ -~]*[!-~])?", value), (name, value)
    # A URL that is not plain reaches nothing: the egress refuses it before a name is resolved.
    if _ORIGIN.match(request.url):
        assert urlsplit(request.url)[:2] in origins(vendor, owner, address)
        assert request.url.isprintable()
        assert "#" not in request.url or owner.channel is Channel.WEBHOOK
        if owner.channel not in (Channel.WEBHOOK, Channel.WEBPUSH):
            assert re.fullmatch(r"https?://[^/?]+(/[^/?]+)*/?", request.url), request.url
    kind = request.headers.get("content-type", "").partition(";")[0]
    if kind == "application/json":
        json.loads(request.body)
    elif kind == "application/x-www-form-urlencoded":
        fields = parse_qsl(request.body.decode("ascii"), keep_blank_values=True, strict_parsing=True)
        assert len(fields) == len(dict(fields))
    elif kind == "multipart/form-data":
        head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
        form = message_from_bytes(head + request.body)
        assert not form.defects
        assert all(set(part.keys()) <= {"Content-Disposition", "Content-Type"} for part in form.get_payload())
    else:
        assert kind == "application/octet-stream"
        assert request.body


@pytest.mark.hypothesis
@pytest.mark.parametrize(("vendor", "table"), CASES)
def test_a_message_is_built_or_refused(vendor, table):
    @settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
    @given(accounts(vendor, table), messages(table))
    def check(owner, changes):
        sent = msgspec.structs.replace(battery.message(table), **changes)
        try:
            request = vendor.build(sent, owner, now_ms=battery.NOW_MS, token=table.get("token"))
        except ValueError:
            return
        assert request == vendor.build(sent, owner, now_ms=battery.NOW_MS, token=table.get("token"))
        is_sound(request, vendor, owner, sent.address)

    check()


@pytest.mark.hypothesis
@pytest.mark.parametrize(("vendor", "table"), BATCHING)
def test_many_messages_are_built_or_refused(vendor, table):
    """A call with many messages is as sound as one with a single message, and contains the address and id of each once."""

    @settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
    @given(accounts(vendor, table), messages(table), messages(table))
    def check(owner, changes, others):
        ids = ["dlv_" + f"{number:048x}" for number in range(3)]
        result = [changes, changes | {"address": others["address"], "metadata": others["metadata"]}, others]
        drawn = [battery.message(table, delivery_id=id_) for id_ in ids]
        drawn = [msgspec.structs.replace(sent, **kept) for sent, kept in zip(drawn, result, strict=True)]
        key = vendor.batch_key(drawn[0], owner)
        sent = [one for one in drawn if key is not None and vendor.batch_key(one, owner) == key]
        try:
            for one in sent:
                vendor.build(one, owner, now_ms=battery.NOW_MS, token=table.get("token"))
            request = vendor.build_batch(sent, owner, now_ms=battery.NOW_MS, token=table.get("token")) if sent else None
        except ValueError:
            return
        if request is not None:
            is_sound(request, vendor, owner, sent[0].address)
            assert [request.body.count(one.delivery_id.encode()) for one in sent] == [1] * len(sent)

    check()


def leaves(value):
    """Return the value with any one place in it replaced: variations of a vendor's own response."""
    options = [ANYTHING]
    if isinstance(value, dict) and value:
        options.append(
            st.sampled_from(sorted(value)).flatmap(lambda key: leaves(value[key]).map(lambda new: value | {key: new}))
        )
        options.append(st.sampled_from(sorted(value)).map(lambda key: {k: v for k, v in value.items() if k != key}))
    if isinstance(value, list) and value:
        options.append(leaves(value[0]).map(lambda new: [new, *value[1:]]))
        options.append(ANYTHING.map(lambda new: [*value, new]))
    return st.one_of(options)


def bodies(table, secrets):
    """Return the bodies of the table's rows: unchanged, truncated, with a place changed, or quoting the request."""
    texts = sorted({row["body"] for row in table["rows"] if row.get("body")}) or ["{}"]
    known = st.sampled_from(texts)
    trees = []
    for text in texts:
        try:
            trees.append(msgspec.json.decode(text))
        except msgspec.DecodeError:
            continue
    cut = st.tuples(known, st.integers(0, 200)).map(lambda pair: pair[0].encode()[: pair[1]])
    quoting = st.tuples(known, st.sampled_from(secrets or ["x"])).map(
        lambda pair: re.sub(r"[A-Za-z]{4,} [A-Za-z]{2,}", lambda _: pair[1].replace("\n", " "), pair[0]).encode()
    )
    changed = [leaves(tree).map(lambda value: json.dumps(value).encode()) for tree in trees]
    anything = ANYTHING.map(lambda value: json.dumps(value).encode())
    return st.one_of(
        known.map(str.encode), cut, quoting, anything, st.binary(max_size=60), st.just(b"[" * 20_000), *changed
    )


FIGURES = st.text(max_size=20) | st.integers().map(str) | st.sampled_from([
    "Fri, 31 Dec 9999 23:59:59 GMT", "1e9", "-1", "9" * 5_000, "\u0663", "x" * 5_000, "\xff\n", '{"a": [{"b": 1}]}',
    '{"1": [{"estimated_time_to_regain_access": 99999999999}]}', '{"1": [{"estimated_time_to_regain_access": -1}]}',
])  # fmt: skip
COMMON_HEADERS = ("retry-after", "x-ratelimit-reset", "x-business-use-case-usage", "location", "x-wns-status")


def answers(table, secrets):
    names = {name for row in table["rows"] for name in row.get("headers", {})} | {*COMMON_HEADERS}
    values = sorted({value for row in table["rows"] for value in row.get("headers", {}).values()})
    known = st.sampled_from(values) if values else st.nothing()
    headers = st.dictionaries(st.sampled_from(sorted(names)), known | FIGURES, max_size=3)
    statuses = sorted({row["status"] for row in table["rows"] if "status" in row})
    return st.builds(HttpResponse, st.sampled_from(statuses) | st.integers(200, 599), headers, bodies(table, secrets))


STAGES = st.sampled_from(["connect", "auth", "mail", "rcpt", "data"])
WORDS = FIGURES | st.sampled_from([f"5.1.1 a{line}b" for line in BREAKS])
REPLIES = st.builds(SmtpReply, STAGES, st.integers(0, 999), WORDS)
WHY = st.sampled_from(["", "unknown_url", "no_call", "fenced", "missing", "too_long:4096"])


def said_by(vendor, table, secrets):
    """Return any response that the vendor's transport can return."""
    if vendor.TRAITS.transport == "http":
        return answers(table, secrets)
    if vendor.TRAITS.transport == "apprise":
        words = WORDS | st.sampled_from(secrets)
        return st.builds(AppriseReply, st.booleans(), WHY, st.none() | answers(table, secrets), st.booleans(), words)
    return REPLIES


def holds(outcome, secrets):
    """Check that an outcome can be stored, acted on and shown."""
    outcome = sanitized(outcome, [] if isinstance(outcome, Accepted) else secrets)
    following = after(outcome, Trail(), RetryPolicy((60_000,), 1 << 40), Turn(battery.NOW_MS, 0.5, "primary"))
    assert following.retry_ms is None or (type(following.retry_ms) is int and following.retry_ms < 1 << 62)
    msgspec.msgpack.encode(outcome)
    if isinstance(outcome, Refused):
        # A reason comes from the vendor module: no text of a server can become one.
        assert re.fullmatch(r"[a-z][a-z0-9_]{1,63}", outcome.reason)
    if isinstance(outcome, Accepted):
        assert not _UNSHOWN.search(outcome.vendor_message_id)
    else:
        assert not _UNSHOWN.search(outcome.detail)
        assert not [secret for secret in secrets if secret in outcome.detail]


@pytest.mark.hypothesis
@pytest.mark.parametrize(("vendor", "table"), REMOTE)
def test_any_answer_is_an_outcome(vendor, table):
    owner, sent = battery.account(table), battery.message(table)
    secrets = secrets_of(owner.credentials, table.get("token"))
    result = [secret for secret in secrets if secret != owner.credentials.get("client_email")]

    @settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow, HealthCheck.data_too_large])
    @given(said_by(vendor, table, result), st.integers(1, 1 << 40))
    def check(response, attempt):
        outcome = vendor.read(response, msgspec.structs.replace(sent, attempt=attempt), owner, now_ms=battery.NOW_MS)
        holds(outcome, secrets)
        if isinstance(outcome, Accepted) and isinstance(response, HttpResponse):
            assert 200 <= response.status < 300

    check()


@pytest.mark.hypothesis
@pytest.mark.parametrize(("vendor", "table"), BATCHING)
def test_any_answer_to_many_is_an_outcome_of_each(vendor, table):
    owner = battery.account(table)
    secrets = secrets_of(owner.credentials, table.get("token"))
    sent = [battery.message(table, delivery_id="dlv_" + f"{number:048x}") for number in range(3)]

    @settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow, HealthCheck.data_too_large])
    @given(
        answers(table, secrets), st.sampled_from(["%s", "[%s]", "[%s,%s,%s]", '{"BulkEmailEntryResults":[%s,%s,%s]}'])
    )
    def check(response, around):
        body = around.encode().replace(b"%s", response.body)
        result = vendor.read_batch(msgspec.structs.replace(response, body=body), sent, owner, now_ms=battery.NOW_MS)
        for outcome in result or ():
            if outcome is not None:
                holds(outcome, secrets)
                assert not isinstance(outcome, Accepted) or 200 <= response.status < 300

    check()


@pytest.mark.parametrize(("vendor", "table"), HTTP)
def test_no_credential_is_in_a_url(vendor, table):
    """Proxies and servers write URLs into their logs."""
    owner = battery.account(table)
    url = battery.build(vendor, table).url
    assert not [secret for secret in secrets_of(owner.credentials, table.get("token")) if secret in url]


@pytest.mark.parametrize(("vendor", "table"), HTTP)
def test_a_slash_behind_the_origin_changes_nothing(vendor, table):
    """A browser shows `https://proxy.example` as `https://proxy.example/`."""
    owner, sent = battery.account(table), battery.message(table)
    names = [field.name for field in vendor.TRAITS.settings if field.name.endswith("base_url")]
    urls = [
        vendor.build(
            sent,
            msgspec.structs.replace(
                owner, settings=owner.settings | dict.fromkeys(names, f"https://proxy.example{end}")
            ),
            now_ms=battery.NOW_MS,
            token=table.get("token"),
        ).url
        for end in ("", "/")
    ]
    assert urls[0] == urls[1]
