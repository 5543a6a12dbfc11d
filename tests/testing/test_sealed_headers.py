"""Secrets in headers of fetch steps, through a whole installation under a clock: each instance with its own version."""

import json

from clarion.testing import Clarion

URL = "https://crm.example/"


def workflow(value):
    headers = {"Authorization": value, "X-Source": "shop {data.n}"}
    return {
        "steps": [
            {"kind": "delay", "name": "pause", "for": "1h"},
            {"kind": "fetch", "name": "ask", "url": URL, "headers": headers},
        ]
    }


def instance(clarion, id_):
    (found,) = clarion.notification(id_)["instances"]
    return found


def test_instances_call_with_the_secret_of_their_version():
    with Clarion() as clarion:
        clarion.put_user("ada", {})
        clarion.answer(URL, {"said": "Bearer c4nary-old"})
        clarion.put_workflow("w", workflow({"secret": "c4nary-old", "prefix": "Bearer "}))
        old = clarion.notify(to="ada", workflow="w", data={"n": 1})
        clarion.put_workflow("w", workflow("c4nary-new"))
        new = clarion.notify(to="ada", workflow="w", data={"n": 2})
        clarion.put_workflow("w", workflow({"sealed": True, "prefix": "Token "}))
        kept = clarion.notify(to="ada", workflow="w", data={"n": 3})
        clarion.run_for("2h")
        sent = {call.headers["x-source"]: call.headers["authorization"] for call in clarion.fetches}
        assert sent == {"shop 1": "Bearer c4nary-old", "shop 2": "c4nary-new", "shop 3": "Token c4nary-new"}
        assert [instance(clarion, id_)["state"] for id_ in (old, new, kept)] == ["completed"] * 3
        said = [clarion.call("GET", "/v1/workflows/w", version=str(version)) for version in (1, 2, 3)]
        said += [clarion.notification(id_) for id_ in (old, new, kept)]
        assert "c4nary" not in json.dumps(said) + json.dumps(clarion.faults)
