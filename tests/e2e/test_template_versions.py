"""Publishing and rollback under load: every worker follows within a second, and no message mixes two versions."""

import threading
import time
from datetime import datetime

import pytest

from tests.e2e.outside import AT_REST, until

pytestmark = pytest.mark.measures

SEEN_WITHIN_S = 1.0
BATCH = 12
PAUSE_S = 1.6
VERSIONS = 4


def content(mark):
    """Return a template whose parts all carry one mark, with a loop that makes rendering slow."""
    body = f"{mark} {{% for n in (1..20) %}}{{{{ n }}}} {{% endfor %}}{{{{ data.name }}}} {mark}"
    return {
        "channels": {
            "email": {"subject": f"{mark} {{{{ data.name }}}}", "text": body, "html": f"<p>{body}</p>"},
            "push": {"title": mark, "body": body, "data": {"version": mark}},
        },
        "locales": {"de": {"channels": {"push": {"title": mark, "body": f"{mark} de"}}}},
    }


class Load(threading.Thread):
    """Sends batches one after the other until stopped."""

    def __init__(self, home):
        super().__init__(daemon=True)
        self.home, self.sent, self.refused = home, 0, []
        self._stop_it = threading.Event()

    def run(self):
        while not self._stop_it.is_set():
            items = [{"to": f"u{n % 20}", "template": "note", "data": {"name": str(n)}} for n in range(BATCH)]
            results = self.home.post("/v1/notifications/batch", {"notifications": items})["results"]
            self.refused += [result for result in results if "id" not in result]
            self.sent += BATCH
            time.sleep(0.03)  # no more messages than a sandbox stores

    def end(self):
        self._stop_it.set()
        self.join()


@pytest.fixture
def home(tenant):
    tenant.put("/v1/templates/note", content("v1"))
    tenant.seed_data({}, ["email", "push"])
    for n in range(20):
        device = {"id": "phone", "channel": "push", "token": f"token-{n}"}
        tenant.user(f"u{n}", email=f"u{n}@example.com", locale="de" if n % 2 else "en", devices=[device])
    tenant.changed()
    return tenant


def test_every_worker_follows_within_a_second_and_no_message_is_of_two_versions(home):
    changes = [(time.time(), "v1")]
    load = Load(home)
    load.start()
    for number in range(2, VERSIONS + 1):
        time.sleep(PAUSE_S)
        home.put("/v1/templates/note?publish=false", content(f"v{number}"))
        time.sleep(PAUSE_S / 4)
        home.post("/v1/templates/note/publish", {})
        changes.append((time.time(), f"v{number}"))
    for back in range(VERSIONS - 1, VERSIONS - 3, -1):
        time.sleep(PAUSE_S)
        assert home.post("/v1/templates/note/rollback", {})["version"] == back
        changes.append((time.time(), f"v{back}"))
    time.sleep(PAUSE_S)
    load.end()
    assert not load.refused
    messages = until(lambda: whole(home, 2 * load.sent), "all messages", 60)
    marks = [mark_of(message) for message in messages]
    assert {mark for _, mark in changes} == set(marks)
    for message, mark in zip(messages, marks, strict=True):
        at = datetime.fromisoformat(message["captured_at"]).timestamp()
        assert mark in current_between(changes, at - SEEN_WITHIN_S, at + 0.3), message


def whole(home, count):
    counted = home.captured()
    return counted if len(counted) >= count else None


def mark_of(message):
    """Return the single version of all parts of a message."""
    parts = message["content"]["parts"] if "content" in message else message["parts"]
    leaves = [*parts.values()]
    found = {leaf["version"] if isinstance(leaf, dict) else leaf.removeprefix("<p>").split()[0] for leaf in leaves}
    assert len(found) == 1, parts
    return found.pop()


def current_between(changes, start, end):
    """Return the versions that were current at some time between two."""
    ends = [at for at, _ in changes[1:]] + [float("inf")]
    return {mark for (at, mark), until_ in zip(changes, ends, strict=True) if at <= end and until_ >= start}


def test_what_was_sent_is_of_the_version_named(home):
    home.put("/v1/templates/note", content("v2"))
    home.changed()
    report = [home.send_and_wait("u0", key, {"name": "Ada"}) for key in ("note", "note@1", "note@2")]
    assert {delivery["state"] for one in report for delivery in one["deliveries"]} <= AT_REST
    marks = sorted(mark_of(message) for message in home.captured(user_id="u0"))
    assert marks == ["v1", "v1", "v2", "v2", "v2", "v2"]


def test_the_newest_is_published_and_the_one_before_it_comes_back_without_a_word(home):
    home.put("/v1/templates/note?publish=false", content("v2"))
    assert home.post("/v1/templates/note/publish")["version"] == 2
    assert home.post("/v1/templates/note/rollback")["version"] == 1
