import sys

import pytest
from structlog.testing import capture_logs

from clarion.app.processes import image
from clarion.app.processes.image import process_starter
from clarion.app.processes.supervisor import start_interpreter


def logged_reasons(*, shared: bool = True) -> list[str]:
    """Return the reasons that are logged when every process has to load its own code."""
    with capture_logs() as lines:
        assert process_starter(shared=shared) is start_interpreter
    assert [line["event"] for line in lines] == ["processes share no memory"]
    return [line["reason"] for line in lines]


def test_the_configuration_can_ask_for_no_copies():
    assert logged_reasons(shared=False) == ["workers.shared_image is false"]


def test_nothing_is_copied_on_macos(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    (reason,) = logged_reasons()
    assert "macOS" in reason


@pytest.mark.parametrize("error", [ImportError("no such module"), MemoryError()])
def test_an_image_that_cannot_be_loaded_is_not_used(monkeypatch: pytest.MonkeyPatch, error: Exception):
    def fail(_name: str) -> None:
        raise error

    monkeypatch.setattr(image.importlib, "import_module", fail)
    assert logged_reasons() == [repr(error)]
