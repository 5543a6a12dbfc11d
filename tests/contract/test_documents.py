"""Guarantees of documents: versions that are compared, references, artifacts, bounds, and one row of the audit for each
commit."""

import asyncio

import pytest

from clarion.domain.actor import Actor, ActorKind
from clarion.domain.errors import Conflict, Stale
from clarion.ports.documents import (
    AuditRow,
    Author,
    Bound,
    Changes,
    Document,
    DocumentKey,
    Expected,
    Put,
    Removal,
)
from clarion.stores.sql import documents as sql_documents
from tests.contract.backends import SHARED
from tests.contract.controls import ControlPlane

PORT = "control"
T = "acme"
ADA = Author(T, Actor(ActorKind.KEY, "ada"), "192.0.2.1", "request-1")
AT = 1_700_000_000_000


@pytest.fixture
def documents(control_plane):
    return control_plane.control.documents


def key(name="a", kind="thing", tenant=T):
    return DocumentKey(tenant, kind, name)


def changes(*puts, target=None, at_ms=AT, **more):
    return Changes("thing.put", target or (puts[0].key if puts else key()), at_ms, puts, **more)


async def put(documents, body, name="a", version=None, *, keep=True, at_ms=AT, refers=(), kind="thing"):
    """Store a body, by default over whatever there is, and return its document."""
    place = key(name, kind)
    expected = Expected() if version is None else Expected({place: version})
    given = Put(place, body, frozenset(refers), keep)
    return (await documents.commit(ADA, changes(given, at_ms=at_ms), expected))[place]


async def remove(documents, name="a", *, keep=True, version=None, referrers=None):
    place = key(name)
    expected = Expected({} if version is None else {place: version}, {} if referrers is None else {place: referrers})
    gone = Changes("thing.remove", place, AT + 9, removals=(Removal(place, keep),))
    await documents.commit(ADA, gone, expected, "tidying up")


async def test_a_body_is_read_back_with_its_version_and_times(documents):
    stored = await put(documents, b'{"n":1}')
    assert stored == Document(key(), 1, b'{"n":1}', AT, AT)
    assert await documents.read([key(), key("b")]) == await documents.read([key()]) == {key(): stored}
    second = await put(documents, b'{"n":2}', at_ms=AT + 5)
    assert second == Document(key(), 2, b'{"n":2}', AT, AT + 5)
    assert await documents.read([key()]) == {key(): second}


async def test_versions_before_stay_readable_unless_they_are_not_kept(documents):
    await put(documents, b"1")
    await put(documents, b"2", at_ms=AT + 1)
    await put(documents, b"3", keep=False)
    bodies = [(await documents.read([key()], version)).get(key()) for version in (1, 2, 3, 4)]
    assert [one and (one.version, one.body, one.updated_ms) for one in bodies] == [
        (1, b"1", AT), None, (3, b"3", AT), None,
    ]  # fmt: skip


async def test_a_version_that_is_not_the_newest_stores_nothing(control_plane, documents):
    first = await put(documents, b"1", version=0)
    revision = await seen(control_plane)
    for version in (0, 2):
        with pytest.raises(Stale) as refused:
            await put(documents, b"2", version=version)
        assert (refused.value.status, refused.value.keys) == (412, (tuple(key()),))
    both = changes(Put(key("b"), b"b"), Put(key(), b"2"))
    with pytest.raises(Stale):
        await documents.commit(ADA, both, Expected({key("b"): 0, key("c"): 1}))
    assert await documents.read([key(), key("b")]) == {key(): first}
    assert (len(await documents.audit(T, 0, 9)), await seen(control_plane)) == (1, revision)
    assert (await put(documents, b"2", version=1)).version == 2


async def test_versions_continue_after_a_removal(documents):
    await put(documents, b"1")
    await remove(documents, version=1)
    assert await documents.read([key()]) == {}
    gone = (await documents.read([key()], removed=True))[key()]
    assert (gone.version, gone.body, gone.removed, gone.updated_ms) == (1, b"1", True, AT + 9)
    assert (await documents.read([key()], 1))[key()].body == b"1"
    with pytest.raises(Stale):
        await put(documents, b"2", version=1)
    again = await put(documents, b"2", version=0, at_ms=AT + 10)
    assert (again.version, again.created_ms, again.updated_ms) == (2, AT, AT + 10)
    assert (await documents.read([key()], 1))[key()].body == b"1"


async def test_what_is_not_kept_is_gone_with_its_removal(documents):
    for body in (b"1", b"2"):
        await put(documents, body)
    await remove(documents, keep=False)
    assert await documents.read([key()]) == await documents.read([key()], 1) == {}
    assert (await documents.read([key()], removed=True))[key()].body == b""
    assert (await put(documents, b"3", version=0)).version == 3
    assert await documents.read([key()], 2) == {}


async def test_pages_are_in_the_order_of_keys_without_what_was_removed(documents, monkeypatch):
    for name in ("b", "a", "d", "c", "ä"):
        await put(documents, b'"%s"' % name.encode(), name)
    await put(documents, b"x", "e", kind="other")
    await remove(documents, "c")
    page = await documents.page(T, "thing", "", 2)
    assert ([one.key.key for one in page.documents], page.more) == (["a", "b"], True)
    page = await documents.page(T, "thing", "b", 2)
    assert ([one.key.key for one in page.documents], page.more) == (["d", "ä"], False)
    assert await documents.page(T, "thing", "ä", 2) == ([], False)
    assert await documents.page("other", "thing", "", 2) == ([], False)
    monkeypatch.setattr(sql_documents, "DOCUMENTS_PAGE_BYTES_MAX", 6)
    page = await documents.page(T, "thing", "", 9)
    assert ([one.key.key for one in page.documents], page.more) == (["a", "b"], True)
    monkeypatch.setattr(sql_documents, "DOCUMENTS_PAGE_BYTES_MAX", 1)
    assert [one.key.key for one in (await documents.page(T, "thing", "", 9)).documents] == ["a"]


async def test_referrers_are_known_and_compared(documents):
    await put(documents, b"1")
    await put(documents, b"1", "user", refers={("thing", "a"), ("other", "b")})
    await put(documents, b"1", "fan", refers={("thing", "a")}, kind="other")
    who = frozenset({key("user"), key("fan", "other")})
    places = [key(), key("b", "other"), key("nobody")]
    assert await documents.referrers(places) == {
        places[0]: who, places[1]: frozenset({key("user")}), places[2]: frozenset(),
    }  # fmt: skip
    with pytest.raises(Stale) as refused:
        await remove(documents, referrers=frozenset())
    assert refused.value.keys == (tuple(key()),)
    assert key() in await documents.read([key()])
    await put(documents, b"2", "user")
    await remove(documents, "fan")
    assert (await documents.referrers([key()]))[key()] == {key("fan", "other")}
    await put(documents, b"2", "fan", kind="other")
    await remove(documents, referrers=frozenset())
    assert await documents.read([key()]) == {}


async def test_what_was_built_is_replaced_without_a_version(documents):
    built = {key(): b"v1", key("a@1"): b"v1"}
    await documents.commit(ADA, changes(Put(key(), b"1"), artifacts=built), Expected())
    assert await documents.artifacts([key(), key("a@1"), key("b")]) == built
    await documents.commit(ADA, changes(artifacts={key(): b"v1, again", key("a@1"): None, key("b"): None}), Expected())
    assert await documents.artifacts([key(), key("a@1"), key("b")]) == {key(): b"v1, again"}
    assert (await documents.read([key()]))[key()].version == 1


async def test_a_commit_over_a_bound_stores_nothing(documents):
    await put(documents, b"1", "one")
    bounds = (Bound("thing", 1, "things"),)
    with pytest.raises(Conflict, match="at most 1 things"):
        await documents.commit(
            ADA, changes(Put(key("two"), b"1"), artifacts={key("two"): b"x"}, bounds=bounds), Expected()
        )
    assert await documents.read([key("two")]) == await documents.artifacts([key("two")]) == {}
    assert len(await documents.audit(T, 0, 9)) == 1
    await documents.commit(ADA, changes(Put(key("one"), b"2"), bounds=bounds), Expected())
    await remove(documents, "one")
    await documents.commit(ADA, changes(Put(key("two"), b"1"), bounds=bounds), Expected())


async def test_each_commit_is_one_row_of_the_audit(documents):
    operator = Author("", Actor(ActorKind.OPERATOR, "operator"))
    both = changes(Put(key(), b"1"), Put(key("b"), b"1"), before=None, after=b'{"n":1}')
    await documents.commit(ADA, both, Expected(), "as asked")
    await documents.commit(
        operator, changes(Put(key(), b"2"), at_ms=AT + 1, before=b'{"n":1}', after=b"{}"), Expected()
    )
    await documents.commit(operator, changes(Put(key(tenant=""), b"2")), Expected())
    first, second = await documents.audit(T, 0, 9)
    assert first == AuditRow(
        T, 1, AT, ADA.actor, "thing.put", "thing", "a", None, b'{"n":1}', "192.0.2.1", "request-1", "as asked"
    )
    assert (second.number, second.at_ms, second.actor.kind, second.before) == (2, AT + 1, "operator", b'{"n":1}')
    assert await documents.audit(T, 1, 9) == [second]
    assert [row.number for row in await documents.audit("", 0, 9)] == [1]
    assert await documents.audit("other", 0, 9) == []


async def test_a_commit_keeps_to_one_tenant(documents):
    foreign = key(tenant="other")
    for wrong in (
        changes(Put(foreign, b"1")),
        changes(Put(foreign, b"1"), target=key()),
        changes(Put(key(), b"1"), artifacts={foreign: b"1"}),
        changes(removals=(Removal(foreign),)),
    ):
        with pytest.raises(ValueError, match="one tenant"):
            await documents.commit(ADA, wrong, Expected())
    assert await documents.read([foreign]) == await documents.read([key()]) == {}


async def seen(control_plane):
    await control_plane.directory.refresh()
    return control_plane.directory.revision(T)


async def test_every_commit_gives_the_tenant_another_revision(control_plane, documents):
    before, other = await seen(control_plane), control_plane.directory.revision("other")
    await put(documents, b"1")
    after = await seen(control_plane)
    await remove(documents)
    assert before < after < await seen(control_plane)
    assert control_plane.directory.revision("other") == other


async def test_of_writers_at_the_same_time_one_wins_and_nothing_is_lost(documents):
    async def add_one():
        for _ in range(100):
            found = (await documents.read([key()])).get(key())
            body, version = (b"0", 0) if found is None else (found.body, found.version)
            try:
                return await put(documents, b"%d" % (int(body) + 1), version=version)
            except Stale:
                continue
        raise AssertionError

    stored = await asyncio.gather(*(add_one() for _ in range(8)))
    assert sorted((one.version, int(one.body)) for one in stored) == [(n, n) for n in range(1, 9)]
    assert [row.number for row in await documents.audit(T, 0, 99)] == list(range(1, 9))


@pytest.mark.needs_trait(SHARED)
async def test_two_processes_see_each_others_versions(control_plane, documents):
    other = ControlPlane(control_plane.data_dir, control_plane.clock, control_plane.backend)
    try:
        await put(documents, b"1")
        theirs = other.control.documents
        assert (await theirs.read([key()]))[key()].version == 1
        await put(theirs, b"2", version=1)
        with pytest.raises(Stale):
            await put(documents, b"3", version=1)
        results = await asyncio.gather(
            *(put(one, b"%d" % number, version=2) for number, one in enumerate((documents, theirs))),
            return_exceptions=True,
        )
        assert sorted(type(one).__name__ for one in results) == ["Document", "Stale"]
    finally:
        await other.close()


async def test_many_documents_are_read_and_compared_at_once(documents):
    names = [f"n{number}" for number in range(1_100)]
    many = changes(*(Put(key(name), b"1", frozenset({("thing", "n0")})) for name in names))
    await documents.commit(ADA, many, Expected(dict.fromkeys(map(key, names), 0)))
    places = {key(name): 1 for name in names}
    assert (await documents.read(places)).keys() == places.keys()
    who = {key("n0"): frozenset(places), key("n1"): frozenset()}
    assert await documents.referrers(who) == who
    await documents.commit(ADA, changes(Put(key("n1099"), b"2", frozenset({("thing", "n0")}))), Expected(places, who))
    with pytest.raises(Stale) as refused:
        await documents.commit(ADA, changes(Put(key("n0"), b"2")), Expected(places, who))
    assert refused.value.keys == (tuple(key("n1099")),)
    assert await documents.read([]) == await documents.artifacts([]) == await documents.referrers([]) == {}
