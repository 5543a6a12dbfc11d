"""Pages of other origins with a user token: those that the tenant allows work, others do not."""

import json

import pytest

from tests.e2e.fetching import NetworkError, Page
from tests.e2e.outside import HOST, new_tenant, until

APP, EVIL = "https://app.acme.example", "https://evil.example"
QUIET = {"windows": [{"start": "22:00", "end": "07:00"}]}


class Browser(Page):
    """A page that calls the API with a token."""

    def __init__(self, port, origin, token):
        super().__init__(origin)
        self._base = f"http://{HOST}:{port}"
        self._token = token

    def call(self, path, method="GET", body=None):
        headers = {"Authorization": f"Bearer {self._token}"} | ({"Content-Type": "application/json"} if body else {})
        return self.fetch(self._base + path, method, headers, json.dumps(body).encode() if body else None)


@pytest.fixture
def acme(tenant):
    tenant.user("ria")
    tenant.put("/v1/origins", {"origins": [APP, "https://*.acme.test"]})
    return tenant


def page(tenant, origin, token=None):
    return Browser(tenant.port, origin, token or tenant.inbox_of("ria").key)


@pytest.mark.parametrize("origin", [APP, "https://shop.acme.test"])
def test_an_allowed_page_reads_and_changes(acme, origin):
    app = page(acme, origin)
    assert json.loads(app.call("/v1/inbox").body)["data"] == []
    assert app.call("/v1/me/quiet-hours", "PUT", QUIET).status == 200
    assert json.loads(app.call("/v1/me/quiet-hours").body)["windows"][0]["start"] == "22:00"
    assert app.call("/v1/inbox/read-all", "POST").status == 204
    assert app.wire.count("OPTIONS") == 4


@pytest.mark.parametrize("origin", [EVIL, "null", "https://a.b.acme.test", "http://app.acme.example"])
def test_another_page_learns_and_changes_nothing(acme, origin):
    evil = page(acme, origin)
    with pytest.raises(NetworkError):
        evil.call("/v1/inbox")
    with pytest.raises(NetworkError):
        evil.call("/v1/me/quiet-hours", "PUT", QUIET)
    assert evil.wire == ["OPTIONS", "GET", "OPTIONS", "PUT"]
    acme.inbox_of("ria").refused(404, "GET", "/v1/me/quiet-hours")
    problem = acme.inbox_of("ria").refused(403, "PUT", "/v1/me/quiet-hours", QUIET, headers={"Origin": origin})
    assert (problem["code"], problem["field"]) == ("origin_not_allowed", "Origin")


def test_origins_of_one_tenant_are_not_those_of_another(acme, operator):
    other = new_tenant(operator)
    other.user("ria")
    with pytest.raises(NetworkError):
        page(other, APP).call("/v1/inbox")


def test_a_page_sees_that_its_token_has_ended(acme):
    assert page(acme, APP, "a.b.c").call("/v1/inbox").status == 401


def test_routes_of_api_keys_work_for_no_page(acme):
    with pytest.raises(NetworkError):
        page(acme, APP, acme.key).call("/v1/users/ria")
    answer = acme.call("GET", "/v1/users/ria", headers={"Origin": APP})
    assert answer.status == 200 and not [name for name in answer.headers if name.startswith("access-control")]


def test_a_removed_origin_is_refused_by_every_process(acme):
    app = page(acme, APP)
    app.call("/v1/inbox")
    acme.put("/v1/origins", {"origins": []})

    def refused():
        try:
            app.call("/v1/inbox")
        except NetworkError:
            return True
        return False

    until(refused, "the refusal")
    acme.refused(422, "PUT", "/v1/origins", {"origins": ["https://app.acme.example/path"]})
