from pathlib import Path

from clarion_lab.load.growth import LineCount


def test_only_whole_lines_count_and_growth_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "receipts"
    lines = LineCount(path)
    assert lines.read() == 0
    with path.open("ab", buffering=0) as file:
        file.write(b"one\ntwo\nthr")
        assert lines.read() == 2
        file.write(b"ee\n")
        assert lines.read() == 3
        assert lines.read() == 3
