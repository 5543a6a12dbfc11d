from pathlib import Path

from clarion_lab.chaos.ledger import Answered, Asked, Ledger, add_up, read


def write(path: Path, *lines: Asked | Answered) -> None:
    ledger = Ledger(path)
    for line in lines:
        ledger.write(line)
    ledger.close()


def asked(key: str, deliveries: list[int], attempt: int = 1) -> Asked:
    return Asked(key, "single", deliveries, attempt, 0)


def test_what_is_written_is_read_back_in_order(tmp_path: Path) -> None:
    lines = [
        asked("a", [1]),
        Answered("a", "unknown", [], 5, "reset"),
        asked("a", [1], 2),
        Answered("a", "ok", ["x"], 9),
    ]
    write(tmp_path / "ledger", *lines)
    assert list(read(tmp_path / "ledger")) == lines


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    write(path, asked("a", [1]), asked("b", [1]))
    path.write_bytes(path.read_bytes()[:-4])
    assert list(read(path)) == [asked("a", [1])]


def test_only_settled_keys_owe_deliveries(tmp_path: Path) -> None:
    write(
        tmp_path / "ledger",
        asked("ok", [2, 1, 1]),
        Answered("ok", "ok", ["x", None, "z"], 0),
        asked("no", [1]),
        Answered("no", "refused", [], 0),
        asked("lost", [1]),
        Answered("lost", "unknown", [], 0),
        asked("silent", [1]),
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
        asked("a", [1]),
        Answered("a", "ok", ["x"], 0),
        asked("a", [1], 2),
        Answered("a", "ok", ["y"], 0),
    )
    assert add_up(read(tmp_path / "ledger")).contradictions == ["a"]
