"""docs/howto/add-a-provider.md works: its two files make a vendor, and the battery passes."""

import re
import sys
import tomllib
from pathlib import Path

import pytest

import clarion.providers.sms
from clarion.domain.channel import Channel
from clarion.domain.errors import OperatorError
from clarion.providers.catalogue import load
from tests.providers import battery

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "add-a-provider.md"
FILES = dict(re.findall(r"^```(?:python|toml) (\S+)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a folder that Python treats as part of `clarion/providers/sms`."""
    monkeypatch.setattr(clarion.providers.sms, "__path__", [*clarion.providers.sms.__path__, str(tmp_path)])
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("clarion.providers.sms.")]:
        if str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


def write(folder, name):
    path = next(path for path in FILES if path.endswith(name))
    target = folder / name
    target.write_text(FILES[path])
    return target


def test_the_page_shows_one_vendor_and_one_table():
    assert list(FILES) == ["src/clarion/providers/sms/acme.py", "tests/providers/tables/sms_acme.toml"]


def test_its_two_files_are_all_it_takes(folder):
    assert (Channel.SMS, "acme") not in load()
    write(folder, "acme.py")
    vendor = load()[Channel.SMS, "acme"]
    table = tomllib.loads(write(folder, "sms_acme.toml").read_text())
    assert battery.tables(folder) == {"sms_acme": table}
    battery.run(vendor, table)


def test_the_battery_notices_a_vendor_that_is_wrong(folder):
    source = write(folder, "acme.py")
    source.write_text(source.read_text().replace("1004", "1005"))
    table = tomllib.loads(FILES["tests/providers/tables/sms_acme.toml"])
    with pytest.raises(AssertionError):
        battery.run(load()[Channel.SMS, "acme"], table)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("def read(", "def reads(", "no read"),
        ('vendor="acme"', 'vendor="sandbox"', "two modules"),
        ('transport="http"', 'transport="pigeon"', "transport"),
        ('on_ambiguous="retry"', 'on_ambiguous="pray"', "on_ambiguous"),
        ('required_parts=("body",)', 'required_parts=("soul",)', "required_parts"),
        ("def read(", "def read_token():\n    pass\n\n\ndef read(", "needs both"),
        ("TRAITS: Final = Traits(", "TRAITS = dict(", "not a Traits"),
    ],
)
def test_a_vendor_that_is_not_whole_is_named(folder, old, new, complaint):
    source = write(folder, "acme.py")
    source.write_text(source.read_text().replace(old, new))
    with pytest.raises(OperatorError, match=complaint):
        load()
