"""Guarantees of people: who is found by what, links and sessions that end once, and one row of the audit for each commit."""

import asyncio

import pytest
from msgspec.structs import replace

from clarion.domain.actor import Actor, ActorKind
from clarion.domain.errors import Conflict, Stale
from clarion.domain.person import INVITATION, RESET, Link, Person, Session, Subject
from clarion.domain.roles import MEMBER_KIND
from clarion.ports.documents import AuditRow, Author, Changes, DocumentKey, Expected, Put, Removal
from clarion.ports.people import PeopleChange
from clarion.stores.sql import people as sql_people

PORT = "people"
AT = 1_700_000_000_000
BY = Author("", Actor(ActorKind.OPERATOR, "operator"), "192.0.2.1", "request-1")
ADA = Person("prs_ada", "Ada@example.com", "Ada", AT, AT)
STORES = (sql_people,)


@pytest.fixture
def people(control_plane):
    return control_plane.control.people


def change(tenant="", action="person.put", key="prs_ada", **more):
    return PeopleChange(tenant, action, "person", key, AT, **more)


def session(name="a", person="prs_ada", tenant="acme", used_ms=AT, expires_ms=AT + 1000):
    return Session(
        f"ses_{name}", name.encode(), person, tenant, "password", AT, used_ms, expires_ms, "192.0.2.7", "A browser"
    )


def link(name="a", kind=INVITATION, tenant="acme", created_ms=AT, expires_ms=AT + 1000):
    return Link(
        f"lnk_{name}", name.encode(), kind, "bob@example.com", tenant, "owner", "operator", created_ms, expires_ms
    )


async def stored(people, person=ADA, **more):
    await people.commit(BY, change(persons=(person,), **more))
    return await people.person(person.person_id)


async def test_a_person_is_found_by_id_by_address_and_by_subject(people):
    whole = replace(ADA, is_operator=True, password="$argon2id$x", totp=b"\x00\xff", totp_step=7, recovery=("a", "b"))
    subject = Subject("https://id.example.com", "00u1", "prs_ada")
    assert await stored(people, whole, subjects=(subject,)) == replace(whole, version=1)
    ada = replace(whole, version=1)
    assert await people.by_email("ADA@example.com") == await people.by_email("ada@EXAMPLE.com") == ada
    assert await people.by_subject("https://id.example.com", "00u1") == ada
    assert await people.persons(["prs_ada", "prs_bob"]) == {"prs_ada": ada}
    assert await people.operators() == [ada]
    assert await people.persons([]) == {}
    nobody = [
        await people.person("prs_bob"), await people.by_email("bob@example.com"), await people.by_subject("x", "00u1"),
    ]  # fmt: skip
    assert nobody == [None, None, None]


async def test_a_person_is_stored_over_the_version_that_was_read(people):
    first = await stored(people)
    second = await stored(people, replace(first, name="Ada L."))
    assert (second.version, second.name) == (2, "Ada L.")
    for outdated in (ADA, first, replace(second, version=3)):
        with pytest.raises(Stale):
            await people.commit(BY, change(persons=(replace(outdated, name="x"),)))
    assert await people.person("prs_ada") == second


async def test_an_address_or_subject_is_of_one_person(people):
    subject = Subject("https://id.example.com", "00u1", "prs_ada")
    await stored(people, subjects=(subject,))
    bob = Person("prs_bob", "ADA@example.com", "Bob", AT, AT)
    with pytest.raises(Conflict) as refused:
        await people.commit(BY, change(persons=(bob,)))
    assert refused.value.code == "address_taken"
    bob = replace(bob, email="bob@example.com")
    with pytest.raises(Conflict) as refused:
        await people.commit(BY, change(persons=(bob,), subjects=(replace(subject, person_id="prs_bob"),)))
    assert refused.value.code == "subject_taken"
    assert await people.person("prs_bob") is None
    await stored(people, bob)
    with pytest.raises(Conflict):
        await people.commit(BY, change(persons=(replace(bob, email="ada@example.com", version=1),)))


async def test_a_session_is_found_with_its_person_until_it_ends(people):
    ada = await stored(people, sessions=(session(),))
    assert await people.session(b"a") == (session(), ada)
    await people.touch(b"a", AT + 5)
    assert await people.session(b"a") == (session(used_ms=AT + 5), ada)
    await people.touch(b"none", AT)
    rotated = session("b", tenant="other")
    await people.commit(BY, change("other", "session.enter", ended=(b"a",), sessions=(rotated,)))
    assert await people.session(b"a") is None
    assert await people.session(b"b") == (rotated, ada)
    with pytest.raises(Stale):
        await people.commit(BY, change(ended=(b"a",), sessions=(session("c"),)))
    assert await people.session(b"c") is None


async def test_the_sessions_of_a_person_are_listed_and_end_together(people):
    await stored(
        people, sessions=(session("a", used_ms=AT), session("b", used_ms=AT + 2), session("c", used_ms=AT + 1))
    )
    await people.commit(
        BY, change(persons=(Person("prs_bob", "bob@x.test", "", AT, AT),), sessions=(session("d", "prs_bob"),))
    )
    assert [one.session_id for one in await people.sessions("prs_ada")] == ["ses_b", "ses_c", "ses_a"]
    await people.commit(BY, change(ended_of="prs_ada", sessions=(session("e"),)))
    assert [one.session_id for one in await people.sessions("prs_ada")] == ["ses_e"]
    assert [one.session_id for one in await people.sessions("prs_bob")] == ["ses_d"]


async def test_a_link_is_used_once(people):
    await people.commit(
        BY, change(links=(link(), link("b", created_ms=AT + 1), link("c", RESET, ""), link("d", tenant="other")))
    )
    assert await people.link(b"a") == link()
    assert [one.link_id for one in await people.links(INVITATION, "acme")] == ["lnk_b", "lnk_a"]
    assert [one.link_id for one in await people.links(RESET, "")] == ["lnk_c"]
    results = await asyncio.gather(
        *(
            people.commit(BY, change(used=(b"a",), persons=(replace(ADA, person_id=f"prs_{n}", email=f"{n}@x.test"),)))
            for n in range(4)
        ),
        return_exceptions=True,
    )
    assert sorted(type(one).__name__ for one in results) == ["NoneType", "Stale", "Stale", "Stale"]
    assert await people.link(b"a") is None
    there = await people.persons([f"prs_{n}" for n in range(4)])
    assert len(there) == 1


async def test_what_is_over_is_forgotten(people):
    await stored(
        people,
        sessions=(session("a", expires_ms=AT), session("b", expires_ms=AT + 9)),
        links=(link("c", expires_ms=AT),),
    )
    assert await people.forget(AT + 1) == 2
    assert await people.forget(AT + 1) == 0
    assert [one.session_id for one in await people.sessions("prs_ada")] == ["ses_b"]


async def test_the_tenants_of_a_person_are_those_it_is_a_member_of(control_plane, people):
    documents = control_plane.control.documents
    for tenant in ("other", "acme", "third"):
        place = DocumentKey(tenant, MEMBER_KIND, "prs_ada")
        await documents.commit(BY, Changes("member.put", place, AT, (Put(place, b"{}"),)), Expected())
    gone = DocumentKey("third", MEMBER_KIND, "prs_ada")
    await documents.commit(BY, Changes("member.remove", gone, AT, removals=(Removal(gone),)), Expected())
    assert await people.tenants_of("prs_ada", 10) == ["acme", "other"]
    assert await people.tenants_of("prs_ada", 1) == ["acme"]
    assert await people.tenants_of("prs_bob", 10) == []


async def test_each_commit_is_one_row_of_the_audit_of_its_tenant(control_plane, people):
    await stored(people)
    told = change("acme", "session.begin", sessions=(session(),), before=b"1", after=b'{"a":1}')
    await people.commit(BY, told, "because")
    documents = control_plane.control.documents
    assert [row.action for row in await documents.audit("", 0, 10)] == ["person.put"]
    assert await documents.audit("acme", 0, 10) == [
        AuditRow(
            "acme", 1, AT, BY.actor, "session.begin", "person", "prs_ada", b"1", b'{"a":1}', "192.0.2.1", "request-1", "because",
        )
    ]  # fmt: skip
    place = DocumentKey("acme", "thing", "a")
    await documents.commit(BY, Changes("thing.put", place, AT, (Put(place, b"1"),)), Expected())
    await people.commit(BY, change("acme", "session.end", ended=(b"a",)))
    assert [(row.number, row.action) for row in await documents.audit("acme", 0, 10)] == [
        (1, "session.begin"), (2, "thing.put"), (3, "session.end"),
    ]  # fmt: skip


async def test_a_commit_that_is_refused_leaves_no_row(control_plane, people):
    await stored(people)
    for refused in (change(used=(b"x",)), change(ended=(b"x",)), change(persons=(ADA,))):
        with pytest.raises(Stale):
            await people.commit(BY, refused)
    assert len(await control_plane.control.documents.audit("", 0, 10)) == 1
