"""Permissions and the sets of them."""

import pytest

from clarion.domain.actor import ActorKind
from clarion.domain.api_key import ApiKey
from clarion.domain.errors import Forbidden
from clarion.domain.permissions import (
    EVERYTHING,
    OF_OPERATOR,
    OF_TENANT,
    OF_USER,
    PERMISSIONS,
    SCOPES,
    SETS,
    SHOW_CONTACTS,
    lacks,
    permissions_of,
    sets_with,
)
from clarion.identity.callers import OPERATOR, caller_of_key, caller_of_user
from clarion.identity.user_tokens import TokenClaims
from tests.callers import by_key


def test_each_permission_is_listed_once_and_somebody_has_it():
    assert list(PERMISSIONS) == sorted(PERMISSIONS)
    assert frozenset().union(*SETS.values()) == PERMISSIONS.keys()
    for name in PERMISSIONS:
        resource, _, verb = name.partition(":")
        assert resource and verb.isalpha(), name


def test_what_the_operator_may_do_no_key_and_no_user_may():
    assert not OF_OPERATOR & (OF_TENANT | OF_USER)
    shared = OF_USER & OF_TENANT
    assert shared == {"seen:write"}


def test_scopes_share_only_contacts():
    for name in PERMISSIONS:
        holders = [scope for scope in SCOPES if name in SCOPES[scope]]
        assert len(holders) <= 1 or name == "contacts:read", name
    assert sets_with("contacts:read") == [name for name, held in SCOPES.items() if held & SHOW_CONTACTS]


def test_a_key_may_do_what_its_scopes_hold():
    assert permissions_of((EVERYTHING,)) == permissions_of(("users:read", EVERYTHING)) == OF_TENANT
    assert permissions_of(("providers:read", "keys:rotate")) == {"providers:read", "keys:rotate"}
    for unknown in ((), ("operator",), ("inbox",), ("gone:read",)):
        assert permissions_of(unknown) == frozenset()


def test_a_refusal_names_the_permission_and_its_scopes():
    assert lacks("users:erase") == "the credential lacks the permission 'users:erase' of the scope 'users:write'"
    assert "'notifications:write' or 'inbox'" in lacks("seen:write")
    assert lacks("widgets:read") == "the credential lacks the permission 'widgets:read'"
    by_key(permissions={"users:read"}).require("users:read", "user")
    with pytest.raises(Forbidden) as refused:
        by_key(permissions={"users:write"}).require("users:read", "user")
    assert (refused.value.field, refused.value.detail) == ("user", lacks("users:read"))


def test_each_kind_of_credential_makes_its_caller():
    key = caller_of_key(ApiKey("acme", "k1", ("users:read",), 9))
    assert (key.tenant, key.actor, key.permissions, key.user_id, key.expires_ms) == (
        "acme", (ActorKind.KEY, "k1"), SCOPES["users:read"], None, 9,
    )  # fmt: skip
    user = caller_of_user(TokenClaims("acme", "ria", 0, 9))
    assert (user.tenant, user.actor, user.permissions, user.user_id) == (
        "acme",
        (ActorKind.USER, "ria"),
        OF_USER,
        "ria",
    )
    assert (OPERATOR.tenant, OPERATOR.actor, OPERATOR.permissions) == (
        "",
        (ActorKind.OPERATOR, "operator"),
        OF_OPERATOR,
    )
