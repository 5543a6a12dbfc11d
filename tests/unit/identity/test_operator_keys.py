"""The operator's key changes while processes run; a file that cannot be used changes nothing."""

import os

import pytest

from clarion.app.config.loading import load
from clarion.domain.api_key import is_checked
from clarion.domain.errors import OperatorError
from clarion.domain.security_events import SecurityEvent
from clarion.identity.operator_keys import (
    OPERATOR_KEY_FILE,
    PREVIOUS_FILE,
    OperatorKeyFiles,
    OperatorKeys,
    operator_key,
    operator_keys,
    rotate,
)

NOW_MS = 1_700_000_000_000
HOUR_MS = 3600 * 1000


class Recorder:
    """Telemetry that records log lines and events of the security log."""

    def __init__(self):
        self.lines = []

    def log(self, level, event, **fields):
        self.lines.append(f"{level} {event} {fields}")

    def security(self, event, **fields):
        self.lines.append((event, fields))


@pytest.fixture
def settings(tmp_path):
    return load(None, {"CLARION_DATA_DIR": str(tmp_path)})


@pytest.fixture
def running(settings):
    """Return the keys of a running process, and what it records."""
    operator_key(settings)
    recorder = Recorder()
    return operator_keys(settings, recorder), recorder


def written(path, text, mode=0o600):
    path.write_text(text)
    path.chmod(mode)
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


def test_a_new_key_is_taken_while_both_are_valid(settings, running):
    keys, recorder = running
    old = operator_key(settings)
    rotate(settings, HOUR_MS, NOW_MS)
    new = operator_key(settings)
    assert new != old and is_checked(new) and is_checked(old)
    assert not keys.match(new, NOW_MS), "files are read when told, not by each request"
    keys.reload()
    assert recorder.lines == [(SecurityEvent.OPERATOR_KEY_CHANGED, {})]
    for process in (keys, OperatorKeyFiles(settings.data_dir, Recorder())):
        assert process.match(new, NOW_MS) and process.match(new, NOW_MS + HOUR_MS)
        assert process.match(old, NOW_MS + HOUR_MS - 1) and not process.match(old, NOW_MS + HOUR_MS)
        for wrong in ("", "x", old[:-1], new + " "):
            assert not process.match(wrong, NOW_MS)
    keys.reload()
    assert len(recorder.lines) == 1
    for name in (OPERATOR_KEY_FILE, PREVIOUS_FILE):
        assert (settings.data_dir / name).stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in settings.data_dir.iterdir()) == [OPERATOR_KEY_FILE, PREVIOUS_FILE]


def test_without_an_overlap_the_key_before_ends_at_once(settings, running):
    keys, _ = running
    old = operator_key(settings)
    rotate(settings, 0, NOW_MS)
    keys.reload()
    assert not keys.match(old, NOW_MS)


@pytest.mark.parametrize("name", [OPERATOR_KEY_FILE, PREVIOUS_FILE])
@pytest.mark.parametrize(
    ("text", "mode", "says"),
    [
        ("short\n", 0o600, "at least|second line"),
        ("", 0o600, "at least|second line"),
        ("a" * 40 + "\n2099-01-01T00:00:00Z\n", 0o644, "chmod 600"),
        ("a" * 5000, 0o600, "not the file"),
        ("schl\u00fcssel" * 5, 0o600, "not the file"),
    ],
)
def test_a_file_that_cannot_be_used_changes_nothing_and_is_reported_once(settings, running, name, text, mode, says):
    keys, recorder = running
    old = operator_key(settings)
    written(settings.data_dir / name, text, mode)
    for _ in range(3):
        keys.reload()
    (line,) = recorder.lines
    assert line.startswith("warning operators_key_not_reloaded") and name in line
    assert keys.match(old, NOW_MS) and not keys.match(text.strip(), NOW_MS)
    with pytest.raises(OperatorError, match=says):
        OperatorKeyFiles(settings.data_dir, recorder)


def test_a_removed_file_leaves_the_key_and_a_good_one_is_taken_again(settings, running):
    keys, recorder = running
    path, old = settings.data_dir / OPERATOR_KEY_FILE, operator_key(settings)
    path.unlink()
    keys.reload()
    assert keys.match(old, NOW_MS) and "No such file" in recorder.lines.pop()
    written(path, "by hand " * 5)
    keys.reload()
    assert keys.match(("by hand " * 5).strip(), NOW_MS) and not keys.match(old, NOW_MS)


@pytest.mark.parametrize("until", ["", "soon", "2099-01-01T00:00:00"])
def test_the_key_before_has_an_end(settings, running, until):
    written(settings.data_dir / PREVIOUS_FILE, f"{'a' * 40}\n{until}\n")
    with pytest.raises(OperatorError, match="second line"):
        operator_keys(settings, Recorder())


def test_a_configured_key_is_not_rotated_here(tmp_path):
    settings = load(None, {"CLARION_DATA_DIR": str(tmp_path), "CLARION_OPERATOR_KEY": "k" * 20})
    with pytest.raises(OperatorError, match="setting"):
        rotate(settings, 0, NOW_MS)
    keys = operator_keys(settings, Recorder())
    assert keys.match("k" * 20, NOW_MS) and type(keys) is OperatorKeys and "kkk" not in repr(keys)


def test_a_folder_without_a_key_gets_none_by_rotating(settings):
    with pytest.raises(OperatorError, match="data directory"):
        rotate(settings, 0, NOW_MS)
