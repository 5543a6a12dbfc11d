"""Only shell modules do I/O. Each kind of planted violation is found, and the tree has none."""

from pathlib import Path

import pytest

from tests.architecture import shell

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "clarion"
PORTS = shell.protocols({path.name: path.read_text(encoding="utf-8") for path in (PACKAGE / "ports").glob("*.py")})
EFFECTS = {name for name, effect in PORTS.items() if effect}
STORES = {
    "Control", "Directory", "History", "Inbox", "Ledger", "DeliveryStates", "SeenReceipts", "ReceiptLookup", "Quotas",
    "AccountHealthStore", "Streams", "StageStore",
}  # fmt: skip
PURE = {"Kind", "Renderer", "Expressions", "Schemas", "Vendor"}

PLANTED = {
    "waits": "async def f():\n    pass\n",
    "awaits within": "def f(x):\n    async def g():\n        await x\n    return g\n",
    "is given a store": "from clarion.ports.directory import Directory\n",
    "is given a store of its own": "from clarion.ports.control_users import Users\n",
    "is given a clock": "from clarion.ports.clock import Clock\n",
    "is given telemetry": "from clarion.ports.telemetry import Telemetry\n",
    "is given an egress": "from clarion.ports.egress import HttpEgress\n",
    "imports a clock": "import time\n",
    "imports from the loop": "from asyncio import sleep\n",
    "asks the clock through datetime": "from datetime import datetime\ndef f():\n    return datetime.now()\n",
    "asks it in full": "import datetime\ndef f():\n    return datetime.datetime.now(datetime.UTC)\n",
    "makes a random number": "import uuid\ndef f():\n    return uuid.uuid4()\n",
    "imports a file system": "from pathlib import Path\n",
    "imports a driver": "import apsw\n",
    "imports a log": "import structlog\n",
    "opens a file": "def f(name):\n    return open(name)\n",
    "prints": "def f():\n    print('x')\n",
    "imports a shell module": "from clarion.deliver.send.worker import Sender\n",
    "imports it where it is needed": "def f():\n    from clarion.plan.gather import g\n    return g\n",
}


def complaints(path: str, source: str) -> list[str]:
    return list(shell.complaints(f"src/clarion/{path}", source, EFFECTS))


def test_the_tree_has_none():
    found = [
        complaint
        for path in sorted(PACKAGE.rglob("*.py"))
        for complaint in complaints(path.relative_to(PACKAGE).as_posix(), path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    "path", ["plan/facts.py", "plan/rules/decide.py", "deliver/partition/triage.py", "record/columns.py"]
)
@pytest.mark.parametrize("source", PLANTED.values(), ids=PLANTED.keys())
def test_each_planted_violation_is_caught(path: str, source: str):
    assert complaints(path, source)


@pytest.mark.parametrize("source", PLANTED.values(), ids=PLANTED.keys())
@pytest.mark.parametrize(
    "path",
    ["plan/worker.py", "plan/gather.py", "plan/gather_sends.py", "accept/intake.py", "deliver/send/worker_email.py",
     "inbox/routes.py", "plan/workflow/gather.py", "stores/sqlite/journal.py", "control/users/routes.py"],
)  # fmt: skip
def test_shell_modules_and_other_folders_may(path: str, source: str):
    assert not complaints(path, source)


def test_a_shell_name_among_rules_is_no_shell():
    assert complaints("plan/rules/worker.py", PLANTED["waits"])


@pytest.mark.parametrize(
    "source",
    [
        "from clarion.ports.stage_store import Commit, Timer\n",
        "from clarion.ports.renderer import Renderer\n",
        "from clarion.journal.codec import encode\n",
        "import msgspec\n",
        "def f(facts, now_ms):\n    return facts.user('a', 'b')\n",
    ],
)
def test_values_and_pure_ports_are_fine(source: str):
    assert not complaints("plan/facts.py", source)


def test_every_store_counts_as_an_effect_and_pure_ports_do_not():
    assert STORES <= EFFECTS, f"no I/O by their protocols: {STORES - EFFECTS}"
    assert PORTS.keys() - EFFECTS >= PURE
