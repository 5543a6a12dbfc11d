"""A disk that is full for a while: requests are refused meanwhile, everything continues by itself afterwards, and
nothing that was acknowledged is lost."""

import contextlib
import http.client
import subprocess
import time

import pytest

from clarion_lab.load.programs import System
from tests.e2e.conftest import QUICK, operator_of, watched
from tests.e2e.outside import AT_REST, Answer, new_tenant, until

pytestmark = [pytest.mark.processes, pytest.mark.files]
DISK_MB = 160
FULL_S = 5
NOTE = {"to": "ada", "template": "note"}


@pytest.fixture
def small_disk(tmp_path):
    """Return the folder of a file system of its own, where the system lets this user mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "none", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this user may not mount file systems")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(file):
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as ballast:
        while True:
            ballast.write(bytes(16_384))


def send(tenant) -> Answer | None:
    """Return the response to a notification, None when there was none."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        return tenant.call("POST", "/v1/notifications", NOTE)
    return None


def test_a_disk_that_is_full_for_a_while_stops_nothing_for_good(small_disk):
    with watched(System(small_disk, {**QUICK, "CLARION_WORKERS_COUNT": "1"})) as system:
        tenant = new_tenant(operator_of(system))
        tenant.put("/v1/templates/note", {"channels": {"sms": {"body": "x" * 200}}})
        tenant.put("/v1/users/ada", {"phone": "+14155550100"})
        tenant.sandbox("sms", latency_ms=20)
        accepted, refused = [], 0
        end_s, filled = time.monotonic() + 2 + FULL_S, False
        while time.monotonic() < end_s:
            if not filled and time.monotonic() > end_s - FULL_S:
                fill(small_disk / "ballast")
                filled = True
            answer = send(tenant)
            if answer is not None and answer.status == 202:
                accepted.append(answer.json["id"])
            else:
                refused += 1
            time.sleep(0.02)
        assert refused >= 20, "the disk was full"
        (small_disk / "ballast").unlink()
        until(lambda: (answer := send(tenant)) is not None and answer.status == 202, "requests are accepted again")
        assert len(accepted) >= 20
        for id_ in accepted:
            assert [delivery["state"] for delivery in at_rest(tenant, id_)] == ["sent"]


def at_rest(tenant, id_):
    """Return the deliveries of a notification once all have ended."""

    def ended():
        deliveries = tenant.get(f"/v1/notifications/{id_}")["deliveries"]
        return deliveries if deliveries and all(one["state"] in AT_REST for one in deliveries) else None

    return until(ended, f"{id_} has ended")
