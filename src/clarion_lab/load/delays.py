"""Simulates distant stores and streams: each awaited call of a port waits before it is made. For measurements only.

`CLARION_BENCH_DELAYS` holds `Delays` as JSON. Without it nothing is wrapped and there is no cost. With it, every port
of `app.wiring.Shared` that a backend implements is replaced by a `Delayed`, which also counts, by stage: calls, calls
of methods that are not awaitable (they are delayed only with `block`, by blocking the thread), and sequential waits.

The stage of a call is that of the innermost frame on the stack whose module belongs to a stage. Waits are counted by
task: calls of one task are sequential; tasks that it starts and awaits (`gather`) run concurrently, so the longest of
them counts. A task that commits itself counts separately. Waits since its last commit are idle ones when it then waits
for news: it found no work.
"""

import asyncio
import inspect
import os
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final
from weakref import WeakKeyDictionary

import msgspec

from clarion.app.lab import DELAYS_VARIABLE

ENGINES: Final = ("clarion.stores.sqlite", "clarion.stores.memory", "clarion.stores.postgres")
STAGES: Final = frozenset({"accept", "plan", "deliver", "wait", "record", "inbox", "feedback"})
COMMITS: Final = frozenset({"append", "apply", "commit"})
KEEPING: Final = frozenset({"acquire", "renew", "release", "vacate", "fire", "trim", "enroll", "withdraw"})
"""Upkeep: delayed like all other calls, but not on the way of any frame."""
WATCH: Final = "watch"
LOCAL: Final = frozenset({WATCH, "close", "revision", "is_current", "was_asked", "when_behind", "feature_level"})
"""Methods that touch no store."""
OPENING: Final = frozenset({"revision"})
"""Methods that a task calls before any other. It may then start tasks without having called a store itself."""
OTHER: Final = "other"
WRITE_S: Final = 0.2


class Delays(msgspec.Struct, frozen=True):
    """The delay of a call, the folder for the counts, and whether methods that are not awaitable block for the same
    time."""

    rtt_ms: float
    folder: str
    block: bool = False


class Kind(msgspec.Struct):
    """The tasks of one stage that run the same coroutine: the number that ended, their sequential waits (without idle
    ones), idle waits and commits."""

    stage: str
    name: str
    ended: int = 0
    waits: int = 0
    commits: int = 0
    idle: int = 0


class Counts(msgspec.Struct):
    """The counts of one process so far. `calls` and `sync_calls` are by stage and `port.method`."""

    role: str
    kinds: list[Kind]
    calls: dict[str, dict[str, int]]
    sync_calls: dict[str, dict[str, int]]


class _Lane:
    """The waits of one task. `base` is its parent's number of waits at its first call, without a call that the parent
    itself was waiting for; `mark` is its own number at its last commit or when it last waited for news."""

    __slots__ = ("base", "calling", "commits", "idle", "mark", "name", "parent", "said", "stage", "waits")

    def __init__(self, name: str, parent: "_Lane | None") -> None:
        self.name = name
        self.parent = parent
        self.base: int = parent.waits - parent.calling if parent is not None else 0
        self.calling: int = 0
        self.said = False
        self.stage: str = parent.stage if parent is not None else OTHER
        self.waits: int = 0
        self.commits = 0
        self.idle = 0
        self.mark = 0

    def enter(self, stage: str) -> None:
        """Set the stage of the task to that of its first call with a stage; until then it is that of its parent."""
        if not self.said and stage != OTHER:
            self.said, self.stage = True, stage

    def call(self, stage: str, *, commits: bool) -> None:
        """Count a wait."""
        self.enter(stage)
        self.waits += 1
        if commits:
            self.commits += 1
            self.mark = self.waits

    def rest(self) -> None:
        """Count the waits since the last commit as idle."""
        self.idle += self.waits - self.mark
        self.mark = self.waits


_LANE: ContextVar[_Lane | None] = ContextVar("lane", default=None)


class Waits:
    """Counts the calls of one process and delays them."""

    def __init__(self, delays: Delays, role: str) -> None:
        self._delays = delays
        self._role = role
        self._lanes: WeakKeyDictionary[asyncio.Task[Any], _Lane] = WeakKeyDictionary()
        self._kinds: dict[tuple[str, str], Kind] = {}
        self._calls: Counter[tuple[str, str]] = Counter()
        self._sync: Counter[tuple[str, str]] = Counter()
        self._stages: dict[CodeType, str | None] = {}

    async def delay(self, stage: str, name: str, caller: "_Lane | None") -> None:
        """Wait for the delay of a call, and count it. `caller` is the lane of the task that made it."""
        method = name.rpartition(".")[2]
        if method in KEEPING:
            self._calls[stage, name] += 1
            await asyncio.sleep(self._delays.rtt_ms / 1000)
            return
        lane = self._lane(caller)
        lane.call(stage, commits=method in COMMITS)
        self._calls[lane.stage if stage == OTHER else stage, name] += 1
        lane.calling = 1
        try:
            await asyncio.sleep(self._delays.rtt_ms / 1000)
        finally:
            lane.calling = 0

    def open(self, stage: str) -> None:
        """Register the running task, so that the tasks it starts are counted as its children."""
        try:
            self._lane(None).enter(stage)
        except RuntimeError:  # no task runs
            return

    def rest(self) -> None:
        """Record that the running task begins to wait for news."""
        lane = self._lanes.get(asyncio.current_task())  # type: ignore[arg-type]
        if lane is not None:
            lane.rest()

    def block(self, stage: str, name: str) -> None:
        """Count a call of a method that is not awaitable, and delay it with the option `block`."""
        self._sync[stage, name] += 1
        if self._delays.block:
            time.sleep(self._delays.rtt_ms / 1000)

    def caller(self, stage: str) -> _Lane | None:
        """Return the lane of the running task, or None: it makes the call itself or by tasks that it gathers."""
        try:
            lane = self._lane(None)
        except RuntimeError:
            return None
        lane.enter(stage)
        return lane

    def stage(self, frame: FrameType | None) -> str:
        """Return the stage of the innermost frame that belongs to one."""
        while frame is not None:
            code = frame.f_code
            if code not in self._stages:
                first, _, rest = str(frame.f_globals.get("__name__", "")).partition(".")
                name = rest.partition(".")[0]
                self._stages[code] = name if first == "clarion" and name in STAGES else None
            if (stage := self._stages[code]) is not None:
                return stage
            frame = frame.f_back
        return OTHER

    def counts(self) -> Counts:
        """Return the counts, including those of tasks under way."""
        kinds = {key: msgspec.structs.replace(kind) for key, kind in self._kinds.items()}
        for lane in list(self._lanes.values()):
            self._add(kinds, lane, ended=False)
        return Counts(self._role, list(kinds.values()), _nested(self._calls), _nested(self._sync))

    def _lane(self, caller: _Lane | None) -> _Lane:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a port is awaited outside any task")
        lane = self._lanes.get(task)
        if lane is None:
            lane = self._lanes[task] = _Lane(getattr(task.get_coro(), "__qualname__", "?"), caller or _LANE.get())
            _LANE.set(lane)
            task.add_done_callback(self._end)
        return lane

    def _end(self, task: "asyncio.Task[Any]") -> None:
        lane = self._lanes.pop(task)
        if lane.parent is not None and not lane.commits:
            lane.parent.waits = max(lane.parent.waits, lane.base + lane.waits)
        else:
            self._add(self._kinds, lane, ended=True)

    def _add(self, kinds: dict[tuple[str, str], Kind], lane: _Lane, *, ended: bool) -> None:
        kind = kinds.setdefault((lane.stage, lane.name), Kind(lane.stage, lane.name))
        kind.ended += ended
        kind.waits += lane.waits - lane.idle
        kind.idle += lane.idle
        kind.commits += lane.commits

    def write_always(self) -> None:
        """Write the counts to the folder repeatedly, on a separate thread."""
        path = Path(self._delays.folder) / f"{self._role}-{os.getpid()}.json"
        fresh = path.with_suffix(".new")
        while True:
            with suppress(RuntimeError):  # a task was added during the loop; the next round has it
                fresh.write_bytes(msgspec.json.encode(self.counts()))
                fresh.replace(path)
            time.sleep(WRITE_S)


class Delayed:
    """A proxy of a port or of a repository of one; everything but its methods is passed through."""

    def __init__(self, port: Any, name: str, waits: Waits) -> None:
        self._port = port
        self._name = name
        self._waits = waits

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if name == WATCH:
            # A loop calls it before its first read, which tasks that it starts may make.
            opened = _opening(found, self._waits)
            return lambda *args, **kwargs: _Watch(opened(*args, **kwargs), self._waits)
        if name in OPENING:
            found = self.__dict__[name] = _opening(found, self._waits)
            return found
        if name.startswith("_") or name in LOCAL:
            return found
        if inspect.isroutine(found):
            found = self.__dict__[name] = _called(found, f"{self._name}.{name}", self._waits)
        elif _is_backend(found):
            found = self.__dict__[name] = Delayed(found, f"{self._name}.{name}", self._waits)
        return found


class _Watch:
    """A proxy of a watch that records when a task waits for news. Nothing of it is delayed."""

    def __init__(self, watch: Any, waits: Waits) -> None:
        self._watch = watch
        self._waits = waits

    def wait(self, timeout_ms: int) -> Awaitable[bool]:
        """Wait like the watch; the waits of the calling task since its last commit were idle."""
        self._waits.rest()
        waiting: Awaitable[bool] = self._watch.wait(timeout_ms)
        return waiting

    @property
    def grown(self) -> set[tuple[str, int]]:
        """The streams that grew."""
        found: set[tuple[str, int]] = self._watch.grown
        return found

    @property
    def is_woken(self) -> bool:
        """Return whether the next `wait` ends at once."""
        return bool(self._watch.is_woken)

    def wake(self) -> None:
        """Wake the watch."""
        self._watch.wake()


def _called(method: Callable[..., Any], name: str, waits: Waits) -> Callable[..., Any]:
    upkeep = name.rpartition(".")[2] in KEEPING
    if inspect.iscoroutinefunction(method):

        def awaited(*args: Any, **kwargs: Any) -> Any:
            # Looked up here, in the calling task: the returned coroutine may run in a task of its own.
            stage = waits.stage(inspect.currentframe())
            caller = None if upkeep else waits.caller(stage)

            async def call() -> Any:
                await waits.delay(stage, name, caller)
                return await method(*args, **kwargs)

            return call()

        return awaited

    def direct(*args: Any, **kwargs: Any) -> Any:
        waits.block(waits.stage(inspect.currentframe()), name)
        return method(*args, **kwargs)

    return direct


def _opening(method: Callable[..., Any], waits: Waits) -> Callable[..., Any]:
    def direct(*args: Any, **kwargs: Any) -> Any:
        waits.open(waits.stage(inspect.currentframe()))
        return method(*args, **kwargs)

    return direct


def _is_backend(value: object) -> bool:
    return type(value).__module__.startswith(ENGINES)


def _nested(counter: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for (stage, name), number in list(counter.items()):
        found.setdefault(stage, {})[name] = number
    return found


def delay_ports(shared: object, role: str, environment: Mapping[str, str] = os.environ) -> None:
    """Replace every port of `shared` that a backend implements, when `CLARION_BENCH_DELAYS` is set."""
    waits = Waits(msgspec.json.decode(environment[DELAYS_VARIABLE], type=Delays), role)
    for name, value in list(vars(shared).items()):
        if _is_backend(value):
            setattr(shared, name, Delayed(value, name, waits))
    threading.Thread(target=waits.write_always, name="delays", daemon=True).start()
