"""Roles and members: nobody gives or takes what they do not hold, and a tenant keeps an owner."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.errors import Conflict, Forbidden
from clarion.domain.permissions import OF_MEMBER, OF_OPERATOR, OF_PERSON, OF_TENANT, OF_USER, PERMISSIONS
from clarion.domain.roles import ABOUT, BUILT_IN, OWNER
from clarion.identity.rules.grants import check_held, check_owner_left, check_permissions
from tests.people import join, signed_in

SOME = st.sets(st.sampled_from(sorted(PERMISSIONS)))


@pytest.fixture
async def ada(api):
    return await signed_in(api, "ada", "acme", "owner")


async def member_of_own_role(api, ada, name, *permissions):
    """Return a member whose role has these permissions."""
    await ada.ok("PUT", f"/v1/roles/{name}", {"permissions": list(permissions)})
    return await signed_in(api, f"{name}-person", "acme", name)


@given(held=SOME, wanted=SOME)
def test_only_what_is_held_can_be_given(held, wanted):
    if wanted <= held:
        check_held(held, wanted, "role")
    else:
        with pytest.raises(Forbidden) as refused:
            check_held(held, wanted, "role")
        assert (refused.value.code, refused.value.field) == ("beyond_own_permissions", "role")


@given(wanted=SOME.filter(bool))
def test_a_role_holds_what_members_may_and_nothing_of_operators_keys_or_users(wanted):
    if wanted <= OF_MEMBER:
        assert check_permissions(sorted(wanted, reverse=True)) == sorted(wanted)
    else:
        with pytest.raises(Exception, match="no role can have"):
            check_permissions(sorted(wanted))


@given(owners=st.sets(st.sampled_from("abc")), leaving=st.sampled_from("abc"))
def test_an_owner_is_left(owners, leaving):
    if owners - {leaving}:
        check_owner_left(owners, leaving)
    else:
        with pytest.raises(Conflict):
            check_owner_left(owners, leaving)


def test_what_built_in_roles_hold_is_a_members():
    assert BUILT_IN.keys() == ABOUT.keys()
    assert (
        BUILT_IN[OWNER]
        == OF_MEMBER
        == OF_TENANT - {"keys:rotate"} | {"audit:read", "members:read", "members:write", "roles:read", "roles:write"}
    )
    assert not OF_MEMBER & (OF_OPERATOR | OF_PERSON | OF_USER - {"seen:write"})
    for name, held in BUILT_IN.items():
        assert held <= OF_MEMBER, name
        assert ("contacts:read" in held) == (name in (OWNER, "developer")), name
    assert all(one.endswith(":read") for one in BUILT_IN["auditor"])


async def test_roles_are_kept_and_built_in_ones_shown_with_them(ada):
    body = {"permissions": ["templates:write", "templates:read"], "name": "Translators"}
    stored = (await ada.ok("PUT", "/v1/roles/translators", body)).json
    assert (stored["permissions"], stored["version"]) == (["templates:read", "templates:write"], 1)
    keys = [one["key"] for one in (await ada.ok("GET", "/v1/roles")).json["data"]]
    assert keys == [*BUILT_IN, "translators"]
    assert (await ada.ok("GET", "/v1/roles/owner")).json["permissions"] == sorted(OF_MEMBER)
    for method, sent in (("PUT", body), ("DELETE", None)):
        answer = await ada.call(method, "/v1/roles/owner", sent)
        assert (answer.status, answer.json["code"]) == (409, "built_in")
    await ada.ok("DELETE", "/v1/roles/translators")
    assert (await ada.call("GET", "/v1/roles/translators")).status == 404


@pytest.mark.parametrize(
    ("permissions", "field"),
    [
        ([], "permissions"),
        (["operators:write"], "permissions[0]"),
        (["users:read", "sessions:write"], "permissions[1]"),
        (["nothing"], "permissions[0]"),
    ],
)
async def test_a_role_of_what_no_role_can_have_is_refused(ada, permissions, field):
    answer = await ada.call("PUT", "/v1/roles/odd", {"permissions": permissions})
    assert (answer.status, answer.json["field"]) == (422, field)


async def test_a_role_cannot_lift_its_own_holder(api, ada):
    manager = await member_of_own_role(
        api, ada, "manager", "roles:write", "roles:read", "members:write", "members:read"
    )
    lifted = {"permissions": ["roles:write", "users:read"]}
    for target in ("/v1/roles/manager", "/v1/roles/new"):
        answer = await manager.call("PUT", target, lifted)
        assert (answer.status, answer.json["code"]) == (403, "beyond_own_permissions")
    for role in ("owner", "developer"):
        answer = await manager.call("PUT", f"/v1/members/{manager.id}", {"role": role})
        assert (answer.status, answer.json["code"], answer.json["field"]) == (403, "beyond_own_permissions", "role")
    await manager.ok("PUT", "/v1/roles/less", {"permissions": ["roles:read"]})


async def test_who_has_less_changes_nobody_who_has_more(api, ada):
    manager = await member_of_own_role(
        api, ada, "manager", "roles:write", "roles:read", "members:write", "members:read"
    )
    await ada.ok("PUT", "/v1/roles/strong", {"permissions": ["users:erase"]})
    for method, target, body in (
        ("PUT", f"/v1/members/{ada.id}", {"role": "manager"}), ("DELETE", f"/v1/members/{ada.id}", None),
        ("PUT", "/v1/roles/strong", {"permissions": ["roles:read"]}), ("DELETE", "/v1/roles/strong", None),
    ):  # fmt: skip
        answer = await manager.call(method, target, body)
        assert (answer.status, answer.json["code"]) == (403, "beyond_own_permissions"), target
    assert (await ada.ok("GET", "/v1/session")).json["role"] == "owner"


async def test_a_tenant_keeps_its_last_owner(api, ada):
    for method, body in (("PUT", {"role": "auditor"}), ("DELETE", None)):
        answer = await ada.call(method, f"/v1/members/{ada.id}", body)
        assert (answer.status, answer.json["code"]) == (409, "last_owner")
    bob = await signed_in(api, "bob", "acme", "owner")
    await ada.ok("PUT", f"/v1/members/{ada.id}", {"role": "auditor"})
    assert (await bob.call("DELETE", f"/v1/members/{bob.id}")).json["code"] == "last_owner"


async def test_of_two_owners_who_leave_at_once_one_stays(api, ada):
    bob = await signed_in(api, "bob", "acme", "owner")
    answers = await asyncio.gather(*(one.call("DELETE", f"/v1/members/{one.id}") for one in (ada, bob)))
    assert sorted(one.status for one in answers) == [204, 409]


async def test_a_role_stays_while_somebody_has_it(api, ada):
    await member_of_own_role(api, ada, "writers", "templates:write")
    answer = await ada.call("DELETE", "/v1/roles/writers")
    assert (answer.status, answer.json["code"]) == (409, "in_use")


async def test_members_are_listed_with_their_names_in_their_tenant_alone(api, ada):
    bob = await signed_in(api, "bob", "acme", "support")
    eve = await signed_in(api, "eve", "other", "owner")
    shown = [
        (one["key"], one["email"], one["name"], one["role"])
        for one in (await ada.ok("GET", "/v1/members")).json["data"]
    ]
    assert shown == [("prs_ada", "ada@example.com", "Ada", "owner"), ("prs_bob", "bob@example.com", "Bob", "support")]
    assert (await ada.ok("GET", f"/v1/members/{bob.id}")).json["role"] == "support"
    for method, body in (("GET", None), ("PUT", {"role": "auditor"}), ("DELETE", None)):
        assert (await eve.call(method, f"/v1/members/{bob.id}", body)).status == 404
    assert (await ada.call("PUT", "/v1/members/prs_nobody", {"role": "auditor"})).status == 404
    answer = await ada.call("PUT", f"/v1/members/{bob.id}", {"role": "nothing"})
    assert (answer.status, answer.json["code"], answer.json["field"]) == (422, "unknown_role", "role")


async def test_a_change_of_a_role_is_a_row_of_the_audit(api, ada):
    bob = await signed_in(api, "bob", "acme", "support")
    await ada.ok("PUT", f"/v1/members/{bob.id}?reason=on%20leave", {"role": "auditor"})
    await ada.ok("DELETE", f"/v1/members/{bob.id}")
    rows = (await api.parts.control.documents.audit("acme", 0, 1_000))[-2:]
    assert [(row.action, row.actor.kind.value, row.actor.id, row.key, row.before, row.after, row.reason) for row in rows] == [
        ("member.put", "person", "prs_ada", "prs_bob", b'{"role":"support"}', b'{"role":"auditor"}', "on leave"),
        ("member.remove", "person", "prs_ada", "prs_bob", b'{"role":"auditor"}', None, ""),
    ]  # fmt: skip


async def test_a_role_of_the_tenants_own_permits_what_it_says_as_it_changes(api, ada):
    bob = await member_of_own_role(api, ada, "readers", "topics:read")
    await bob.ok("GET", "/v1/topics")
    assert (await bob.call("GET", "/v1/users")).status == 403
    await ada.ok("PUT", "/v1/roles/readers", {"permissions": ["users:read"]})
    await bob.ok("GET", "/v1/users")
    assert (await bob.call("GET", "/v1/topics")).status == 403


async def test_no_key_manages_people(api):
    for path in ("/v1/members", "/v1/roles", "/v1/session", "/v1/sessions"):
        assert (await api.call("GET", path)).status == 403
    await join(api.parts, "acme", "prs_x", "owner")
