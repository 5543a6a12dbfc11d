"""One text in Handlebars, compiled when it is first needed, and its rendering.

Dates, money and the like are formatted outside the sandbox: a value that is only shown leaves a mark that is replaced
after the render; for a value that a condition needs, the template is rendered again with the formatted value.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import count
from time import thread_time_ns
from typing import Any, Final

import msgspec

from clarion.content.formatters import FORMATTERS, FormatContext
from clarion.domain.limits_content import (
    HANDLEBARS_BRANCHES_MAX,
    HANDLEBARS_COMPILE_CPU_MS_MAX,
    HANDLEBARS_FORMATTED_MAX,
    HANDLEBARS_ROUNDS_MAX,
    HANDLEBARS_TOKENS_MAX,
    HANDLEBARS_WORK_CHARS_MAX,
    RENDER_CPU_MS_MAX,
    RENDER_DEPTH_MAX,
    RENDER_LOOP_MAX,
    RENDER_OUTPUT_BYTES_MAX,
    TEMPLATE_BYTES_MAX,
)
from clarion.languages.handlebars.language import check
from clarion.languages.handlebars.payload import UNWANTED, encode
from clarion.languages.handlebars.plain import bounded, escape
from clarion.languages.handlebars.reading import PathReader
from clarion.languages.handlebars.sandbox import HandlebarsCode, Sandbox, Sandboxes, TemplateProblem
from clarion.ports.renderer import RenderError, SyntaxProblem, TemplateReads
from clarion.runtime.allowance import end_ns

_OPEN: Final = "\ufdd0"
_CLOSE: Final = "\ufdd1"
_CALLS: Final = "\ufdd3"
_UNWANTED: Final = re.compile(f"[{UNWANTED}]")
_DELIMITERS: Final = re.compile(r"\{\{~?=")
_FORMATTERS: Final = msgspec.json.encode(list(FORMATTERS)).decode()
_MOST: Final = msgspec.json.encode(
    {"tokens": HANDLEBARS_TOKENS_MAX, "levels": RENDER_DEPTH_MAX, "branches": HANDLEBARS_BRANCHES_MAX}
).decode()
_LIMITS: Final = (RENDER_OUTPUT_BYTES_MAX, RENDER_LOOP_MAX, HANDLEBARS_WORK_CHARS_MAX)
_NS_PER_MS: Final = 1_000_000

_ids = count(1)


class FormatterCall(msgspec.Struct, frozen=True, array_like=True):
    """A template's call of a formatter, with its line."""

    name: str
    line: int
    arguments: list[Any]


class Asked(msgspec.Struct, frozen=True, array_like=True):
    """The formatter calls of a render: those whose result is needed to continue, by key, and those to fill in, by
    number."""

    wanted: list[tuple[str, FormatterCall]]
    later: list[FormatterCall]


_ASKED: Final = msgspec.json.Decoder(Asked)


class HandlebarsTemplate:
    """A text that any thread may render. The constructor raises `SyntaxProblem` for characters and delimiters that no
    template may hold, and for a text that is too long."""

    def __init__(self, source: str, sandboxes: Sandboxes, *, html: bool) -> None:
        _refuse(source)
        self._source = source
        self._sandboxes = sandboxes
        self._html = html

    @property
    def usage(self) -> TemplateReads:
        """The names and paths that the source reads. Raises `SyntaxProblem` when the source is invalid."""
        return self._read(_Deadline(HANDLEBARS_COMPILE_CPU_MS_MAX)).usage

    @cached_property
    def code(self) -> HandlebarsCode:
        """The code that a sandbox loads. Raises `SyntaxProblem` when the source is invalid."""
        deadline = _Deadline(HANDLEBARS_COMPILE_CPU_MS_MAX)
        reader = self._read(deadline)
        text = self._compiler("compile", deadline, _FORMATTERS)
        return HandlebarsCode(next(_ids), text, None if reader.roots is None else frozenset(reader.roots), reader.timed)

    def _read(self, deadline: "_Deadline") -> PathReader:
        tree = msgspec.json.decode(self._compiler("parse", deadline))
        try:
            check(tree, html=self._html)
        except TemplateProblem as problem:
            raise _refused(problem) from None
        return PathReader(tree)

    def _compiler(self, name: str, deadline: "_Deadline", *arguments: str) -> str:
        try:
            return self._sandboxes.mine().call(name, self._source, _MOST, *arguments, cpu_ms=deadline.left_ms())
        except TemplateProblem as problem:
            raise _refused(problem) from None

    def render(self, context: Mapping[str, Any]) -> str:
        """Return the rendered text. Raises `RenderError` when the data is missing or unsuitable, or a limit is
        exceeded."""
        try:
            return bounded(self._rendered(context, FormatContext.of(context), _Deadline(RENDER_CPU_MS_MAX)))
        except (TemplateProblem, SyntaxProblem) as problem:
            raise RenderError(f"{problem} (line {problem.line})" if problem.line else str(problem)) from None

    def _rendered(self, context: Mapping[str, Any], speech: FormatContext, deadline: "_Deadline") -> str:
        sandbox = self._sandboxes.mine()
        number = sandbox.load(self.code)
        payload = encode(context, self.code.roots)
        scope = f"{speech.locale} {speech.zone} {speech.at_ms if self.code.timed else ''} "
        for _ in range(HANDLEBARS_ROUNDS_MAX):
            answer = sandbox.call("render", number, self._html, payload, scope, *_LIMITS, cpu_ms=deadline.left_ms())
            text, mark, asked = answer.rpartition(_CALLS)
            if not mark:
                return answer
            calls = _ASKED.decode(asked)
            if not calls.wanted:
                return "".join(self._filled(text, calls.later, speech, deadline))
            _learn(sandbox, scope, calls.wanted, speech, deadline)
        raise TemplateProblem("too many conditions depend on one another's formatted values")

    def _filled(
        self, text: str, calls: list[FormatterCall], speech: FormatContext, deadline: "_Deadline"
    ) -> Iterator[str]:
        first, *rest = text.split(_OPEN)
        yield first
        for piece in rest:
            number, _, literal = piece.partition(_CLOSE)
            formatted = _format(calls[int(number)], speech, deadline)
            yield escape(formatted) if self._html else formatted
            yield literal


class _Deadline:
    """The CPU time at which this thread must stop."""

    def __init__(self, cpu_ms: int) -> None:
        self._end_ns = end_ns(thread_time_ns(), cpu_ms)

    def left_ms(self) -> float:
        """Return the remaining milliseconds. Raises `TemplateProblem` when there are none."""
        left_ns = self._end_ns - thread_time_ns()
        if left_ns <= 0:
            raise TemplateProblem("the template takes too much time")
        return left_ns / _NS_PER_MS


def _learn(
    sandbox: Sandbox, scope: str, wanted: list[tuple[str, FormatterCall]], speech: FormatContext, deadline: _Deadline
) -> None:
    answers = [(key, _format(call, speech, deadline)) for key, call in wanted]
    sandbox.call("learn", scope, msgspec.json.encode(answers).decode(), HANDLEBARS_FORMATTED_MAX)


def _format(call: FormatterCall, speech: FormatContext, deadline: _Deadline) -> str:
    deadline.left_ms()
    try:
        return FORMATTERS[call.name].run(speech, *call.arguments)
    except ValueError as error:
        raise TemplateProblem(f"{call.name}: {error}", call.line) from None


def _refuse(source: str) -> None:
    if len(source) > TEMPLATE_BYTES_MAX:
        raise SyntaxProblem(f"the template is longer than {TEMPLATE_BYTES_MAX} characters")
    if found := _UNWANTED.search(source):
        raise _at(source, found.start(), f"the character U+{ord(found[0]):04X} is not allowed")
    if found := _DELIMITERS.search(source):
        raise _at(source, found.start(), "delimiters cannot be changed")


def _refused(problem: TemplateProblem) -> SyntaxProblem:
    return SyntaxProblem(problem.text, problem.line, problem.column)


def _at(source: str, position: int, text: str) -> SyntaxProblem:
    return SyntaxProblem(text, source.count("\n", 0, position) + 1, position - source.rfind("\n", 0, position))
