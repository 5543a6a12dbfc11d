"""Functions named in the configuration."""

import pytest

from clarion.app.wiring.plugins import shortener
from clarion.domain.errors import OperatorError


class Notes:
    """Telemetry that stores its log lines."""

    def __init__(self):
        self.said = []

    def log(self, level, event, **fields):
        self.said.append((level, event, fields["tenant"]))


def short(tenant, link):
    return f"https://s.example/{tenant}"


def broken(tenant, link):
    raise RuntimeError(link)


def test_no_name_no_function():
    assert shortener("", Notes()) is None


def test_a_function_is_found_by_its_name():
    links = shortener(f"{__name__}:short", Notes())
    assert links is not None
    assert links("acme", "https://long.example") == "https://s.example/acme"


def test_a_failing_function_leaves_the_link_and_is_logged():
    notes = Notes()
    links = shortener(f"{__name__}:broken", notes)
    assert links is not None
    assert links("acme", "https://long.example") == "https://long.example"
    assert notes.said == [("error", "shorten_links_failed", "acme")]


@pytest.mark.parametrize("name", ["nowhere:short", "json:nothing", "json", ":x", "json:__doc__"])
def test_an_unknown_name_is_reported_at_the_start(name):
    with pytest.raises(OperatorError, match=r"content\.shorten_links"):
        shortener(name, Notes())
