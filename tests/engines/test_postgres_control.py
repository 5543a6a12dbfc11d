"""The control store on PostgreSQL: filters in SQL, concurrent writers, and what a text there cannot hold."""

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given

from clarion.domain.content import Category
from clarion.domain.errors import InvalidField
from clarion.domain.segment import matches
from clarion.domain.user import UserWrite
from clarion.outbound.secrets.master_key import FileVault
from clarion.ports.secrets import SealBroken
from clarion.stores.postgres.control import PostgresControl
from clarion.stores.postgres.directory import PostgresDirectory
from clarion.stores.postgres.pool import Database
from clarion.stores.postgres.segment_sql import Values, condition
from tests.contract.controls import Clock, ControlPlane
from tests.engines.postgres import database_of
from tests.property.test_segments import CONTACTS, NOW_MS, TOPICS, T, filters, people
from tests.registries import categories_of

pytestmark = pytest.mark.engines
ROW = """(SELECT $1::text AS email, $2::text AS phone, $3::text AS whatsapp, $4::text AS chat, $5::text AS webhook,
    $6::text AS locale, $7::text AS zone, $8::text[] AS device_kinds, $9::text AS attributes, $10::text AS more_contacts,
    $11::bigint AS last_seen_ms, $12::bigint AS ordinal) u"""


@pytest.fixture
async def control_plane(tmp_path):
    control_plane = ControlPlane(tmp_path, backend="postgres")
    yield control_plane
    await control_plane.close()


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    """Return a function that asks for a condition of a row; users with ordinals 0-3 have each set of topics."""
    with asyncio.Runner() as runner:
        database = Database(database_of(tmp_path_factory.mktemp("segments")))
        members = [(T, topic, number) for number in range(4) for bit, topic in enumerate(TOPICS) if number >> bit & 1]
        insert = "INSERT INTO topic_members VALUES ($1, $2, $3)"
        runner.run(database.transact(T, lambda db: db.executemany(insert, members)))
        yield lambda text, values: runner.run(database.fetchval(T, f"SELECT {text} FROM {ROW}", *values))  # noqa: S608
        runner.run(database.close())


@given(person=people, filter_=filters)
def test_the_server_finds_exactly_those_who_match(ask, person, filter_):
    *rest, _, attributes, more, last_seen_ms = person.row()
    kinds = sorted({device.kind for device in person.devices}) or None
    ordinal = sum(1 << bit for bit, topic in enumerate(TOPICS) if topic in person.topics)
    values = Values(*rest, kinds, attributes, more, last_seen_ms, ordinal)
    assert len(values.all) == len(CONTACTS) + 7
    text = condition(filter_, T, NOW_MS, values)
    assert ask(text, values.all) is matches(filter_, person.facts(), NOW_MS)


async def test_a_store_is_refused_with_another_master_key(tmp_path):
    database = Database(database_of(tmp_path))
    await PostgresControl(database, FileVault(bytes(range(32))), Clock()).check_key()
    await PostgresControl(database, FileVault(bytes(range(32))), Clock()).check_key()
    with pytest.raises(SealBroken):
        await PostgresControl(database, FileVault(bytes(32)), Clock()).check_key()
    await database.close()


async def test_writers_of_the_same_new_users_store_each_once_with_every_change_of_consent(control_plane):
    users, choices = control_plane.control.users, ('{"*":{"sms":true}}', '{"*":{"sms":false}}')
    batches = [[UserWrite(f"u{n}", preferences=choices[turn % 2]) for n in range(20)] for turn in range(6)]
    await asyncio.gather(*(users.put_many(T, batch[:: 1 if turn % 2 else -1]) for turn, batch in enumerate(batches)))
    ordinals = await control_plane.directory.ordinals(T, [f"u{n}" for n in range(20)])
    assert len(set(ordinals.values())) == 20
    for number in range(20):
        changes = await control_plane.control.consents.page(T, f"u{number}", None, 99)
        said = [change.allowed for change in reversed(changes)]
        assert [change.sequence for change in changes] == list(range(len(changes), 0, -1))
        assert all(one is not other for one, other in pairwise(said))
        assert (await users.get(T, f"u{number}")).preferences == {"*": {"sms": said[-1]}}


async def test_users_who_are_stored_again_use_up_no_ordinals(control_plane):
    for name in ("a", "a", "a", "b"):
        await control_plane.control.users.put_many(T, [UserWrite(name)])
    found = await control_plane.directory.ordinals(T, ["a", "b"])
    assert found["b"] == found["a"] + 1


async def test_a_reader_who_knows_a_revision_has_missed_no_lower_one(control_plane):
    control, tenants = control_plane.control, [f"t{n}" for n in range(8)]
    database = Database(database_of(control_plane.data_dir))
    other = PostgresDirectory(database, control_plane.vault, control_plane.clock)

    async def watch():
        while any(other.revision(tenant) == 0 for tenant in tenants):
            await other.refresh()
            await asyncio.sleep(0)

    writes = [categories_of(control).put(tenant, Category(f"c{turn}")) for turn in range(5) for tenant in tenants]
    async with asyncio.timeout(30):
        await asyncio.gather(watch(), *writes)
    await other.refresh()
    assert [other.revision(tenant) for tenant in tenants] == [
        control_plane.directory.revision(tenant) for tenant in tenants
    ]
    await database.close()


async def test_nothing_has_a_name_with_a_zero_character_and_none_is_stored(control_plane):
    control, directory = control_plane.control, control_plane.directory
    with pytest.raises(InvalidField):
        await control.topics.put(T, "news", "a\0b")
    with pytest.raises(InvalidField):
        await control.users.get(T, "a\0b")
    assert await control.topics.get(T, "news") is None
    assert await directory.users({T: ["a\0b"]}) == {T: {}}
    assert await directory.ordinals(T, ["a\0b"]) == {}
    assert await directory.topics([(T, "a\0b")]) == set()
