"""The matrix: every route with every role, in the own tenant and with what belongs to another one, called over HTTP and held against the
reviewed table in docs/roles.md. Nothing here asks the code that decides."""

import json
import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.e2e.outside import Api, new_tenant
from tests.e2e.web import Browser
from tests.security.route_examples import EXAMPLES, NOTIFICATION

pytestmark = [pytest.mark.e2e, pytest.mark.waits]
PAGE = Path(__file__).parents[2] / "docs" / "roles.md"
PASSWORD = "a long night in Wuppertal"
THEIRS = "of-another-tenant"


def table():
    """Return the roles of the page, and what it says of each route by role."""
    text = PAGE.read_text(encoding="utf-8").partition("<!-- generated: matrix -->")[2]
    rows = [
        [cell.strip() for cell in line.strip("|\n").split("|")] for line in text.splitlines() if line.startswith("|")
    ]
    roles, found = rows[0][1:], {}
    for route, *cells in rows[2:]:
        method, path = route.strip("`").split(" ")
        found[method, path] = dict(zip(roles, (cell == "yes" for cell in cells), strict=True))
    return roles, found


class Member:
    """Somebody with a role, who signs in again after a call that ends the session."""

    def __init__(self, operator, tenant, role):
        self.url = f"http://127.0.0.1:{operator.port}"
        self.tenant = tenant
        self.email = f"{role}@{tenant}.example"
        body = {"email": self.email, "role": role}
        link = operator.post(f"/v1/tenants/{tenant}/invitations", body)["url"]
        self.browser = Browser(self.url)
        assert self.browser.fill(urlsplit(link).path, name=role, password=PASSWORD).status == 200

    def call(self, method, path, body):
        if self.browser.api("GET", "/v1/session").status == 401:
            self.browser = Browser(self.url)
            assert self.browser.fill("/sign-in", email=self.email, password=PASSWORD).status == 200
        return self.browser.api(method, path, body)


@pytest.fixture(scope="module")
def theirs(operator):
    """Return another tenant's owner, its name, and the names of its things by the beginning of a path."""
    tenant = new_tenant(operator)
    for (method, path), example in EXAMPLES.items():
        if method == "PUT" and example.upserts and not path.startswith(("/v1/tenants", "/v1/roles")):
            name = list(example.values)[-1]
            tenant.call(method, path.format(**example.values | {name: THEIRS}), example.body)
    tenant.put("/v1/users/ada", {"phone": "+14155550100"})
    tenant.put("/v1/templates/note", {"channels": {"sms": {"body": "{{ data.text }}"}}})
    sent = tenant.post("/v1/notifications", NOTIFICATION)["id"]
    owner = Member(operator, tenant.name, "owner")
    session = owner.browser.api("GET", "/v1/session").json
    invited = owner.browser.api("POST", "/v1/invitations", {"email": "x@example.com"}).json["id"]
    owner.browser.api("PUT", f"/v1/roles/{THEIRS}", {"permissions": ["topics:read"]})
    ids = {
        "/v1/notifications": sent, "/v1/members": session["person"]["id"], "/v1/invitations": invited, "/v1/sessions": session["id"],
        "/v1/broadcasts": "brd_" + "f" * 32, "/v1/dead-letters": "dlv_" + "f" * 48,
    }  # fmt: skip
    return owner, tenant.name, ids


def seen_by(owner):
    """Return all that an owner sees in lists, without what only time changes."""
    found = {}
    for (method, path), _ in EXAMPLES.items():
        if (
            method == "GET"
            and "{" not in path
            and path.startswith("/v1/")
            and "session" not in path
            and path != "/v1/counters"
        ):
            answer = owner.browser.api("GET", path)
            if answer.status == 200:
                found[path] = re.sub(r'"(state|status|states|deliveries|health)":\S*', "", answer.text)
    return found


def wrong_of(member, cleaner, route, permitted, ids, foreign_tenant):
    """Return what is wrong with the two cells of a route and a member."""
    (method, path), found = route, []
    example = EXAMPLES[route]
    query = f"?{example.query}" if example.query else ""
    body = json.dumps({"tenant": member.tenant}).encode() if path == "/v1/session/tenant" else example.sent
    own = member.call(method, path.format(**example.values) + query, body)
    if (own.status == 403) == permitted or own.status in (401, 405) or own.status >= 500:
        found.append((*route, "own", own.status))
    if "forbidden" not in own.text and own.status == 403:
        found.append((*route, "own", own.text))
    place = next((value for start, value in ids.items() if path.startswith(start + "/")), THEIRS)
    values = dict.fromkeys(example.values, place) | ({"version": "1"} if "version" in example.values else {})
    if path == "/v1/session/tenant":
        body = json.dumps({"tenant": foreign_tenant}).encode()
    foreign = member.call(method, path.format(**values) + query, body)
    free = example.upserts or not example.values
    expected = (
        {403}
        if not permitted
        else {404}
        if not free or path == "/v1/session/tenant"
        else {200, 201, 202, 204, 404, 409, 422}
    )
    if foreign.status not in expected or (method == "GET" and THEIRS in foreign.text and "{" not in path):
        found.append((*route, "foreign", foreign.status, foreign.text[:100]))
    if permitted and example.upserts and foreign.status < 300:
        cleaner.call("DELETE", path.format(**values), None)
    return found


def test_each_route_answers_each_role_as_the_page_says(operator, theirs, capsys):
    owner, foreign_tenant, ids = theirs
    roles, expected = table()
    new = new_tenant(operator)
    new.put("/v1/users/ada", {"phone": "+14155550100"})
    new.put("/v1/categories/news", {})
    new.put("/v1/templates/note", {"channels": {"sms": {"body": "{{ data.text }}"}}})
    members = {role: Member(operator, new.name, role) for role in roles}
    before, wrong = seen_by(owner), []
    for route, cells in expected.items():
        for role, permitted in cells.items():
            wrong += [
                (role, *one) for one in wrong_of(members[role], members["owner"], route, permitted, ids, foreign_tenant)
            ]
    assert seen_by(owner) == before
    cells = 2 * len(expected) * len(roles)
    with capsys.disabled():
        sys.stdout.write(json.dumps({"cells": cells, "wrong": len(wrong)}) + "\n")
    assert not wrong, "\n".join(map(str, wrong))


def test_the_page_has_each_route_that_a_session_opens(operator):
    described = Api(operator.port).get("/openapi.json")["paths"]
    found = {
        (method.upper(), path)
        for path, methods in described.items()
        for method, one in methods.items()
        if {"session": []} in one.get("security", [])
        and not path.startswith(("/v1/tenants", "/v1/operators", "/v1/keys"))
    }
    assert found == set(table()[1])
