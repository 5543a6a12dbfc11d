"""Guarantees of reading the audit: the newest rows first, filters, pages bounded in rows looked at and in bytes, one tenant."""

import msgspec
import pytest

from clarion.domain.actor import Actor, ActorKind
from clarion.ports.documents import AuditFilter, Author, Changes, DocumentKey, Expected, Put
from clarion.stores.sql import audit_rows

PORT = "control"
T = "acme"
AT = 1_700_000_000_000
ROWS = (
    ("ada", "thing.put", "thing", "a"), ("bob", "thing.put", "thing", "b"), ("ada", "other.put", "other", "a"),
    ("ada", "thing.remove", "thing", "a"), ("bob", "other.put", "other", "b"), ("eve", "thing.put", "thing", "c"),
)  # fmt: skip
"""The actor, action, kind and key of rows 1 to 6, a millisecond apart."""


@pytest.fixture
async def documents(control_plane):
    documents = control_plane.control.documents
    for number, (actor, action, kind, name) in enumerate(ROWS, 1):
        place = DocumentKey(T, kind, name)
        changes = Changes(action, place, AT + number, (Put(place, b"1"),), after=msgspec.json.encode(number))
        await documents.commit(Author(T, Actor(ActorKind.KEY, actor)), changes, Expected())
    for tenant in ("", "other"):
        place = DocumentKey(tenant, "thing", "a")
        await documents.commit(
            Author("", Actor(ActorKind.OPERATOR, "ada")),
            Changes("thing.put", place, AT, (Put(place, b"1"),)),
            Expected(),
        )
    return documents


async def numbers(documents, before=None, limit=99, tenant=T, **wanted):
    found = await documents.audit_page(tenant, AuditFilter(**wanted), before, limit)
    return [row.number for row in found.rows], found.before


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, [6, 5, 4, 3, 2, 1]),
        ({"actor": "ada"}, [4, 3, 1]),
        ({"action": "thing.put"}, [6, 2, 1]),
        ({"kind": "other"}, [5, 3]),
        ({"key": "b"}, [5, 2]),
        ({"kind": "thing", "key": "a", "actor": "ada"}, [4, 1]),
        ({"since_ms": AT + 3}, [6, 5, 4, 3]),
        ({"until_ms": AT + 3}, [2, 1]),
        ({"since_ms": AT + 2, "until_ms": AT + 4}, [3, 2]),
        ({"actor": "nobody"}, []),
    ],
)
async def test_rows_asked_for_are_read_the_newest_first(documents, wanted, expected):
    assert await numbers(documents, **wanted) == (expected, None)


async def test_rows_are_those_that_were_stored(documents):
    found = await documents.audit_page(T, AuditFilter(), None, 99)
    assert found.rows[::-1] == await documents.audit(T, 0, 99)


async def test_pages_continue_and_hold_each_row_once(documents):
    assert await numbers(documents, limit=4) == ([6, 5, 4, 3], 3)
    assert await numbers(documents, 3, 4) == ([2, 1], None)
    assert await numbers(documents, limit=2, actor="ada") == ([4, 3], 3)
    assert await numbers(documents, 3, 2, actor="ada") == ([1], None)
    assert await numbers(documents, 1, 2) == ([], None)


async def test_a_page_looks_at_a_bounded_number_of_rows(documents, monkeypatch):
    monkeypatch.setattr(audit_rows, "AUDIT_ROWS_READ_MAX", 2)
    assert await numbers(documents, kind="other") == ([5], 5)
    assert await numbers(documents, 5, kind="other") == ([3], 3)
    assert await numbers(documents, 3, kind="other") == ([], None)
    assert await numbers(documents, actor="nobody") == ([], 5)


async def test_a_page_is_bounded_in_bytes_but_holds_a_row(documents, monkeypatch):
    monkeypatch.setattr(audit_rows, "AUDIT_PAGE_BYTES_MAX", 2)
    assert await numbers(documents) == ([6, 5], 5)
    monkeypatch.setattr(audit_rows, "AUDIT_PAGE_BYTES_MAX", 0)
    assert await numbers(documents) == ([6], 6)
    assert await numbers(documents, 2) == ([1], None)


async def test_rows_of_other_tenants_and_of_the_installation_are_not_read(documents):
    assert await numbers(documents, tenant="other") == ([1], None)
    assert await numbers(documents, tenant="") == ([1], None)
    assert await numbers(documents, tenant="nobody") == ([], None)
