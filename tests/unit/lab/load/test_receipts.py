from pathlib import Path

from clarion_lab.load.receipts import Receipt, read

LINE = b'{"key":"dlv_%s","channel":"push","arrival":1,"hash":"x","at_ms":7,"answer":"accepted","taken":true}\n'


def test_receipts_are_read_and_a_torn_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "receipts"
    path.write_bytes(LINE % (b"a" * 48) + LINE[:20])
    assert read(path) == [Receipt("a" * 48, "push", 7, True)]


def test_no_file_means_no_receipts(tmp_path: Path) -> None:
    assert read(tmp_path / "none") == []
