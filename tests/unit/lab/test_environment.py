"""An environment with Clarion alone: if none can be built, one sentence gives the reason; its size is that of its files."""

import pytest

from clarion.domain.errors import OperatorError
from clarion_lab import environment


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine").touch()
    with pytest.raises(OperatorError, match="is not empty"):
        environment.build(tmp_path)


def test_it_is_built_from_a_checkout(tmp_path):
    with pytest.raises(OperatorError, match=r"has no requirements\.lock"):
        environment.build(tmp_path / "new", tmp_path)


def test_a_failed_step_is_reported_by_its_last_line(tmp_path, monkeypatch):
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho at first >&2\necho no room on the disk >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr(environment, "_PYTHON", str(program))
    with pytest.raises(OperatorError, match=r"^-m venv: no room on the disk$"):
        environment.build(tmp_path / "new")


def test_a_missing_tool_for_stripping_symbols_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(environment.sys, "platform", "linux")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OperatorError, match="binutils"):
        environment.strip(tmp_path)


def test_its_size_excludes_linked_files(tmp_path):
    folder, outside = tmp_path / "environment", tmp_path / "outside"
    (folder / "lib").mkdir(parents=True)
    (folder / "lib" / "code.py").write_bytes(b"x" * 1_500_000)
    (folder / "lib" / "code.pyc").write_bytes(b"x" * 500_000)
    outside.write_bytes(b"x" * 9_000_000)
    (folder / "python").symlink_to(outside)
    assert (environment.size(folder), environment.bytecode(folder)) == (2_000_000, 500_000)
    assert environment.size_report(folder).startswith("2.0 MB of at most 155, 0.5 of them bytecode; it would be ")


@pytest.mark.parametrize("words", [[], ["one", "postgres", "two"]])
def test_it_needs_one_folder(words):
    with pytest.raises(SystemExit, match="usage"):
        environment.main(words)


def test_a_command_that_fails_ends_with_its_sentence(tmp_path):
    (tmp_path / "mine").touch()
    with pytest.raises(SystemExit, match="is not empty"):
        environment.main([str(tmp_path)])


def test_an_unknown_extra_is_refused_by_its_name(tmp_path):
    with pytest.raises(OperatorError, match="There is no extra 'kafka'; there is postgres"):
        environment.build(tmp_path / "new", extra="kafka")
    assert not (tmp_path / "new").exists()
