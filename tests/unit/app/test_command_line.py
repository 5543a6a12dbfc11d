import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process write its command line")
SHOW = """
import sys
from clarion.app.processes.command_line import show
print(show([["a" * 10_000], ["clarion", "api"], ["other"]]))
print(show([["a" * 10_000]]))
print(open("/proc/self/cmdline").read().rstrip(chr(0)).split(chr(0)))
"""


def test_the_first_command_line_that_fits_is_shown():
    done = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True, check=True, timeout=20)
    assert done.stdout.splitlines() == ["True", "False", "['clarion', 'api']"]
