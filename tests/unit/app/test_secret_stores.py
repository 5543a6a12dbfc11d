"""The stores that accounts name secrets of, as settings and installed packages define them."""

import importlib.metadata
from types import SimpleNamespace

import pytest

from clarion.app import secret_stores
from clarion.app.config import load
from clarion.domain.errors import OperatorError


class Shelf:
    def read(self, place, root):
        return b"from a plug-in"


def entry(name, make):
    return SimpleNamespace(name=name, value=f"package:{name}", load=lambda: make)


@pytest.fixture
def installed(monkeypatch):
    points = []
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: points)
    return points


def reader(tmp_path, *allow):
    config = load(None, {"CLARION_DATA_DIR": str(tmp_path), "CLARION_SECRETS_ALLOW": ",".join(allow)})
    wall, events = SimpleNamespace(monotonic_ms=lambda: 0), SimpleNamespace(security=lambda *args, **fields: None)
    return secret_stores.secret_reader(config, {"KEY": "value"}, wall, events)


async def test_a_plug_in_is_a_store_of_its_name(tmp_path, installed):
    installed.append(entry("keepass", Shelf))
    secrets = reader(tmp_path, "acme keepass:*", "acme env:KEY")
    given = {"key": {"from": "keepass:x"}, "other": {"from": "env:KEY"}}
    assert await secrets.check("acme", given, "credentials") == {"key": "from a plug-in", "other": "value"}
    await secrets.close()


@pytest.mark.parametrize(
    ("name", "make", "allow", "words"),
    [
        ("file", Shelf, "acme env:X", "has a name that is taken"),
        ("keepass", lambda: 1 / 0, "acme env:X", r"cannot be set up \(ZeroDivisionError\)"),
        ("keepass", Shelf, "acme other:X", "there is no store 'other'"),
        ("keepass", Shelf, "env:X", "is not of one tenant"),
    ],
)
def test_what_cannot_be_set_up_stops_the_start_with_one_sentence(tmp_path, installed, name, make, allow, words):
    installed.append(entry(name, make))
    with pytest.raises(OperatorError, match=words):
        reader(tmp_path, allow)


async def test_the_folder_of_the_installation_is_never_read(tmp_path, installed):
    (tmp_path / "master.key").write_text("s3cret")
    secrets = reader(tmp_path, f"acme file:{tmp_path}/*")
    with pytest.raises(Exception, match="from which no secret is read"):
        await secrets.check("acme", {"key": {"from": f"file:{tmp_path}/master.key"}}, "credentials")
    await secrets.close()
