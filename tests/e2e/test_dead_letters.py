"""Dead letters and accounts over the API: list, edit, replay at a rate, and reset an account."""

import os
import subprocess
import sys
from datetime import datetime, timedelta

import pytest

from tests.e2e.outside import one, until
from tests.e2e.seed import NOTE, phone

SPAM = {"outcome": "refused", "reason": "spam", "detail": "550 we think this is spam"}


@pytest.fixture
def home(tenant):
    tenant.seed_data({"note": NOTE, "other": {"sms": {"body": "Again: {{ text }}"}}}, [])
    return tenant


def buried(home, numbers):
    """Send a text that is refused to each of these numbers; return the ids of the notifications."""
    home.sandbox("sms", by_address={"+1415555*": SPAM})
    home.changed()
    sent = [home.send({"phone": phone(n)}, "note", {"text": f"t{n}"}, channels=["sms"]) for n in numbers]
    for id_ in sent:
        assert one(home.ended(id_)["deliveries"])["state"] == "failed"
    home.sandbox("sms")
    home.changed()
    return sent


def send_and_wait(home, **body):
    return home.post("/v1/dead-letters/replay", body)


def test_a_pile_is_counted_and_then_replayed_at_a_pace_each_once(home):
    sent = buried(home, range(200, 206))
    home.post("/v1/suppressions", {"channel": "sms", "address": phone(200)})
    dry = send_and_wait(home, filter={"channel": "sms", "template": "note"}, dry_run=True)
    assert (dry["preview"]["letters"], dry["preview"]["replayable"]) == (6, 5)
    assert dry["preview"]["by_provider"] == {"sandbox-sms": 5}
    assert dry["preview"]["skipped"] == {"suppressed": 1}
    assert home.captured() == []
    began = datetime.now().astimezone()
    done = send_and_wait(home, filter={"provider": "sandbox-sms"}, rate_per_s=5)
    assert done["counts"] == {"replayed": 5, "suppressed": 1}
    again = send_and_wait(home, ids=[result["id"] for result in done["results"]])["counts"]
    assert "replayed" not in again
    for id_ in sent[1:]:
        until(lambda id_=id_: one(home.seen(id_)["deliveries"])["state"] == "sent", "the replay is sent")
    assert datetime.now().astimezone() - began >= timedelta(milliseconds=800)
    assert sorted(message["address"] for message in home.captured()) == [phone(n) for n in range(201, 206)]
    assert one(home.seen(sent[0])["deliveries"])["state"] == "failed"


def test_a_letter_is_edited_before_it_goes(home):
    sent = one(buried(home, [210]))
    letter = one(home.pages("/v1/dead-letters", address=phone(210)))
    detail = home.get(f"/v1/dead-letters/{letter['id']}")
    assert [attempt["detail"] for attempt in detail["delivery"]["attempts"]] == ["spam: 550 we think this is spam"]
    assert detail["content"]["data"] == {"text": "t210"}
    problem = home.refused(
        422, "POST", "/v1/dead-letters/replay", {"ids": [letter["id"]], "edit": {"address": "not a number"}}
    )
    assert problem["field"] == "edit.address"
    edit = {"address": phone(211), "data": {"text": "mended"}, "template": "other"}
    assert send_and_wait(home, ids=[letter["id"]], edit=edit)["counts"] == {"replayed": 1}
    delivery = until(lambda: [d for d in home.seen(sent)["deliveries"] if d["state"] == "sent"], "the replay is sent")
    assert (one(delivery)["id"], one(delivery)["address"]) == (letter["id"], phone(211))
    message = one(home.captured())
    assert (message["address"], message["content"]["parts"]["body"]) == (phone(211), "Again: mended")
    (line,) = [moment for moment in home.seen(sent)["timeline"] if moment["event"] == "replayed"]
    assert line["detail"].startswith("edited address, data, template; key ")


def test_an_account_that_is_down_says_so_and_is_closed_by_hand(home):
    body = {"channel": "sms", "vendor": "sandbox", "settings": {"by_attempt": ["transient"]}}
    home.put("/v1/providers/texts", body | {"breaker": {"calls_min": 2, "open_ms": 60_000}})
    for n in range(3):
        home.send({"phone": phone(220 + n)}, "note", {"text": "t"}, channels=["sms"])
    path = "/v1/providers/texts/health"
    down = until(lambda: opened(home.get(path)), "the account is open")
    assert down["until"] and down["detail"]
    until(lambda: [c for c in home.get(path)["changes"] if c["state"] == "open"], "the history has the opening")
    assert home.call("POST", "/v1/providers/texts/reset").status == 204
    until(lambda: [c for c in home.get(path)["changes"] if c["detail"].startswith("closed by hand")], "that, too")


def opened(health):
    return health if health["state"] == "open" else None


def test_an_account_is_tried_before_it_is_stored(home):
    sandbox = {"channel": "sms", "vendor": "sandbox"}
    problem = home.refused(422, "PUT", "/v1/providers/a?verify=true", sandbox)
    assert (problem["code"], problem["field"]) == ("verify_unsupported", "verify")
    sendgrid = {
        "channel": "email", "vendor": "sendgrid", "credentials": {"api_key": "SG.canary-key"},
        "settings": {"from_email": "a@example.com", "base_url": "https://127.0.0.1:9"},
    }  # fmt: skip
    problem = home.refused(422, "PUT", "/v1/providers/b?verify=true", sendgrid)
    assert (problem["code"], problem["field"]) == ("egress_blocked", "settings")
    assert "canary" not in str(problem)
    home.refused(404, "GET", "/v1/providers/b")


@pytest.mark.slow
def test_the_command_line_lists_shows_counts_and_replays(home, system, tmp_path):
    def clarion(*words):
        env = {name: value for name, value in os.environ.items() if not name.startswith("CLARION_")}
        env |= {"CLARION_URL": f"http://127.0.0.1:{system.port}", "CLARION_KEY": home.key, "COLUMNS": "300"}
        done = subprocess.run(
            [sys.executable, "-m", "clarion", *words], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    buried(home, [230, 231])
    letter = next(home.pages("/v1/dead-letters"))
    assert letter["id"] in clarion("dead-letters", "list", "--channel", "sms")
    assert "550 we think this is spam" in clarion("dead-letters", "show", letter["id"])
    assert "2 of 2 would be sent again" in clarion("dead-letters", "replay", "--reason", "refused", "--dry-run")
    assert clarion("dead-letters", "replay", letter["id"], "--data", "text=new") == "1 replayed\n"
    assert clarion("dead-letters", "replay", "--every", "--rate", "100") == "1 replayed\n"
    assert clarion("dead-letters", "replay", "--every") == "no dead letter matches\n"
    assert clarion("providers", "health", "sandbox-sms").startswith("sandbox-sms: closed")
    assert clarion("providers", "reset", "sandbox-sms") == "sandbox-sms: closed\n"
