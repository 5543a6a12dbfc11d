"""An identity provider of others, `oidc-provider` from npm, started by tests. Its packages are installed from a lock with digests."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from clarion_lab.machine.engines import node
from clarion_lab.machine.ports import free_port

SOURCE = Path(__file__).parent / "oidc"


class IdentityProvider:
    """A running provider."""

    def __init__(self, port: int) -> None:
        self.issuer = f"http://127.0.0.1:{port}"

    def sign_in_as(self, account: str) -> None:
        """Let the next sign-ins be of an account, without asking for a password."""
        self._tell("account", account)

    def rotate_keys(self) -> None:
        """Replace the keys that sign ID tokens; the provider forgets its sessions, too."""
        self._tell("keys", "")

    def _tell(self, what: str, text: str) -> None:
        with urlopen(Request(f"{self.issuer}/test/{what}", text.encode(), method="POST"), timeout=30):  # noqa: S310 - ours
            pass


@contextmanager
def identity_provider(
    folder: Path, port: int, redirects: list[str], accounts: dict[str, dict[str, object]]
) -> Iterator[IdentityProvider]:
    """Start a provider with one client, `clarion`, and end it."""
    where = _installed(folder)
    client = {"client_id": "clarion", "client_secret": "a secret of a test", "redirect_uris": redirects}
    settings = json.dumps({"port": port, "clients": [client], "accounts": accounts})
    command = [str(_node() / "node"), "provider.mjs", settings]
    with (folder / "provider.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=where, stdout=subprocess.PIPE, stderr=log)
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n", (folder / "provider.log").read_text()
            yield IdentityProvider(port)
        finally:
            process.kill()
            process.communicate()


def _node() -> Path:
    found = node()
    if found is None:
        _missing("there is no Node.js: run 'make provided'")
    assert found is not None
    return found


def _installed(folder: Path) -> Path:
    where = folder / "oidc"
    shutil.copytree(SOURCE, where)
    path = f"{_node()}:{os.environ.get('PATH', '')}"
    command = [str(_node() / "npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(
        command, cwd=where, env=os.environ | {"PATH": path}, capture_output=True, text=True, timeout=300
    )
    if done.returncode:
        _missing(f"the packages of the identity provider cannot be installed: {done.stderr[-300:]}")
    return where


def _missing(why: str) -> None:
    if os.environ.get("CLARION_ENGINES_REQUIRED") == "1":
        pytest.fail(why)
    pytest.skip(why)


def port_of_provider() -> int:
    """Return a port for a provider."""
    return free_port()
