"""Large blocks go back to the system as soon as they are freed."""

import subprocess
import sys

import pytest

CODE = """
import psutil
from clarion.app.processes import malloc
if not malloc.return_large_blocks():
    raise SystemExit(77)
own, mib = psutil.Process(), 1024 * 1024
bytes(20 * mib)  # the allocator would take this as the size of what is large
before = own.memory_info().rss
blocks = [(bytes(bytearray(4 * mib)), bytes(2_000)) for _ in range(20)]
kept = [small for _, small in blocks]
del blocks
print((own.memory_info().rss - before) // mib)
"""


def test_memory_of_large_blocks_is_returned():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip("the C library has no mallopt")
    assert int(done.stdout) <= 4, done.stderr
