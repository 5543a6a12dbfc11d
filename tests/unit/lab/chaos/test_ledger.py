from pathlib import Path

from clarion_lab.chaos.ledger import AnswerLine, Ledger, RequestLine, add_up, read


def write(path: Path, *lines: RequestLine | AnswerLine) -> None:
    ledger = Ledger(path)
    for line in lines:
        ledger.write(line)
    ledger.close()


def request_line(key: str, deliveries: list[int], attempt: int = 1) -> RequestLine:
    return RequestLine(key, "single", deliveries, attempt, 0)


def test_a_ledger_round_trips_in_order(tmp_path: Path) -> None:
    lines = [
        request_line("a", [1]),
        AnswerLine("a", "unknown", [], 5, "reset"),
        request_line("a", [1], 2),
        AnswerLine("a", "ok", ["x"], 9),
    ]
    write(tmp_path / "ledger", *lines)
    assert list(read(tmp_path / "ledger")) == lines


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    write(path, request_line("a", [1]), request_line("b", [1]))
    path.write_bytes(path.read_bytes()[:-4])
    assert list(read(path)) == [request_line("a", [1])]


def test_only_settled_keys_owe_deliveries(tmp_path: Path) -> None:
    write(
        tmp_path / "ledger",
        request_line("ok", [2, 1, 1]),
        AnswerLine("ok", "ok", ["x", None, "z"], 0),
        request_line("no", [1]),
        AnswerLine("no", "refused", [], 0),
        request_line("lost", [1]),
        AnswerLine("lost", "unknown", [], 0),
        request_line("silent", [1]),
    )
    account = add_up(read(tmp_path / "ledger"))
    assert account.owed == {"x": 2, "z": 1}
    assert account.ids == {"ok": ["x", None, "z"]}
    assert account.refused == 1
    assert account.unsettled == ["lost", "silent"]
    assert account.contradictions == []


def test_one_key_with_two_answers_is_a_contradiction(tmp_path: Path) -> None:
    write(
        tmp_path / "ledger",
        request_line("a", [1]),
        AnswerLine("a", "ok", ["x"], 0),
        request_line("a", [1], 2),
        AnswerLine("a", "ok", ["y"], 0),
    )
    assert add_up(read(tmp_path / "ledger")).contradictions == ["a"]
