"""Idempotency keys: one notification through any failures of the client and the processes."""

import json
import os
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from clarion_lab.load.programs import clarion
from clarion_lab.machine.ports import free_port
from tests.e2e.outside import HOST, Tenant, one, until
from tests.e2e.seed import NOTE

BODY = {"to": "ada", "template": "note", "data": {"text": "once"}, "channels": ["inapp"]}
PATHS = {
    "/v1/notifications": BODY,
    "/v1/notifications/batch": {"notifications": [BODY, BODY | {"to": "nobody"}]},
    "/v1/broadcasts": {"audience": {"all": True}, "template": "note", "data": {"text": "once"}, "channels": ["inapp"]},
}


@pytest.fixture
def home(tenant):
    tenant.seed_data({"note": NOTE}, ["sms"])
    tenant.user("ada", phone="+14155550101")
    return tenant


def sent(home):
    return [item["id"] for item in home.pages("/v1/notifications")]


def keyed(home, path, body, key):
    return home.call("POST", path, body, headers={"Idempotency-Key": key})


def changed(body):
    """Return a different body with the same effect."""
    return body | {"notifications": [BODY]} if "notifications" in body else body | {"metadata": {}}


@pytest.mark.parametrize("path", PATHS)
def test_the_same_key_and_body_get_the_same_answer_another_body_is_refused(home, path):
    first, again = (keyed(home, path, PATHS[path], "k 1") for _ in range(2))
    assert (first.status, first.body) == (again.status, again.body)
    assert first.status == 202
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    problem = home.refused(422, "POST", path, changed(PATHS[path]), headers={"Idempotency-Key": "k 1"})
    assert (problem["code"], problem["field"]) == ("idempotency_key_reused", "Idempotency-Key")
    other = keyed(home, path, PATHS[path], "k 2")
    assert (other.status, other.body == first.body) == (202, False)
    if path != "/v1/broadcasts":
        until(lambda: len(sent(home)) == 2, "both are listed")


def test_a_key_in_the_body_is_as_good_as_one_in_the_header(home):
    body = BODY | {"idempotency_key": "in-body"}
    first, again = home.call("POST", "/v1/notifications", body), home.call("POST", "/v1/notifications", body)
    assert first.body == again.body
    assert again.headers["idempotency-replayed"] == "true"
    both = keyed(home, "/v1/notifications", body, "in-body")
    assert (both.body, both.headers["idempotency-replayed"]) == (first.body, "true")
    problem = home.refused(422, "POST", "/v1/notifications", body, headers={"Idempotency-Key": "another"})
    assert problem["field"] == "idempotency_key"
    for key in ("", "x" * 256):
        problem = home.refused(422, "POST", "/v1/notifications", BODY, headers={"Idempotency-Key": key})
        assert problem["field"] == "Idempotency-Key"


def test_a_key_is_its_tenants_alone(home, operator):
    from tests.e2e.outside import new_tenant

    other = new_tenant(operator).seed_data({"note": NOTE}, [])
    other.user("ada")
    first, second = (keyed(tenant, "/v1/notifications", BODY, "shared") for tenant in (home, other))
    assert (first.status, second.status) == (202, 202)
    assert first.json["id"] != second.json["id"]
    assert "idempotency-replayed" not in second.headers


def test_a_refused_request_does_not_use_up_its_key(home):
    home.refused(422, "POST", "/v1/notifications", BODY | {"to": "nobody"}, headers={"Idempotency-Key": "k"})
    taken = keyed(home, "/v1/notifications", BODY, "k")
    assert (taken.status, "idempotency-replayed" in taken.headers) == (202, False)


def test_50_at_the_same_time_are_one_notification(home):
    def ask(_):
        return keyed(home, "/v1/notifications", BODY, "crowd")

    with ThreadPoolExecutor(50) as crowd:
        answers = list(crowd.map(ask, range(50)))
    taken = [answer for answer in answers if answer.status == 202]
    held = [answer for answer in answers if answer.status == 409]
    assert len(taken) + len(held) == 50
    assert len([answer for answer in taken if "idempotency-replayed" not in answer.headers]) == 1
    assert all(answer.headers["retry-after"] == "1" for answer in held)
    assert {answer.json["code"] for answer in held} <= {"idempotency_key_running"}
    id_ = one({answer.json["id"] for answer in taken})
    assert len(home.ended(id_)["deliveries"]) == 1
    assert sent(home) == [id_]


@pytest.fixture
def second_port(system):
    """Yield the port of another API process of the same installation."""
    port = free_port()
    own = {"CLARION_DATA_DIR": str(system.folder / "data"), "CLARION_API_PORT": str(port), "CLARION_API_HOST": HOST}
    log = system.folder / "second.log"
    with (
        log.open("ab") as out,
        subprocess.Popen(clarion("api"), env=dict(system.environment) | own, stdout=out, stderr=out) as api,
    ):
        try:
            until(lambda: listens(port) or api.poll() is not None, "the second API process listens")
            assert api.poll() is None, log.read_text()
            yield port
        finally:
            api.terminate()


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


@pytest.mark.processes
def test_what_comes_to_two_processes_at_the_same_time_is_one_notification(home, second_port):
    clients = [home, Tenant(second_port, home.key)]

    def ask(place):
        number, process = divmod(place, 2)
        return keyed(clients[process], "/v1/notifications", BODY, f"pair {number}")

    with ThreadPoolExecutor(8) as crowd:
        answers = list(crowd.map(ask, range(200)))
    assert {answer.status for answer in answers} == {202}
    pairs = list(zip(answers[::2], answers[1::2], strict=True))
    assert all(one.body == two.body for one, two in pairs)
    replayed = [sum("idempotency-replayed" in answer.headers for answer in pair) for pair in pairs]
    assert replayed == [1] * 100
    for answer in answers[::2]:
        home.ended(answer.json["id"])
    assert sorted(sent(home)) == sorted(answer.json["id"] for answer in answers[::2])


def test_keys_of_items_hold_across_batches_and_single_requests(home):
    first, second = BODY | {"idempotency_key": "i1"}, BODY | {"idempotency_key": "i2", "to": {"phone": "+14155550102"}}
    second["channels"] = ["sms"]
    twice = [first, second, first, second | {"data": {"text": "other"}}]
    results = home.post("/v1/notifications/batch", {"notifications": twice})["results"]
    assert [result["status"] for result in results] == ["accepted", "accepted", "refused", "refused"]
    assert {result["error"]["code"] for result in results[2:]} == {"idempotency_key_running"}
    again = home.post("/v1/notifications/batch", {"notifications": [second, BODY, first]})["results"]
    assert [result["id"] for result in again[::2]] == [results[1]["id"], results[0]["id"]]
    assert [result.get("replayed") for result in again] == [True, None, True]
    other = home.post("/v1/notifications/batch", {"notifications": [first | {"data": {"text": "other"}}]})["results"]
    assert one(other)["error"]["code"] == "idempotency_key_reused"
    assert set(sent(home)) <= {result["id"] for result in [*results[:2], *again]}


@pytest.mark.processes
def test_a_key_outlives_the_process_that_took_it(home, system):
    path = "/v1/notifications"
    first = keyed(home, path, BODY, "durable")
    pid_file = system.folder / "data" / "run" / "api.pid"
    pid = pid_file.read_text()
    os.kill(int(pid), signal.SIGKILL)
    until(lambda: pid_file.exists() and pid_file.read_text() != pid, "another API process")
    system.wait_ready()
    again = keyed(home, path, BODY, "durable")
    assert (again.status, again.body) == (202, first.body)
    assert again.headers["idempotency-replayed"] == "true"
    home.refused(422, "POST", path, BODY | {"metadata": {}}, headers={"Idempotency-Key": "durable"})
    home.ended(first.json["id"])
    assert sent(home) == [first.json["id"]]


def hang_up(home, key, share):
    """Send that share of a request and close the connection without reading a response."""
    body = json.dumps(BODY).encode()
    head = (
        f"POST /v1/notifications HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {home.key}\r\n"
        f"Idempotency-Key: {key}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    whole = head.encode() + body
    with socket.create_connection((HOST, home.port)) as connection:
        connection.sendall(whole[: int(len(whole) * share)])


@pytest.mark.parametrize("share", [0.3, 0.99, 1.0])
def test_a_client_that_hung_up_may_ask_again(home, share):
    for number in range(5):
        hang_up(home, f"key-{number}", share)
        first = until(lambda: accepted(home, f"key-{number}"), "the retry is taken", 5)  # noqa: B023
        if share < 1:
            assert "idempotency-replayed" not in first.headers
    until(lambda: len(sent(home)) == 5, "five are listed")
    assert len(sent(home)) == 5


def accepted(home, key):
    answer = keyed(home, "/v1/notifications", BODY, key)
    assert answer.status in (202, 409), answer
    return answer if answer.status == 202 else None
