"""The stores that accounts name secrets of, as settings and installed packages define them."""

import importlib.metadata
import subprocess
import sys
from types import SimpleNamespace

import pytest

from clarion.app.config.loading import load
from clarion.app.wiring import secret_stores
from clarion.domain.errors import OperatorError
from clarion.ports.secret_stores import SecretUnavailable


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


CLOUDS = {"aws": "botocore.session", "azure": "azure.identity", "gcp": "google.auth"}


@pytest.mark.parametrize(("name", "library"), CLOUDS.items())
async def test_a_cloud_is_set_up_when_it_is_permitted(tmp_path, installed, monkeypatch, name, library):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    await reader(tmp_path, f"{name}:shop/{{tenant}}/*").close()
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, f"clarion.outbound.secrets.{name}")
    with pytest.raises(OperatorError, match=rf"^Setting secrets.allow: .* run: pip install 'clarion\[{name}\]'\.$"):
        reader(tmp_path, f"{name}:shop/{{tenant}}/*")
    secrets = reader(tmp_path)
    with pytest.raises(
        SecretUnavailable, match=rf"secret_store_unknown: .*it needs 'clarion\[{name}\]' to be installed"
    ):
        await secrets.check("acme", {"key": {"from": f"{name}:x"}}, "credentials")
    await secrets.close()


def test_aws_has_a_region_or_one_sentence_at_the_start(tmp_path, installed, monkeypatch):
    for name in ("AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(OperatorError, match=r"^Setting secrets.aws.region: is needed"):
        reader(tmp_path, "acme aws:*")
    monkeypatch.setenv("AWS_PROFILE", "none")
    with pytest.raises(OperatorError, match=r"'aws' cannot be set up \(ProfileNotFound\)"):
        reader(tmp_path, "acme aws:*")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_ENDPOINT", "vpce-1.example.com"),
        ("AWS_REGION", "eu/central"),
        ("GCP_ENDPOINT", "http://secretmanager.googleapis.com"),
        ("GCP_ENDPOINT", "https://secretmanager.googleapis.com/v1"),
        ("AZURE_DOMAIN", "https://vault.azure.net"),
        ("AZURE_DOMAIN", "vault.azure.net/x"),
        ("AZURE_DOMAIN", ""),
    ],
)
def test_an_endpoint_that_is_none_stops_the_start(name, value):
    with pytest.raises(OperatorError, match=f"secrets.{name.replace('_', '.').lower()}"):
        load(None, {f"CLARION_SECRETS_{name}": value})


@pytest.mark.slow
def test_no_library_of_a_cloud_is_imported_before_it_is_needed():
    heavy = ("azure", "boto", "google", "hvac", "msal", "requests")
    code = f"import clarion.app.wiring.parts, sys; print([name for name in sys.modules if name.startswith({heavy})])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


async def test_the_folder_of_the_installation_is_never_read(tmp_path, installed):
    (tmp_path / "master.key").write_text("s3cret")
    secrets = reader(tmp_path, f"acme file:{tmp_path}/*")
    with pytest.raises(Exception, match="from which no secret is read"):
        await secrets.check("acme", {"key": {"from": f"file:{tmp_path}/master.key"}}, "credentials")
    await secrets.close()
