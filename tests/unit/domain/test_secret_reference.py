"""References to secrets: their form, and which tenant may name which one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.control.tenants.rules import check_tenant
from clarion.domain.errors import InvalidField, OperatorError
from clarion.domain.secret_reference import is_held_by, is_reference, parse, parse_permissions, permitted

TENANTS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True).map(check_tenant)
OF_EACH = ("file:/run/secrets/{tenant}/*", "env:MAIL_{tenant}_*", "vault:kv/{tenant}/*#*", "vault:kv/of/{tenant}#key")


def may(entries, tenant, text):
    return permitted(parse_permissions(entries, "secrets.allow"), tenant, parse({"from": text}, "key"))


@pytest.mark.parametrize("value", ["env:KEY", {"from": "env:KEY", "more": 1}, {"From": "env:KEY"}, ["from"], None, {}])
def test_only_an_object_with_from_alone_is_a_reference(value):
    assert not is_reference(value)


@pytest.mark.parametrize(
    "text",
    ["", "env", "env:", ":x", "ENV:x", "file:/a/../b", "file:/a/./b", "file:/a//b", "file:/..", "file:/a/", "vault:../x#y",
     "file:/a b", "file:/é", "file:/a\n", "env:" + "x" * 600, 7, None, {"from": "env:KEY"}],
)  # fmt: skip
def test_a_malformed_reference_is_refused_by_its_field(text):
    with pytest.raises(InvalidField) as found:
        parse({"from": text}, "credentials.api_key")
    assert (found.value.field, found.value.code) == ("credentials.api_key", "secret_reference_invalid")


@pytest.mark.parametrize(
    ("entries", "tenant", "text", "root"),
    [
        (["acme env:ACME_*"], "acme", "env:ACME_KEY", ""),
        (["acme env:ACME_*"], "other", "env:ACME_KEY", None),
        (["acme env:ACME_*"], "acme", "env:ACME_", None),
        (["acme env:ACME_*"], "acme", "env:OTHER_KEY", None),
        (["acme env:ACME_*"], "acme", "file:/ACME_KEY", None),
        (["acme file:/run/secrets/*"], "acme", "file:/run/secrets/key", "/run/secrets"),
        (["acme file:/run/secrets/*"], "acme", "file:/run/secrets/other/key", None),
        (["acme file:/run/secrets/*/key"], "acme", "file:/run/secrets/a/key", "/run/secrets"),
        (["acme file:/run/key"], "acme", "file:/run/key", "/run"),
        (["acme file:/run/key"], "acme", "file:/run/key2", None),
        (["acme file:/run/k.y"], "acme", "file:/run/key", None),
        (["file:/run/{tenant}/*"], "acme", "file:/run/acme/key", "/run/acme"),
        (["file:/run/{tenant}/*"], "other", "file:/run/acme/key", None),
        (["acme vault:kv/*#*"], "acme", "vault:kv/a#b", "kv"),
        (["acme vault:kv/*#password"], "acme", "vault:kv/a#b#password", None),
        ([], "acme", "env:ACME_KEY", None),
    ],
)
def test_a_tenant_may_name_what_the_operator_permits(entries, tenant, text, root):
    assert may(entries, tenant, text) == root


@pytest.mark.parametrize(
    "entry",
    ["env:SECRET_*", "file:/run/*", "file:/run/*/{tenant}", "env:{tenant}*", "env:{tenant}-key", "env:{tenant}x",
     "file:/run/{tenant}/../x", "file:/{tenant}/{tenant}", "nothing", "env:", "A B env:X", "Acme env:X", "file:/run/{Tenant}/*"],
)  # fmt: skip
def test_a_permission_of_no_one_tenant_stops_the_start(entry):
    with pytest.raises(OperatorError, match=r"^secrets\.allow: "):
        parse_permissions([entry], "secrets.allow")


@given(TENANTS, TENANTS, st.sampled_from(OF_EACH), st.text("ab-_/#.", min_size=1, max_size=6))
def test_no_tenant_can_name_the_secret_of_another(tenant, other, entry, rest):
    text = entry.replace("{tenant}", tenant).replace("*", rest)
    try:
        named = may([entry], tenant, text)
    except InvalidField:
        return
    if tenant != other and named is not None:
        assert may([entry], other, text) is None


def test_a_secret_that_is_itself_a_reference_is_recognized():
    assert is_held_by(' {"from": "env:OTHER"}\n')
    assert not is_held_by('{"type": "service_account", "from": "x"}')
    assert not is_held_by("env:OTHER")
    assert not is_held_by("{" * 100_000)
