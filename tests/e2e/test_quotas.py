"""Quotas for API clients: refusals and headers, stored settings, and one shared quota for two API processes."""

import contextlib
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from clarion_lab.load.programs import HOST, System, clarion
from clarion_lab.machine.ports import free_port
from tests.e2e.conftest import operator_of, watched
from tests.e2e.outside import CALL_TIMEOUT_S, Api, new_tenant, one, until
from tests.e2e.seed import NOTE
from tests.unit.ways_in.http.test_rate_limit_fields import parsed

ONE, BATCH, BLAST = "/v1/notifications", "/v1/notifications/batch", "/v1/broadcasts"
BODY = {"to": "ada", "template": "note", "data": {"text": "t"}, "channels": ["inapp"]}
UNLIMITED = dict.fromkeys(("rate_per_s", "burst", "daily", "audience_max", "requests_per_s", "requests_burst"))


@pytest.fixture
def home(tenant):
    """Return a tenant with two users who read their inbox."""
    tenant.seed_data({"note": NOTE}, [])
    tenant.user("ada")
    tenant.user("bo")
    return tenant


@pytest.fixture
def quota(operator, home):
    """Return a function that sets a quota of the tenant and waits until every process uses it."""

    def put(**figures):
        answer = operator.put(f"/v1/tenants/{home.name}/quota", figures)
        home.changed()
        return answer

    return put


def key_of(operator, home):
    return one(operator.pages(f"/v1/tenants/{home.name}/keys"))["id"]


def fields(answer):
    """Return the limit and the rest of the quota of events in the `RateLimit` fields."""
    policy, state = (parsed(answer.headers[name])["events"] for name in ("ratelimit-policy", "ratelimit"))
    assert policy["qu"] == "events"
    return policy["q"], state["r"]


def stored(home):
    return len(list(home.pages(ONE)))


def test_quotas_of_tenant_and_key_are_put_and_shown(operator, home):
    key = f"/v1/tenants/{home.name}/keys/{key_of(operator, home)}/quota"
    tenant = f"/v1/tenants/{home.name}/quota"
    for path in (key, tenant):
        assert operator.get(path) == UNLIMITED
        wanted = UNLIMITED | {"rate_per_s": 50, "burst": 200, "daily": 1_000_000}
        assert operator.put(path, {"rate_per_s": 50, "burst": 200, "daily": 1_000_000}) == wanted
        assert operator.get(path) == wanted
    assert operator.put(key, {}) == operator.get(key) == UNLIMITED
    assert operator.get(tenant) != UNLIMITED


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"burst": 5}, "burst"),
        ({"rate_per_s": 0}, "rate_per_s"),
        ({"rate_per_s": 1.5}, "rate_per_s"),
        ({"daily": -1}, "daily"),
        ({"audience_max": "many"}, "audience_max"),
        ({"daily": 10**30}, "daily"),
        ({"rates": 1}, "rates"),
        ({"requests_burst": 5}, "requests_burst"),
        ({"requests_per_s": 0}, "requests_per_s"),
        ({"requests_per_s": 10**7}, "requests_per_s"),
    ],
)
def test_a_bad_quota_names_its_field_and_changes_nothing(operator, home, body, field):
    path = f"/v1/tenants/{home.name}/quota"
    operator.put(path, {"daily": 7})
    problem = operator.refused(422, "PUT", path, body)
    assert problem["field"] == field
    assert operator.get(path)["daily"] == 7


def test_only_the_operator_sets_quotas_and_only_of_what_there_is(operator, home):
    for path in (f"/v1/tenants/{home.name}/quota", f"/v1/tenants/{home.name}/keys/{key_of(operator, home)}/quota"):
        for method, body in (("GET", None), ("PUT", {})):
            home.refused(403, method, path, body)
    other = new_tenant(operator)
    for path in ("/v1/tenants/nobody/quota", f"/v1/tenants/{other.name}/keys/{key_of(operator, home)}/quota"):
        operator.refused(404, "GET", path)
        operator.refused(404, "PUT", path, {"daily": 1})


def test_without_a_quota_nothing_is_said_of_one(home):
    answer = home.call("POST", ONE, BODY)
    assert answer.status == 202
    assert list(parsed(answer.headers["ratelimit"])) == list(parsed(answer.headers["ratelimit-policy"])) == ["requests"]


def test_over_the_quota_is_429_until_it_has_refilled_and_keeps_nothing(home, quota):
    quota(rate_per_s=1, burst=3)
    answers = [home.call("POST", ONE, BODY) for _ in range(3)]
    assert [answer.status for answer in answers] == [202] * 3
    assert fields(answers[0]) == (3, 2)
    refused = home.call("POST", ONE, BODY | {"to": ["ada", "bo"]}, headers={"Idempotency-Key": "again"})
    assert (refused.status, refused.json["code"]) == (429, "quota_exceeded")
    assert "1 a second, 3 at once" in refused.json["detail"]
    assert fields(refused)[0] == 3
    wait_s = int(refused.headers["retry-after"])
    assert 1 <= wait_s <= 2
    time.sleep(wait_s)  # as a client does with Retry-After
    later = home.call("POST", ONE, BODY | {"to": ["ada", "bo"]}, headers={"Idempotency-Key": "again"})
    assert (later.status, later.headers.get("idempotency-replayed")) == (202, None)
    until(lambda: stored(home) == 4, "four are listed")


def test_recipients_count_and_refused_or_repeated_requests_do_not(home, quota):
    quota(daily=10)
    assert fields(home.call("POST", ONE, BODY | {"to": ["ada", "bo"]})) == (10, 8)
    home.refused(422, "POST", ONE, BODY | {"to": "nobody"})
    for _ in range(3):
        assert home.call("POST", ONE, BODY, headers={"Idempotency-Key": "k"}).status == 202
    assert fields(home.call("POST", ONE, BODY)) == (10, 6)


def test_items_of_a_batch_are_taken_as_far_as_they_fit(home, quota):
    quota(daily=3)
    items = [BODY, BODY | {"to": "nobody"}, BODY | {"to": ["ada", "bo"]}, BODY, BODY]
    answer = home.call("POST", BATCH, {"notifications": items})
    results = answer.json["results"]
    assert [result["status"] for result in results] == ["accepted", "refused", "accepted", "refused", "refused"]
    assert results[1]["error"]["code"] == "unknown_user"
    for result in results[3:]:
        assert result["error"]["code"] == "daily_quota_exceeded"
        assert result["error"]["retry_after_s"] > 0
    assert fields(answer) == (3, 0)
    until(lambda: stored(home) == 2, "two are listed")


def test_a_batch_of_which_nothing_fits_is_refused_as_a_whole(home, quota):
    quota(rate_per_s=1, burst=2)
    home.call("POST", BATCH, {"notifications": [BODY, BODY]})
    keyed = {"Idempotency-Key": "batch"}
    refused = home.call("POST", BATCH, {"notifications": [BODY | {"to": ["ada", "bo"]}]}, headers=keyed)
    assert (refused.status, refused.json["code"]) == (429, "quota_exceeded")
    time.sleep(int(refused.headers["retry-after"]))
    again = home.call("POST", BATCH, {"notifications": [BODY | {"to": ["ada", "bo"]}]}, headers=keyed)
    assert one(again.json["results"])["status"] == "accepted"


def test_an_audience_over_the_quota_is_refused_before_it_starts(home, quota):
    blast = {name: value for name, value in BODY.items() if name != "to"}
    home.put("/v1/topics/few", {})
    home.post("/v1/topics/few/members", {"user_ids": ["ada"]})
    home.put("/v1/segments/all-of-us", {"filter": {"any": [{"locale": "en"}, {"not": {"locale": "en"}}]}})
    quota(audience_max=1)
    for audience in ({"all": True}, {"segment": "all-of-us"}):
        problem = home.refused(413, "POST", BLAST, blast | {"audience": audience})
        assert (problem["code"], problem["field"]) == ("audience_too_large", "audience")
        assert "2 recipients are more than the 1" in problem["detail"]
    assert home.refused(413, "POST", ONE, BODY | {"to": ["ada", "bo"]})["field"] == "to"
    assert home.call("POST", BLAST, blast | {"audience": {"topic": "few"}}).status == 202
    quota(audience_max=2)
    assert home.call("POST", BLAST, blast | {"audience": {"all": True}}).status == 202


def test_a_broadcast_is_one_event(home, quota):
    quota(daily=2)
    blast = {name: value for name, value in BODY.items() if name != "to"} | {"audience": {"all": True}}
    answers = [home.call("POST", BLAST, blast) for _ in range(3)]
    assert [answer.status for answer in answers] == [202, 202, 429]
    assert fields(answers[0]) == (2, 1)


def test_events_refused_are_counted(operator, home, quota):
    quota(daily=1)
    home.call("POST", ONE, BODY)
    home.refused(429, "POST", ONE, BODY)
    metrics = operator.call("GET", "/metrics").body.decode()
    assert 'clarion_quota_refused_total{kind="daily"}' in metrics


@contextlib.contextmanager
def another_api(system):
    """Yield one more API process of a running installation."""
    port = free_port()
    environment = dict(system.environment) | {
        "CLARION_DATA_DIR": str(system.folder / "data"),
        "CLARION_API_PORT": str(port),
        "CLARION_API_HOST": HOST,
    }
    with (system.folder / "second.log").open("wb") as log:
        process = subprocess.Popen(clarion("api"), env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            until(lambda: _answers(port), "the second API process answers")
            yield port
        finally:
            process.terminate()
            process.wait(CALL_TIMEOUT_S)


def _answers(port):
    with contextlib.suppress(OSError):
        return Api(port).call("GET", "/healthz").status == 200


@pytest.mark.processes
@pytest.mark.measures
def test_two_processes_let_through_no_more_than_one_would(tmp_path):
    with watched(System(tmp_path, {})) as system, another_api(system) as port:
        operator = operator_of(system)
        home = new_tenant(operator).seed_data({"note": NOTE}, [])
        home.user("ada")
        operator.put(f"/v1/tenants/{home.name}/quota", {"rate_per_s": 20, "burst": 100})
        home.changed()
        doors = [home, Api(port, home.key)]
        began = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda number: doors[number % 2].call("POST", ONE, BODY), range(300)))
        took_s = time.monotonic() - began
        taken = [answer.status for answer in answers].count(202)
        # A process may lose reserved and unused quota: at most a tenth of a second's worth each time.
        assert 100 * 0.9 <= taken <= 100 + 20 * took_s
        assert {answer.status for answer in answers} == {202, 429}
        assert all(int(answer.headers["retry-after"]) == 1 for answer in answers if answer.status == 429)
        until(lambda: stored(home) == taken, "all that was taken is listed, and nothing else")
