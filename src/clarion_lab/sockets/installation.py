"""An installation with gateways for many clients of this machine."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from clarion.app.cli.remote import Remote, RequestRefused, Unreachable
from clarion.identity.user_tokens import UserTokens
from clarion.outbound.secrets.master_key import FileVault
from clarion_lab.load import seed_data
from clarion_lab.load.programs import HOST, READY_TIMEOUT_S, System, clarion, wait_for
from clarion_lab.machine.ports import free_port

_TTL_S: Final = 3_600
_STOP_S: Final = 10.0
MANY: Final = {"CLARION_API_TRUSTED_PROXIES": "127.0.0.0/8", "CLARION_API_LIMITS_CONNECTIONS_PER_S": "0"}
"""Settings with which many clients may share an address, as those behind a proxy do."""


class OneMoreGateway:
    """A gateway beside that of `clarion up`, which can be killed."""

    def __init__(self, system: System) -> None:
        self.port = free_port()
        self._environment = dict(system.environment) | {"CLARION_GATEWAY_PORT": str(self.port)}
        self._log = (system.folder / "gateway.log").open("ab")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return when it listens."""
        command = [sys.executable, *clarion("gateway")[1:]]
        self._process = subprocess.Popen(command, env=self._environment, stdout=self._log, stderr=self._log)  # noqa: S603
        wait_for("the gateway listens", lambda: answers(self.port), READY_TIMEOUT_S)

    def kill(self) -> None:
        """SIGKILL it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """End it."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_S)
        self.kill()
        self._log.close()


def answers(port: int) -> bool:
    """Return whether a gateway answers."""
    try:
        Remote(f"http://{HOST}:{port}", "", 2.0).get("/healthz")
    except (RequestRefused, Unreachable):
        return False
    return True


@contextlib.contextmanager
def one_more(system: System) -> Iterator[OneMoreGateway]:
    """Run one more gateway."""
    gateway = OneMoreGateway(system)
    gateway.start()
    try:
        yield gateway
    finally:
        gateway.stop()


def tokens(data: Path, users: list[str]) -> list[str]:
    """Return tokens of users of the run's tenant: signed here with the installation's key, as 10,000 calls would only take
    time."""
    signer, now_s = UserTokens(FileVault.load(data)), int(time.time())
    return [signer.issue(seed_data.TENANT, user, now_s, _TTL_S) for user in users]
