from pathlib import Path

import msgspec
import pytest

from clarion_lab.chaos import phone
from clarion_lab.chaos.phone import Arrivals, Message, UserReactions, reaction
from clarion_lab.load import people

ASKED = "a" * 48


def line(
    delivery: str = ASKED, step: str = "ask", workflow: str = "answer", items: str = "", **fields: object
) -> bytes:
    data = {"step": step, "workflow": workflow, "number": "7", "thread": "t0", "items": items}
    push = {"token": people.user(3, profiles=False)["devices"][0]["token"], "data": data}
    receipt = {"key": f"dlv_{delivery}", "taken": True, "body": msgspec.json.encode({"message": push}).decode()}
    return msgspec.json.encode(receipt | fields) + b"\n"


def test_pushes_are_parsed(tmp_path: Path) -> None:
    path = tmp_path / "receipts"
    path.write_bytes(line(step="digest", workflow="digest_fixed", items="7 9 11 "))
    message = Message(ASKED, people.user_id(3), "digest", "digest_fixed", 7, "t0", (7, 9, 11))
    assert Arrivals(path).new() == [message]
    assert message.notification == "a" * 32


def test_refused_pushes_never_arrived(tmp_path: Path) -> None:
    path = tmp_path / "receipts"
    path.write_bytes(line(taken=False, body="not even a push"))
    assert Arrivals(path).new() == []


def test_a_file_that_grows_is_read_line_by_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "receipts"
    arrivals = Arrivals(path)
    assert arrivals.new() == []
    whole = line()
    path.write_bytes(whole + whole[:30])
    assert len(arrivals.new()) == 1
    assert arrivals.new() == []
    with path.open("ab") as file:
        file.write(whole[30:])
    assert len(arrivals.new()) == 1


def test_a_question_is_reacted_to_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phone, "REACTING", 1.0)
    monkeypatch.setattr(phone, "PAUSE_S_MAX", 0.0)
    path = tmp_path / "receipts"
    path.write_bytes(line() + line() + line("b" * 48, step="first"))
    owners = UserReactions(Arrivals(path), 1)
    plan = owners.due()
    assert plan is not None and plan.key == ASKED
    assert owners.due() is None


def test_some_questions_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phone, "REACTING", 0.0)
    path = tmp_path / "receipts"
    path.write_bytes(line())
    assert UserReactions(Arrivals(path), 1).due() is None


@pytest.mark.parametrize(
    ("workflow", "path", "body"),
    [
        ("answer", "/v1/events", {"type": "chaos.answered", "user_id": "u", "data": {"number": 7}}),
        ("look", f"/v1/notifications/ntf_{'a' * 32}/seen", {"user_id": "u"}),
    ],
)
def test_users_answer_or_only_see(workflow: str, path: str, body: dict[str, object]) -> None:
    plan = reaction(Message(ASKED, "u", "ask", workflow, 7, "t0", ()))
    assert (plan.path, msgspec.json.decode(plan.body), plan.deliveries) == (path, body, [])
