"""Liquid with every door to unbounded work shut: time, loops, output, names, depth, ranges and exploding filters.

Rendering reads no clock but its own deadline, so a template gives the same text at every retry.
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

from clarion.backends.liquid.filters import CHECKED, REMOVED, REWRITING, checked, measure, of_text
from clarion.backends.liquid.localized import LOCALIZED
from clarion.domain.limits import (
    RENDER_CPU_MS_MAX,
    RENDER_DEPTH_MAX,
    RENDER_LOOP_MAX,
    RENDER_NAMESPACE_BYTES_MAX,
    RENDER_OUTPUT_BYTES_MAX,
)
from clarion.domain.limits_content import LIQUID_TAG_CHARS_MAX, RENDER_CYCLES_MAX
from clarion.ports.allowance import end_ns

FILTER_STEPS: Final = 16
"""What using a filter counts, where rendering a node or reading a name counts one."""
SIZED: Final = frozenset((str, list, dict))
_LARGE: Final = 1_000
"""Characters or items that are worth a look at the clock."""
_STEPS_PER_LOOK: Final = 64
_UTF8_BYTES_PER_CHAR: Final = 4
_REFUSED_TAGS: Final = ("include", "render", "tablerow")  # no partials to include; HTML tables are written out


_NO_NAMES: Final[Mapping[str, object]] = {}


class Missing(FalsyStrictUndefined):
    """An undefined name: an error to print, false in a condition, replaced by `default`."""

    force_liquid_default = True


class Sink:
    """Takes what is written, up to a limit, and leaves line ends as they are."""

    __slots__ = ("_pieces", "_rest", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._pieces: list[str] = []
        self._rest = limit

    def write(self, text: str) -> int:
        """Take a text. Raises `OutputStreamLimitError`."""
        self._rest -= len(text)
        if self._rest < 0:
            raise OutputStreamLimitError("output stream limit reached", token=None)
        self._pieces.append(text)
        return len(text)

    def getvalue(self) -> str:
        """Return all of it. Raises `OutputStreamLimitError` when it is over the limit in bytes."""
        text = "".join(self._pieces)
        over = len(text) * _UTF8_BYTES_PER_CHAR > self.limit
        if over and len(text.encode(errors="surrogatepass")) > self.limit:
            raise OutputStreamLimitError("output stream limit reached", token=None)
        return text

    def rest(self) -> "Sink":
        """Return a sink for what may still be written here."""
        return Sink(self._rest)


class Scope(ReadOnlyChainMap):
    """The names in sight, the innermost first; `maps` can be searched without an exception for each that has not got it."""

    def __init__(self, *maps: Mapping[str, object]) -> None:
        self.maps = self._maps = deque(maps)


class BoundedContext(RenderContext):
    """A render context that counts what a template does and stops it in time."""

    __slots__ = ("_deadline_ns", "_iterations", "_steps")

    def __init__(self, template: BoundTemplate, *, globals: Mapping[str, object] = _NO_NAMES) -> None:  # noqa: A002
        # All that python-liquid's own sets, without what is for partials and without the built-in `now` and `today`: that
        # would take as long as rendering a short text.
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
        """Count steps and look at the clock every so often."""
        self._steps += count
        if self._steps >= _STEPS_PER_LOOK:
            self.look()

    def look(self) -> None:
        """Look at the clock; it runs from the first look, which short texts never get to."""
        self._steps = 0
        now_ns = thread_time_ns()
        if not self._deadline_ns:
            self._deadline_ns = end_ns(now_ns, RENDER_CPU_MS_MAX)
        elif now_ns > self._deadline_ns:
            raise LiquidError(f"rendering took more than {RENDER_CPU_MS_MAX} ms", token=None)

    def weigh(self, value: Sized) -> None:
        """Count what whatever comes next has to go through."""
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
        """Raise when this loop, on top of all those before it, goes over the limit."""
        super().raise_for_loop_limit(length)
        self._iterations += length
        if self._iterations > RENDER_LOOP_MAX:
            raise LoopIterationLimitError("loop iteration limit reached", token=None)

    def assign(self, key: str, val: Any) -> None:
        """Bind a name; a value that is shared many times over counts each time."""
        if measure(val, RENDER_NAMESPACE_BYTES_MAX) > RENDER_NAMESPACE_BYTES_MAX:
            raise LocalNamespaceLimitError("local namespace limit reached", token=None)
        super().assign(key, val)

    def cycle(self, key: object, length: int) -> int:
        """Return where a cycle is; each of them is kept to the end, so they are few and their names short."""
        many = len(self.tag_namespace["cycles"]) >= RENDER_CYCLES_MAX
        if many or (isinstance(key, str) and len(key) > LIQUID_TAG_CHARS_MAX):
            raise LocalNamespaceLimitError("local namespace limit reached", token=None)
        return super().cycle(key, length)

    def get_buffer(self, buf: Any = None) -> Any:
        """Return a sink for text that is kept."""
        return buf.rest() if isinstance(buf, Sink) else Sink(RENDER_OUTPUT_BYTES_MAX)


class BoundedTemplate(BoundTemplate):
    """A template rendered in a `BoundedContext`."""

    context_class = BoundedContext

    def render(self, *args: Any, **options: Any) -> str:
        """Return the text made with this data (as for `dict`). Raises `LiquidError`, and whatever ill-typed data makes
        filters and comparisons raise."""
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
        """Raise an error of parsing; where an expression ended too early it stands by what follows."""
        if isinstance(exc, LiquidError) and exc.token is not None and exc.token.start_index < 0:
            exc.token = token
        super().error(exc, msg, token)


class BoundedRange(RangeLiteral):
    """A range of a `for` loop, refused before it can be materialised."""

    __slots__ = ()

    def evaluate(self, context: RenderContext) -> range:
        """Return the range if a loop may run over it."""
        value = super().evaluate(context)
        if value and value[-1] - value[0] >= RENDER_LOOP_MAX:
            raise LoopIterationLimitError("loop iteration limit reached", token=self.token)
        return value
