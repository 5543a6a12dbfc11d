"""Every store of secrets returns what it holds, byte for byte, and says in one sentence why it cannot."""

import os
import socket

import pytest

from clarion.domain.limits import SECRET_BYTES_MAX
from clarion.outbound.secrets.environment import EnvironmentStore
from clarion.outbound.secrets.files import FileStore, SystemdStore
from clarion.ports.secret_stores import SecretUnavailable
from tests.contract.cloud_answers import Aws, Azure, Gcp

SECRETS = {"KEY": "s3cret ü", "LINES": "one\ntwo", "LARGE": "x" * (SECRET_BYTES_MAX + 1), "EMPTY": ""}


def in_environment(_folder):
    return EnvironmentStore(SECRETS), "", ""


def in_files(folder):
    for name, text in SECRETS.items():
        (folder / name).write_text(text)
    return FileStore(), f"{folder}/", str(folder)


def in_systemd(folder):
    in_files(folder)
    return SystemdStore(str(folder)), "", ""


def in_cloud(kind):
    def made(_folder):
        return kind(SECRETS).store(), kind.prefix, ""

    return pytest.param(made, id=kind.__name__)


@pytest.fixture(params=[in_environment, in_files, in_systemd, *map(in_cloud, (Aws, Gcp, Azure))])
def store(request, tmp_path):
    return request.param(tmp_path)


@pytest.mark.parametrize("name", ["KEY", "LINES", "EMPTY"])
def test_a_secret_is_read_as_it_is(store, name):
    stored, prefix, root = store
    assert stored.read(prefix + name, root) == SECRETS[name].encode()


def test_a_large_secret_is_seen_to_be_too_large(store):
    stored, prefix, root = store
    assert len(stored.read(f"{prefix}LARGE", root)) > SECRET_BYTES_MAX


def test_a_missing_secret_is_named_missing(store):
    stored, prefix, root = store
    with pytest.raises(SecretUnavailable) as found:
        stored.read(f"{prefix}NONE", root)
    assert (found.value.code, found.value.lasting) == ("secret_missing", True)


def refused(store, place, root="", code="secret_not_permitted"):
    with pytest.raises(SecretUnavailable) as found:
        store.read(str(place), str(root))
    assert found.value.code == code
    return found.value.words


@pytest.mark.parametrize("name", ["CLARION_MASTER_KEY", "CLARION_SECRET_X"])
def test_settings_are_never_read_from_the_environment(name):
    refused(EnvironmentStore({name: "s3cret"}), name)


def test_a_line_end_after_a_file_is_no_part_of_it(tmp_path):
    (tmp_path / "key").write_bytes(b"s3cret\n\r\n")
    assert FileStore().read(f"{tmp_path}/key", "") == b"s3cret\n"


@pytest.fixture
def mounted(tmp_path):
    """Return a folder as Kubernetes mounts a secret: `key` is a link into a folder that `..data` points to."""
    (tmp_path / "acme" / "..1").mkdir(parents=True)
    (tmp_path / "acme" / "..1" / "key").write_text("first")
    (tmp_path / "acme" / "..data").symlink_to("..1")
    (tmp_path / "acme" / "key").symlink_to("..data/key")
    return tmp_path / "acme"


def test_a_secret_mounted_by_kubernetes_is_read_and_rotated(mounted):
    store = FileStore()
    assert store.read(f"{mounted}/key", str(mounted)) == b"first"
    (mounted / "..2").mkdir()
    (mounted / "..2" / "key").write_text("second")
    (mounted / "..next").symlink_to("..2")
    (mounted / "..next").rename(mounted / "..data")
    assert store.read(f"{mounted}/key", str(mounted)) == b"second"


def test_no_link_leads_out_of_the_permitted_folder(mounted, tmp_path):
    (tmp_path / "acme-other").write_text("s3cret")
    (mounted / "out").symlink_to("../acme-other")
    (mounted / "up").symlink_to("..")
    refused(FileStore(), mounted / "out", mounted)
    refused(FileStore(), mounted / "up" / "acme-other", mounted)


def test_a_folder_exchanged_for_a_link_after_the_check_is_not_followed(tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "key").write_text("s3cret")
    (tmp_path / "acme").symlink_to("other")
    monkeypatch.setattr(os.path, "realpath", lambda path: str(path))
    refused(FileStore(), tmp_path / "acme" / "key", tmp_path, "secret_missing")
    (tmp_path / "key").symlink_to("other/key")
    refused(FileStore(), tmp_path / "key", tmp_path, "secret_unavailable")


def test_no_file_of_the_kernel_or_of_the_installation_is_read(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "master.key").write_text("s3cret")
    (tmp_path / "link").symlink_to("data/master.key")
    store = FileStore([tmp_path / "data"])
    for place in ("/proc/self/environ", "/sys/kernel/notes", "/dev/zero", "data/master.key", "key"):
        refused(store, place)
    refused(store, tmp_path / "data" / "master.key")
    refused(store, tmp_path / "link")
    assert "folder" in refused(store, "/proc/self/environ")


def test_only_regular_files_are_read_and_nothing_waits_for_the_others(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", tmp_path):
        refused(FileStore(), place, code="secret_unavailable")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        refused(FileStore(), tmp_path / "s", code="secret_unavailable")


def test_systemd_has_names_and_no_paths(tmp_path):
    (tmp_path / "credentials").mkdir()
    (tmp_path / "key").write_text("s3cret")
    refused(SystemdStore(str(tmp_path / "credentials")), "a/key")
    refused(SystemdStore(None), "key", code="secret_missing")
