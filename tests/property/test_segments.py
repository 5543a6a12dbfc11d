"""Filters: a backend finds exactly the users that match, for any user and any filter, and a validated filter never fails."""

import apsw
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.control.segments.rules import check_filter
from clarion.control.users.places import places
from clarion.domain.channel import CHANNELS, DEVICE_CHANNELS, Channel
from clarion.domain.segment import Filter, UserFacts, matches
from clarion.domain.user import Device
from clarion.stores.sqlite.connection import connect
from clarion.stores.sqlite.migrate import upgrade
from clarion.stores.sqlite.segment_sql import condition, install

T, NOW_MS = "acme", 1_700_000_000_000
TOPICS = ("news", "o'clock")
LOCALES = ("", "en", "en-GB", "pt-BR", "zh-Hant-TW", "zh-Hant")
ZONES = ("", "Europe/Rome", "Asia/Kolkata")
LENGTHS_MS = {"1s": 1_000, "1h": 3_600_000, "1d1h": 90_000_000}
CONTACTS = ("email", "phone", "whatsapp", "chat", "webhook")
names = st.sampled_from(("a", "b", "c d", "é", "0", "A", "%", "'"))
texts = st.one_of(
    st.sampled_from(("", "a", "A", "1", "true", "null", "%", "_", "'", '"', "\\", "\0", "é", "a\0b")),
    st.text(max_size=3),
)
numbers = st.one_of(
    st.sampled_from((0, 1, -1, 1.0, 0.1, 1e300, 5e-324, 2**53, 2**53 + 1, float(2**53), 2**63 - 1, -(2**63), float(2**63))),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
)  # fmt: skip
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
keys = names | texts.map(lambda text: text.replace("\0", "\1"))
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=6
)
paths = st.lists(names, min_size=1, max_size=3).map(".".join)
seen = st.one_of(
    st.none(), st.sampled_from([NOW_MS - length for length in LENGTHS_MS.values()]), st.integers(0, NOW_MS + 10)
)
floats = numbers.map(float)
leaves = st.one_of(
    st.builds(Filter, attribute=paths, is_=scalars),
    st.builds(Filter, attribute=paths, in_=st.lists(scalars, min_size=1, max_size=4).map(tuple)),
    st.builds(Filter, attribute=paths, contains=texts.filter(bool)),
    st.builds(Filter, attribute=paths, exists=st.booleans()),
    *(st.builds(Filter, attribute=paths, **{how: floats}) for how in ("above", "at_least", "below", "at_most")),
    st.builds(Filter, locale=st.sampled_from(LOCALES[1:])),
    st.builds(Filter, zone=st.sampled_from(ZONES[1:])),
    st.builds(Filter, topic=st.sampled_from(TOPICS)),
    st.builds(Filter, reachable=st.sampled_from(CHANNELS)),
    st.builds(Filter, seen_within=st.sampled_from(sorted(LENGTHS_MS))),
    st.builds(Filter, not_seen_within=st.sampled_from(sorted(LENGTHS_MS))),
)
filters = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(Filter, all=st.lists(inner, min_size=1, max_size=3).map(tuple)),
        st.builds(Filter, any=st.lists(inner, min_size=1, max_size=3).map(tuple)),
        st.builds(Filter, not_=inner),
    ),
    max_leaves=8,
).filter(lambda node: depth(node) <= 8)


def depth(node):
    inner = (*(node.all or ()), *(node.any or ()), *([node.not_] if node.not_ else []))
    return 1 + max(map(depth, inner), default=0)


class Person(msgspec.Struct):
    """A user as it is stored."""

    contacts: dict[str, str]
    devices: list[Device]
    more: dict[str, list[str]]
    attributes: dict
    locale: str
    zone: str
    topics: frozenset[str]
    last_seen_ms: int | None

    def facts(self):
        kinds = {device.kind for device in self.devices}
        reachable = {channel for channel in CHANNELS if channel in kinds or self.more.get(channel)}
        reachable |= {Channel.INAPP} | {channel for channel in CHANNELS if channel in self.contacts}
        reachable |= {Channel.SMS, Channel.WHATSAPP} if "phone" in self.contacts else set()
        return UserFacts(self.attributes, self.locale, self.zone, self.topics, frozenset(reachable), self.last_seen_ms)

    def row(self):
        return (
            *(self.contacts.get(name) for name in CONTACTS),
            self.locale,
            self.zone,
            msgspec.msgpack.encode(self.devices) if self.devices else None,
            msgspec.json.encode(self.attributes).decode() if self.attributes else None,
            msgspec.json.encode(self.more).decode() if self.more else None,
            self.last_seen_ms,
        )


people = st.builds(
    Person,
    contacts=st.dictionaries(st.sampled_from(CONTACTS), st.just("x"), max_size=2),
    devices=st.lists(
        st.builds(Device, st.just("d"), st.sampled_from(sorted(DEVICE_CHANNELS)), texts | st.just("äpush")), max_size=2
    ),
    more=st.dictionaries(st.sampled_from(["email", "sms", "chat"]), st.lists(st.just("y"), max_size=2), max_size=2),
    attributes=st.dictionaries(keys, values, max_size=4),
    locale=st.sampled_from(LOCALES),
    zone=st.sampled_from(ZONES),
    topics=st.frozensets(st.sampled_from(TOPICS)),
    last_seen_ms=seen,
)


@pytest.fixture(scope="module")
def db(tmp_path_factory):
    """Return a database with the real tables, in memory."""
    stored = connect(upgrade(tmp_path_factory.mktemp("segments"), "control"))
    memory = apsw.Connection(":memory:")
    with memory.backup("main", stored, "main") as copying:
        copying.step()
    stored.close()
    install(memory)
    return memory


def store(db, person):
    db.execute("DELETE FROM users; DELETE FROM topic_members")
    db.execute(
        "INSERT INTO users (ordinal, tenant, user_id, profile_id, email, phone, whatsapp, chat, webhook, locale, zone,"
        " devices, attributes, more_contacts, last_seen_ms, created_ms, updated_ms)"
        " VALUES (1, 'acme', 'ana', 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0)",
        person.row(),
    )
    for tenant, topic in [(T, topic) for topic in person.topics] + [("other", topic) for topic in TOPICS]:
        db.execute("INSERT INTO topic_members VALUES (?, ?, 1)", (tenant, topic))


def found(db, filter_):
    text, given_values = condition(filter_, T, NOW_MS)
    query = "SELECT 1 FROM users u WHERE u.tenant = ? AND " + text  # noqa: S608 - what is tested here
    return bool(db.execute(query, (T, *given_values)).fetchall())


@given(people, st.lists(filters, min_size=1, max_size=6))
def test_every_backend_finds_whom_the_words_mean(db, person, several):
    store(db, person)
    for filter_ in several:
        check_filter(filter_, "filter", places(), TOPICS)
        assert found(db, filter_) is matches(filter_, person.facts(), NOW_MS), filter_
        assert found(db, Filter(not_=filter_)) is not found(db, filter_)


@given(people, st.data())
def test_what_a_user_has_is_found_by_it(db, person, data):
    """Random values rarely match: here the filter is made from the user."""
    store(db, person)
    facts = person.facts()
    result = [(name, value) for name, value in person.attributes.items() if name and not set(name) & set('."\\\0')]
    for name, value in result:
        if not isinstance(value, dict | list):
            assert found(db, Filter(attribute=name, is_=value))
            assert found(db, Filter(attribute=name, in_=("nobody", value)))
        if isinstance(value, str) and value:
            part = data.draw(st.integers(0, len(value) - 1))
            assert found(db, Filter(attribute=name, contains=value[part:]))
        if isinstance(value, int | float) and not isinstance(value, bool):
            assert found(db, Filter(attribute=name, at_least=float(value))) is (value >= float(value))
        for one in value if isinstance(value, list) else ():
            assert found(db, Filter(attribute=name, contains=one)) if isinstance(one, str) else True
        assert found(db, Filter(attribute=name, exists=True))
    for filter_ in [Filter(topic=topic) for topic in facts.topics] + [Filter(reachable=c) for c in facts.reachable]:
        assert found(db, filter_)


@given(filters)
def test_a_filter_survives_being_stored(filter_):
    assert msgspec.json.decode(msgspec.json.encode(filter_), type=Filter) == filter_
