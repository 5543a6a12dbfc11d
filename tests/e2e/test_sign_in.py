"""People sign in over real connections: at an identity provider of others, and by an invitation that the command prints."""

import re
import subprocess
import sys
import textwrap
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from clarion_lab.load.programs import System
from tests.e2e.conftest import QUICK, operator_of, watched
from tests.e2e.identity_provider import identity_provider, port_of_provider
from tests.e2e.web import Browser

pytestmark = [pytest.mark.e2e, pytest.mark.waits]
ACCOUNTS = {
    "ada": {"email": "ada@corp.example", "name": "Ada", "groups": ["writers"]},
    "bob": {"email": "bob@corp.example", "name": "Bob", "groups": ["auditors", "writers"]},
    "eve": {"email": "eve@corp.example", "name": "Eve", "groups": []},
}
PAGE = Path(__file__).parents[2] / "docs" / "howto" / "sign-in.md"


def settings(issuer, secret):
    """Return the settings on the page, for another provider."""
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return textwrap.dedent(block).replace("https://id.example.com", issuer).replace("/run/secrets/oidc", str(secret))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a running installation and the provider it trusts."""
    folder, port = tmp_path_factory.mktemp("people"), port_of_provider()
    issuer, secret = f"http://127.0.0.1:{port}", folder / "secret"
    secret.write_text("a secret of a test\n")
    secret.chmod(0o600)
    (folder / "clarion.toml").write_text(settings(issuer, secret))
    system = System(
        folder,
        QUICK
        | {
            "CLARION_CONFIG": str(folder / "clarion.toml"),
            "CLARION_EGRESS_ALLOW_PRIVATE": "127.0.0.0/8",
            "CLARION_EGRESS_ALLOW_HTTP": "true",
            "CLARION_WORKERS_COUNT": "1",
        },
    )
    redirects = [f"{system.url}/sign-in/with/corp/callback"]
    with identity_provider(folder, port, redirects, ACCOUNTS) as provider, watched(system):
        operator = operator_of(system)
        for tenant in ("acme", "other"):
            operator.put(f"/v1/tenants/{tenant}", {})
        yield system, provider


def signed_in(place, account):
    system, provider = place
    provider.sign_in_as(account)
    browser = Browser(system.url)
    page = browser.go("/sign-in/with/corp")
    assert page.status == 200, page.text
    return browser


def test_a_group_becomes_a_role_and_the_role_decides(place):
    browser = signed_in(place, "ada")
    session = browser.api("GET", "/v1/session").json
    assert (session["tenant"], session["role"], session["person"]["email"]) == (
        "acme",
        "content-editor",
        "ada@corp.example",
    )
    assert browser.api("PUT", "/v1/templates/hello", {"channels": {"sms": {"body": "x"}}}).status == 200
    assert browser.api("GET", "/v1/users").status == 403


def test_whoever_belongs_to_two_tenants_chooses_and_the_cookie_changes(place):
    browser = signed_in(place, "bob")
    assert "Choose a tenant" in browser.go("/tenant").text
    assert browser.api("GET", "/v1/topics").status == 403
    token = browser.api("GET", "/v1/session").json["csrf_token"]
    page = browser.fill("/tenant", tenant="other")
    assert "You are in other as auditor." in page.text
    assert browser.api("GET", "/v1/session").json["csrf_token"] != token
    assert browser.api("GET", "/v1/topics").status == 200
    assert browser.api("PUT", "/v1/topics/x", {"name": "x"}).status == 403
    assert browser.api("POST", "/v1/session/tenant", {"tenant": "acme"}).json["role"] == "content-editor"
    assert browser.api("POST", "/v1/session/tenant", {"tenant": "nowhere"}).status == 404


def test_the_provider_signs_with_other_keys_and_people_still_sign_in(place):
    signed_in(place, "ada")
    place[1].rotate_keys()
    browser = signed_in(place, "ada")
    assert browser.api("GET", "/v1/session").json["role"] == "content-editor"


def test_who_has_no_group_has_no_place(place):
    system, provider = place
    provider.sign_in_as("eve")
    browser = Browser(system.url)
    page = browser.go("/sign-in/with/corp")
    assert page.status == 401 and "not a member of any tenant" in page.text, page.text
    assert browser.api("GET", "/v1/session").status == 401


def test_a_code_is_not_taken_in_another_browser(place):
    system, provider = place
    provider.sign_in_as("ada")
    browser = Browser(system.url)
    page = browser.call("GET", f"{system.url}/sign-in/with/corp")
    for _ in range(6):
        there = page.headers["location"]
        if "/callback?" in there:
            break
        page = browser.call("GET", there if there.startswith("http") else provider.issuer + there)
    assert parse_qs(urlsplit(there).query)["iss"] == [provider.issuer]
    other = Browser(system.url)
    assert other.call("GET", there).status == 401
    assert other.api("GET", "/v1/session").status == 401


def test_the_first_owner_comes_by_a_link_that_the_command_prints(place):
    system, _ = place
    key = (system.folder / "data" / "operator.key").read_text().strip()
    command = [
        sys.executable,
        "-m",
        "clarion",
        "operator",
        "invite",
        "first@example.com",
        "--tenant",
        "fresh",
        "--url",
        system.url,
        "--key",
        key,
    ]
    link = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    browser = Browser(system.url)
    page = browser.fill(urlsplit(link).path, name="First", password="a long night in Wuppertal")
    assert "You are in fresh as owner." in page.text
    assert (
        browser.api("POST", "/v1/invitations", {"email": "next@example.com", "role": "support"})
        .json["url"]
        .startswith(system.url)
    )
    browser.fill("/account", "/sign-out")
    assert browser.api("GET", "/v1/session").status == 401
    assert (
        "You are in fresh"
        in browser.fill("/sign-in", email="first@example.com", password="a long night in Wuppertal").text
    )
