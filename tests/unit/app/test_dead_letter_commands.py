"""The requests that the commands for dead letters and accounts make, and how they print the answer."""

import pytest
from typer.testing import CliRunner

from clarion.app.cli import dead_letters, providers
from clarion.domain.errors import OperatorError


class Remote:
    """Answers each call with the next prepared answer."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def _report(self, *asked):
        self.asked.append(asked)
        return self.answers.pop(0)

    def get(self, path, **query):
        return self._report("GET", path, query)

    def pages(self, path, **query):
        return iter(self._report("GET", path, query))

    def put(self, path, body):
        return self._report("PUT", path, body)

    def post(self, path, body):
        return self._report("POST", path, dict(body))


def run(monkeypatch, module, remote, *words):
    monkeypatch.setattr(module, "remote", lambda url, key: remote)
    done = CliRunner().invoke(module.app, words, env={"COLUMNS": "300"})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def answer(counts, following=None):
    return {"results": [], "counts": counts, "next": following, "left": 0, "preview": None}


def test_a_replay_continues_until_nothing_is_left(monkeypatch, tmp_path):
    edit = tmp_path / "edit.json"
    edit.write_text('{"template": "other", "data": {"a": 1, "b": 1}}')
    remote = Remote(answer({"replayed": 2, "expired": 1}, "more"), answer({"replayed": 1}))
    words = ("replay", "--channel", "sms", "--rate", "5", "--edit", str(edit), "--data", "b=2", "--data", "c=x")
    assert run(monkeypatch, dead_letters, remote, *words) == "3 replayed, 1 expired\n"
    first = {
        "filter": {"channel": "sms"},
        "rate_per_s": 5.0,
        "edit": {"template": "other", "data": {"a": 1, "b": 2, "c": "x"}},
        "dry_run": False,
    }
    path = "/v1/dead-letters/replay"
    assert remote.asked == [("POST", path, first), ("POST", path, first | {"after": "more"})]


def test_a_dry_run_counts(monkeypatch):
    preview = {"letters": 5, "replayable": 3, "by_channel": {"sms": 3}, "by_reason": {"refused": 3},
               "by_provider": {"": 3}, "skipped": {"expired": 2}}  # fmt: skip
    remote = Remote(answer({}, "more") | {"preview": preview, "left": 7})
    result = run(monkeypatch, dead_letters, remote, "replay", "--every", "--dry-run").splitlines()
    assert result[0] == "3 of 5 would be sent again"
    assert {"  by provider: none 3", "  skipped: expired 2", "  and up to 7 more that were not checked"} <= set(result)
    assert remote.asked[0][2] == {"filter": {}, "dry_run": True}


@pytest.mark.parametrize("words", [(), ("dlv_1", "--every"), ("dlv_1", "--channel", "sms")])
def test_a_replay_needs_a_selection(monkeypatch, words):
    with pytest.raises(OperatorError, match="Give ids"):
        run(monkeypatch, dead_letters, Remote(), "replay", *words)


@pytest.mark.parametrize("text", [None, "[1]", "{"])
def test_an_edit_is_a_file_of_json(monkeypatch, tmp_path, text):
    file = tmp_path / "edit.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(OperatorError, match=r"edit\.json"):
        run(monkeypatch, dead_letters, Remote(), "replay", "dlv_1", "--edit", str(file))


def test_a_vendors_message_is_not_read_as_markup(monkeypatch):
    row = {"id": "dlv_1", "channel": "sms", "reason": None, "provider": "a", "attempts": 3, "dead_at": "2026-01-01T00:00:00Z",
           "detail": "[bold]no[/bold] [/]"}  # fmt: skip
    remote = Remote([row, row])
    assert run(monkeypatch, dead_letters, remote, "list", "--limit", "1").count("[bold]no[/bold] [/]") == 1
    assert remote.asked == [("GET", "/v1/dead-letters", {"replayed": "false"})]


def test_options_of_an_account_are_sent_to_the_api(monkeypatch):
    remote = Remote({})
    words = ("push", "mail", "--channel", "email", "--vendor", "smtp", "--weight", "0", "--limit", "per_second=14",
             "--breaker", "failure_rate=0.3", "--on-ambiguous", "stop", "--verify")  # fmt: skip
    assert "verified by the vendor" in run(monkeypatch, providers, remote, *words)
    ((verb, path, body),) = remote.asked
    assert (verb, path) == ("PUT", "/v1/providers/mail?verify=true")
    assert (body["weight"], body["limits"], body["breaker"]) == (0, {"per_second": 14}, {"failure_rate": 0.3})
    assert body["on_ambiguous"] == "stop"


def test_an_accounts_health_is_shown(monkeypatch):
    change = {"at": "2026-01-01T00:00:00Z", "before": "closed", "state": "open", "detail": "HTTP 503 [x]"}
    health = {"state": "open", "since": "2026-01-01T00:00:00Z", "until": "2026-01-01T00:00:05Z", "detail": "HTTP 503",
                "window_ms": 30_000, "calls": 20, "failures": 15, "paused_until": None, "changes": [change]}  # fmt: skip
    result = run(monkeypatch, providers, Remote(health), "health", "mail")
    assert "mail: open since 2026-01-01T00:00:00Z: HTTP 503" in result
    assert "15 of 20 calls failed in the last 30 s" in result
    assert "HTTP 503 [x]" in result
