"""Liquid with limits on all work: time, loops, output, names, depth, ranges and filters that multiply their input.

Rendering reads no clock except for its own deadline, so a template returns the same text at every retry.
"""

from collections import deque
from collections.abc import Mapping, Sized
from time import thread_time_ns
from typing import Any, Final

from liquid import Environment
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.context import RenderContext
from liquid.exceptions import (
    LiquidError,
    LocalNamespaceLimitError,
    LoopIterationLimitError,
    OutputStreamLimitError,
)
from liquid.template import BoundTemplate
from liquid.undefined import FalsyStrictUndefined
from liquid.utils import ReadOnlyChainMap

from clarion.domain.limits_content import (
    LIQUID_TAG_CHARS_MAX,
    RENDER_CPU_MS_MAX,
    RENDER_CYCLES_MAX,
    RENDER_DEPTH_MAX,
    RENDER_LOOP_MAX,
    RENDER_NAMESPACE_BYTES_MAX,
    RENDER_OUTPUT_BYTES_MAX,
)
from clarion.languages.liquid.filters import CHECKED, REMOVED, REWRITING, checked, measure, of_text
from clarion.languages.liquid.localized import LOCALIZED
from clarion.runtime.allowance import end_ns

FILTER_STEPS: Final = 16
"""Steps that a use of a filter counts; rendering a node or reading a name counts one."""
SIZED: Final = frozenset((str, list, dict))
_LARGE: Final = 1_000
"""Length in characters or items above which a value makes the clock be checked."""
_STEPS_PER_LOOK: Final = 64
_UTF8_BYTES_PER_CHAR: Final = 4
_REFUSED_TAGS: Final = (
    "include",
    "render",
    "tablerow",
)  # there are no partials to include; HTML tables are written as HTML


_NO_NAMES: Final[Mapping[str, object]] = {}


class Missing(FalsyStrictUndefined):
    """An undefined name: an error to print, false in a condition, replaced by `default`."""

    force_liquid_default = True


class Sink:
    """Collects written text up to a limit, without changing line ends."""

    __slots__ = ("_pieces", "_rest", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._pieces: list[str] = []
        self._rest = limit

    def write(self, text: str) -> int:
        """Add a text. Raises `OutputStreamLimitError` when the limit is exceeded."""
        self._rest -= len(text)
        if self._rest < 0:
            raise OutputStreamLimitError("output stream limit reached", token=None)
        self._pieces.append(text)
        return len(text)

    def getvalue(self) -> str:
        """Return the whole text. Raises `OutputStreamLimitError` when it exceeds the limit in bytes."""
        text = "".join(self._pieces)
        over = len(text) * _UTF8_BYTES_PER_CHAR > self.limit
        if over and len(text.encode(errors="surrogatepass")) > self.limit:
            raise OutputStreamLimitError("output stream limit reached", token=None)
        return text

    def rest(self) -> "Sink":
        """Return a sink whose limit is the space left in this one."""
        return Sink(self._rest)


class Scope(ReadOnlyChainMap):
    """The visible names, innermost scope first; `maps` can be searched without an exception for each map without the
    name."""

    def __init__(self, *maps: Mapping[str, object]) -> None:
        self.maps = self._maps = deque(maps)


class BoundedContext(RenderContext):
    """A render context that counts a template's work and stops it at its limits."""

    __slots__ = ("_deadline_ns", "_iterations", "_steps")

    def __init__(self, template: BoundTemplate, *, globals: Mapping[str, object] = _NO_NAMES) -> None:  # noqa: A002
        # Sets everything that python-liquid's context sets, except for partials and the built-in `now` and `today`:
        # those would take as long as rendering a short text.
        self.env = template.env
        self.template = template
        self.autoescape = template.env.autoescape
        self.globals = globals
        self.locals = {}
        self.counters = {}
        self.scope = Scope(self.locals, globals, self.counters)
        self.tag_namespace = {"cycles": {}, "ifchanged": "", "stopindex": {}}
        self.loops = []
        self.disabled_tags = []
        self.parent_context = None
        self.loop_iteration_carry = 1
        self.local_namespace_size_carry = 0
        self._steps = 0
        self._iterations = 0
        self._deadline_ns = 0

    def step(self, count: int = 1) -> None:
        """Count steps and check the clock at intervals."""
        self._steps += count
        if self._steps >= _STEPS_PER_LOOK:
            self.look()

    def look(self) -> None:
        """Check the clock. Time counts from the first check, which short texts never reach. Raises `LiquidError` when
        time is up."""
        self._steps = 0
        now_ns = thread_time_ns()
        if not self._deadline_ns:
            self._deadline_ns = end_ns(now_ns, RENDER_CPU_MS_MAX)
        elif now_ns > self._deadline_ns:
            raise LiquidError(f"rendering took more than {RENDER_CPU_MS_MAX} ms", token=None)

    def weigh(self, value: Sized) -> None:
        """Count the work of processing a value, or check the clock if the value is large."""
        if len(value) > _LARGE:
            self.look()
        elif type(value) is not str:
            self.step(FILTER_STEPS)

    def get(self, path: list[object], **options: Any) -> object:
        """Resolve a path, counting it."""
        self.step()
        found = super().get(path, **options)
        if type(found) in SIZED:
            self.weigh(found)  # type: ignore[arg-type] # these have a length
        return found

    def filter(self, name: str, token: Any) -> Any:
        """Return a filter, counting its use."""
        self.step(FILTER_STEPS)
        return super().filter(name, token)

    def raise_for_loop_limit(self, length: int = 1) -> None:
        """Raise `LoopIterationLimitError` when this loop together with all earlier ones exceeds the limit."""
        super().raise_for_loop_limit(length)
        self._iterations += length
        if self._iterations > RENDER_LOOP_MAX:
            raise LoopIterationLimitError("loop iteration limit reached", token=None)

    def assign(self, key: str, val: Any) -> None:
        """Bind a name. A value that is shared counts each time. Raises `LocalNamespaceLimitError` when it is too
        large."""
        if measure(val, RENDER_NAMESPACE_BYTES_MAX) > RENDER_NAMESPACE_BYTES_MAX:
            raise LocalNamespaceLimitError("local namespace limit reached", token=None)
        super().assign(key, val)

    def cycle(self, key: object, length: int) -> int:
        """Return the position of a cycle. Cycles are stored until the end of the render, so `LocalNamespaceLimitError`
        is raised for too many of them or a long name."""
        many = len(self.tag_namespace["cycles"]) >= RENDER_CYCLES_MAX
        if many or (isinstance(key, str) and len(key) > LIQUID_TAG_CHARS_MAX):
            raise LocalNamespaceLimitError("local namespace limit reached", token=None)
        return super().cycle(key, length)

    def get_buffer(self, buf: Any = None) -> Any:
        """Return a sink for captured text."""
        return buf.rest() if isinstance(buf, Sink) else Sink(RENDER_OUTPUT_BYTES_MAX)


class BoundedTemplate(BoundTemplate):
    """A template rendered in a `BoundedContext`."""

    context_class = BoundedContext

    def render(self, *args: Any, **options: Any) -> str:
        """Return the text rendered with this data (arguments as for `dict`). Raises `LiquidError`, and any error that
        filters and comparisons raise for ill-typed data."""
        context, sink = BoundedContext(self, globals=dict(*args, **options)), Sink(RENDER_OUTPUT_BYTES_MAX)
        for node in self.nodes:
            try:
                node.render(context, sink)  # type: ignore[arg-type] # all of a stream that nodes use
            except LiquidError as error:
                error.token = error.token or node.token
                raise
        return sink.getvalue()


class BoundedEnvironment(Environment):
    """Liquid's standard tags and filters, within limits."""

    template_class = BoundedTemplate
    block_nesting_limit = RENDER_DEPTH_MAX
    context_depth_limit = RENDER_DEPTH_MAX
    loop_iteration_limit = RENDER_LOOP_MAX
    local_namespace_limit = RENDER_NAMESPACE_BYTES_MAX
    output_stream_limit = RENDER_OUTPUT_BYTES_MAX

    def __init__(self, *, autoescape: bool) -> None:
        super().__init__(undefined=Missing, autoescape=autoescape)
        for tag in _REFUSED_TAGS:
            del self.tags[tag]
        for name in REMOVED:
            del self.filters[name]
        self.filters.update(CHECKED)
        if autoescape:
            self.filters.update((name, of_text(self.filters[name])) for name in REWRITING)
        for name, function in self.filters.items():
            self.filters[name] = checked(name, function)
        self.filters.update(LOCALIZED)

    def error(self, exc: Any, msg: str | None = None, token: Any = None) -> None:
        """Raise a parse error; for an expression that ended too early, its place is the token that follows."""
        if isinstance(exc, LiquidError) and exc.token is not None and exc.token.start_index < 0:
            exc.token = token
        super().error(exc, msg, token)


class BoundedRange(RangeLiteral):
    """A range of a `for` loop, refused before it can be materialised."""

    __slots__ = ()

    def evaluate(self, context: RenderContext) -> range:
        """Return the range. Raises `LoopIterationLimitError` when a loop may not run over it."""
        value = super().evaluate(context)
        if value and value[-1] - value[0] >= RENDER_LOOP_MAX:
            raise LoopIterationLimitError("loop iteration limit reached", token=self.token)
        return value
