"""Parts of the commands that need no server: options, slices of files, the processes of an installation."""

from pathlib import Path

import pytest

from clarion.app.cli import main as cli
from clarion.app.cli import options, processes, providers, send, users
from clarion.app.cli.remote import Remote
from clarion.app.cli.template_files import disk
from clarion.app.config.loading import load
from clarion.domain.errors import OperatorError


@pytest.fixture(autouse=True)
def working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_every_command_is_in_the_module_of_the_table():
    group = cli.Commands(name="clarion")
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        assert command.name == name
        assert command.help
    assert group.get_command(None, "nope") is None


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "127.0.0.1"), ("::1", "[::1]")],  # noqa: S104
)
def test_a_local_call_goes_to_the_configured_address_with_the_operators_key(monkeypatch, host, url):
    monkeypatch.setenv("CLARION_API_HOST", host)
    Path("clarion-data").mkdir()
    Path("clarion-data/operator.key").write_text("clop_1\n")
    remote = options.remote(None, None)
    assert (remote.url, remote.key) == (f"http://{url}:8400", "clop_1")


def test_the_operators_key_is_never_sent_to_another_address():
    Path("clarion-data").mkdir()
    Path("clarion-data/operator.key").write_text("clop_1\n")
    with pytest.raises(OperatorError, match="No API key"):
        options.remote("https://elsewhere.example", None)
    assert "k1" not in repr(options.remote("https://elsewhere.example", "k1"))


def test_a_file_is_cut_at_line_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(users, "SLICE_BYTES", 10)
    file = tmp_path / "users.ndjson"
    file.write_bytes(b'{"id":1}\n{"id":2}\n{"id":3}')
    pieces = list(users.slices(file))
    assert b"".join(pieces) == file.read_bytes()
    assert all(piece.endswith(b"\n") for piece in pieces[:-1])
    assert len(pieces) == 2


def test_values_may_be_json_or_text():
    assert send.pair("--data", "n=3") == ("n", 3)
    assert send.pair("--data", 'items=["a"]') == ("items", ["a"])
    assert send.pair("--data", "day=to=morrow") == ("day", "to=morrow")
    with pytest.raises(OperatorError, match="--data x: write it as NAME=VALUE"):
        send.pair("--data", "x")


def test_credentials_come_from_a_file(tmp_path):
    file = tmp_path / "secret.json"
    file.write_text('{"password": "hush"}')
    assert providers.read_credentials(file) == {"password": "hush"}
    file.write_text("[1]")
    with pytest.raises(OperatorError, match=r"secret\.json is not a JSON object"):
        providers.read_credentials(file)
    with pytest.raises(OperatorError, match="Cannot read"):
        providers.read_credentials(tmp_path / "gone")


def test_an_installation_is_an_api_its_workers_and_a_scheduler():
    config = load(None, {"CLARION_WORKERS_COUNT": "2"})
    found = processes.roles(config, Path("mine.toml"))
    assert [role.name for role in found] == ["api", "worker-0", "worker-1", "scheduler"]
    assert found[2].command[-5:] == ["worker", "--index", "1", "--config", "mine.toml"]


def test_prepare_makes_keys_that_only_their_owner_reads(tmp_path):
    config = load(None, {"CLARION_DATA_DIR": str(tmp_path / "data")})
    processes.prepare(config)
    first = {path.name: path.read_bytes() for path in (tmp_path / "data").glob("*.key")}
    processes.prepare(config)
    assert set(first) == {"operator.key", "master.key"}
    for name, content in first.items():
        path = tmp_path / "data" / name
        assert path.read_bytes() == content
        assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("url", "key", "why"),
    [
        ("nonsense", "k", "nonsense/v1/brand is not a URL that can be called"),
        ("ftp://127.0.0.1", "k", "is not a URL that can be called"),
        ("http://127.0.0.1:1", "a\nb", "holds characters that no key has"),
        ("http://127.0.0.1:1", "schlüssel", "holds characters that no key has"),
    ],
)
def test_a_wrong_address_or_key_is_one_sentence(url, key, why):
    with pytest.raises(OperatorError, match=why):
        Remote(url, key).get("/v1/brand")


def test_an_unusable_folder_is_reported_in_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OperatorError, match=r"Cannot make the folder .*file"):
            disk.made(place)
    folder = disk.made(tmp_path / "new" / "folder")
    (folder / "README.md").write_text("ours\n")
    with pytest.raises(OperatorError, match=r"There are no templates, layouts, partials or brand in .*folder"):
        disk.reading_of(folder)
    (folder / "categories.toml").write_text("[news]\n")
    assert disk.reading_of(folder).problems == []
