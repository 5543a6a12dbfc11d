"""A confined process whose jobs act as a template that has escaped its engine might: the key names the act."""

import importlib
import os
import signal
import socket
import sys
from pathlib import Path

from clarion.domain.content import Template
from clarion.domain.errors import InvalidField
from clarion.languages.confined import landlock
from clarion.languages.confined.attend import attend
from clarion.ports.drafting import Rendered

FLAG = Path(sys.argv[1])


def spin():
    while True:
        pass


def hoard():
    kept = []
    while True:
        kept.append(bytes(1024 * 1024))


def kill_the_attendant():
    os.kill(os.getppid(), signal.SIGKILL)
    spin()


def leave_the_timers():
    for timer in (signal.ITIMER_PROF, signal.ITIMER_REAL):
        signal.setitimer(timer, 0)
    spin()


def tried(act):
    try:
        act()
    except (OSError, RuntimeError) as error:
        return type(error).__name__
    return "done"


def descriptors():
    def open_one(fd):
        try:
            os.fstat(fd)
        except OSError:
            return False
        return True

    return [fd for fd in range(256) if open_one(fd)]


def open_many():
    return [os.open(os.__file__, os.O_RDONLY) for _ in range(100)]


def recurse():
    return recurse()


ACTS = {
    "spin": spin,
    "hoard": hoard,
    "abort": os.abort,
    "fault": lambda: os.kill(os.getpid(), signal.SIGILL),
    "exit": lambda: os._exit(0),
    "lie": lambda: (os.write(3, b"Dnonsense"), os._exit(1)),
    "raise": lambda: {}["no such key"],
    "recurse": recurse,
    "kill_the_attendant": kill_the_attendant,
    "leave_the_timers": leave_the_timers,
    "refuse": lambda: (_ for _ in ()).throw(InvalidField("is bad", field="channels.sms.body", code="template_syntax")),
    "write": lambda: tried(lambda: FLAG.with_suffix(".new").write_text("x")),
    "files": lambda: tried(open_many),
    "read": lambda: tried(FLAG.read_text),
    "list": lambda: tried(lambda: list(FLAG.parent.iterdir())),
    "processes": lambda: tried(lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes()),
    "execute": lambda: tried(lambda: os.execv("/bin/true", ["/bin/true"])),  # noqa: S606 - the attack itself
    "signal": lambda: tried(lambda: os.kill(os.getppid(), 0)),
    "import": lambda: [importlib.import_module(name).__name__ for name in ("colorsys", "mailbox", "wave")],
    "descriptors": descriptors,
    "environment": lambda: dict(os.environ),
    "networks": lambda: [name for _, name in socket.if_nameindex()],
    "pid": lambda: [os.getpid(), os.getppid()],
    "leave_behind": lambda: os.environ.update(left="behind"),
    "large": lambda: "x" * (32 * 1024 * 1024),
}


def work(job):
    key = job.key if hasattr(job, "key") else job.template.key
    if key == "swallowed":
        return Rendered("en", {}, dict.fromkeys(job.channels, "MemoryError: out of it"))
    result = ACTS[key]()
    if hasattr(job, "channels"):
        return Rendered("en", {channel: {"told": result} for channel in job.channels})
    return Template(key, 0, None, {}, schema={"told": result})


if __name__ == "__main__":
    if "without-landlock" in sys.argv:
        landlock.ruleset = lambda readable: None
    attend(0, 1, work)
