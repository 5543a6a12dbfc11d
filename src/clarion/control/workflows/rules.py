"""Validation of workflows before they are stored. Every fault has its path, such as `steps[3].if`."""

import re
from collections.abc import Callable, Collection, Container, Iterator, Mapping
from typing import Final, TypeAlias

from clarion.control.categories.rules import check_defaults
from clarion.control.workflows.fetches import check_fetch
from clarion.control.workflows.graph import before, check_graph
from clarion.domain.address import single_line
from clarion.domain.channel import Channel
from clarion.domain.content import CATEGORY_KIND, TEMPLATE_KIND
from clarion.domain.duration import check_duration, duration_ms
from clarion.domain.errors import InvalidField
from clarion.domain.limits import (
    DIGEST_ITEMS_MAX,
    KEY_CHARS_MAX,
    NAME_CHARS_MAX,
    THROTTLE_LIMIT_MAX,
    WAIT_MS_MAX,
    WORKFLOW_EXPRESSIONS_MAX,
    WORKFLOW_NAMES_MAX,
    WORKFLOW_STEPS_MAX,
)
from clarion.domain.localtime import check_clock, check_days
from clarion.domain.reference import Reference, unknown
from clarion.domain.route import channels_of, check_route
from clarion.domain.template_name import split
from clarion.domain.workflow import (
    END,
    EXPRESSION_NAMES,
    PLACEHOLDER,
    Condition,
    Delay,
    Digest,
    Fetch,
    Send,
    Set,
    Step,
    Throttle,
    WaitUntil,
    Window,
    Workflow,
)

_NAME: Final = re.compile(r"[a-z0-9_]+")
FaultOf: TypeAlias = Callable[[str, Collection[str]], str]
"""A function that returns the fault of an expression over these names, empty if it has none."""


def check_workflow(workflow: Workflow, fault_of: FaultOf) -> None:
    """Raise `InvalidField` for the first fault of a workflow itself."""
    single_line(workflow.name, "name", NAME_CHARS_MAX)
    check_defaults(workflow.defaults, critical=False)
    _check_variables(workflow.variables)
    _check_names(workflow.steps)
    for index, step in enumerate(workflow.steps):
        _check_step(step, f"steps[{index}]")
    check_graph(workflow)
    for index, step in enumerate(workflow.steps):
        if isinstance(step, WaitUntil) and step.seen is not None:
            _check_seen(workflow, index, step.seen)
    expressions = list(_expressions(workflow))
    if len(expressions) > WORKFLOW_EXPRESSIONS_MAX:
        raise InvalidField(f"has more than {WORKFLOW_EXPRESSIONS_MAX} expressions", field="steps")
    for field, text, names in expressions:
        fault = fault_of(text, names)
        if fault:
            raise InvalidField(fault, field=field, code="bad_expression")


def references(workflow: Workflow) -> Iterator[Reference]:
    """Yield the categories and templates that a workflow names."""
    if workflow.category is not None:
        yield Reference(CATEGORY_KIND, workflow.category, "category")
    for index, step in enumerate(workflow.steps):
        if isinstance(step, Send):
            if step.category is not None:
                yield Reference(CATEGORY_KIND, step.category, f"steps[{index}].category")
            yield Reference(TEMPLATE_KIND, split(step.template)[0], f"steps[{index}].template")


def check_content(workflow: Workflow, templates: Mapping[str, Container[Channel]]) -> None:
    """Raise `InvalidField` for the first template that has no current version or no content for a channel; `templates` has
    the channels of each that is sent."""
    for index, step in enumerate(workflow.steps):
        if isinstance(step, Send):
            _check_sent(step, f"steps[{index}]", templates)


def templates_of(workflow: Workflow) -> set[str]:
    """Return the templates that a workflow sends."""
    return {step.template for step in workflow.steps if isinstance(step, Send)}


def _check_sent(step: Send, path: str, templates: Mapping[str, Container[Channel]]) -> None:
    if step.template not in templates:
        raise unknown("template", step.template, f"{path}.template")
    served = templates[step.template]
    places = [(channel, f"{path}.channels[{index}]") for index, channel in enumerate(step.channels)]
    places += [(channel, f"{path}.route") for channel in (channels_of(step.route) if step.route else ())]
    for channel, field in places:
        if channel not in served:
            raise InvalidField(f"template {step.template!r} has no content for {channel}", field=field)


def _check_variables(variables: tuple[str, ...]) -> None:
    if len(variables) > WORKFLOW_NAMES_MAX:
        raise InvalidField(f"has more than {WORKFLOW_NAMES_MAX} names", field="variables")
    for index, name in enumerate(variables):
        if not name or name in variables[:index]:
            raise InvalidField("must be a unique name", field=f"variables[{index}]")
        single_line(name, f"variables[{index}]", KEY_CHARS_MAX)


def _check_names(steps: tuple[Step, ...]) -> None:
    if not 1 <= len(steps) <= WORKFLOW_STEPS_MAX:
        raise InvalidField(f"takes 1 to {WORKFLOW_STEPS_MAX} steps", field="steps")
    seen: set[str] = set()
    for index, step in enumerate(steps):
        field = f"steps[{index}].name"
        if not _NAME.fullmatch(step.name) or len(step.name) > KEY_CHARS_MAX or step.name == END:
            raise InvalidField(f"must be small letters, digits and '_', and not {END!r}", field=field)
        if step.name in seen:
            raise InvalidField(f"is the name of another step: {step.name!r}", field=field)
        seen.add(step.name)


def _check_step(step: Step, path: str) -> None:
    match step:
        case Send():
            _check_send(step, path)
        case Delay():
            _check_one_of(path, {"for": step.for_, "until": step.until, "at": step.at})
            _check_wait(step.for_, f"{path}.for")
            _check_local(step.at, step.days, path)
        case Digest():
            _check_window(step.window, f"{path}.window")
            _check_range(step.first, 1, DIGEST_ITEMS_MAX, f"{path}.first")
        case Throttle():
            _check_range(step.limit, 1, THROTTLE_LIMIT_MAX, f"{path}.limit")
            _check_wait(step.per, f"{path}.per")
        case WaitUntil():
            _check_wait_until(step, path)
        case Fetch():
            check_fetch(step, path)
        case Set():
            _check_data(step.values, f"{path}.values")
            if not step.values:
                raise InvalidField("needs at least one value", field=f"{path}.values")
        case Condition():
            pass


def _check_send(step: Send, path: str) -> None:
    if step.channels and step.route is not None:
        raise InvalidField("needs at most one of channels and route", field=f"{path}.route")
    if len(set(step.channels)) != len(step.channels):
        raise InvalidField("names a channel twice", field=f"{path}.channels")
    if step.route is not None:
        check_route(step.route, f"{path}.route")
    _check_data(step.data, f"{path}.data")


def _check_window(window: Window, path: str) -> None:
    _check_one_of(path, {"fixed": window.fixed, "sliding": window.sliding, "at": window.at})
    for name in ("fixed", "sliding", "at_most"):
        _check_wait(getattr(window, name), f"{path}.{name}")
    if window.at_most is not None:
        if window.sliding is None:
            raise InvalidField("goes with sliding", field=f"{path}.at_most")
        if duration_ms(window.at_most) < duration_ms(window.sliding):
            raise InvalidField("is shorter than sliding", field=f"{path}.at_most")
    _check_local(window.at, window.days, path)


def _check_wait_until(step: WaitUntil, path: str) -> None:
    _check_wait(step.timeout, f"{path}.timeout")
    _check_one_of(path, {"seen": step.seen, "event": step.event})
    if step.event is not None:
        single_line(step.event, f"{path}.event", KEY_CHARS_MAX)
    elif step.where is not None:
        raise InvalidField("goes with event", field=f"{path}.where")


def _check_seen(workflow: Workflow, index: int, name: str) -> None:
    sent = {step.name for step in workflow.steps if isinstance(step, Send)}
    if name not in sent & before(workflow, index):
        raise InvalidField(f"there is no send step {name[:100]!r} before this one", field=f"steps[{index}].seen")


def _check_one_of(path: str, given: Mapping[str, str | None]) -> None:
    if sum(value is not None for value in given.values()) != 1:
        raise InvalidField(f"needs exactly one of {', '.join(given)}", field=path)


def _check_wait(text: str | None, field: str) -> None:
    if text is not None:
        check_duration(text, field, most_ms=WAIT_MS_MAX)


def _check_local(at: str | None, days: tuple[int, ...], path: str) -> None:
    if at is not None:
        check_clock(at, f"{path}.at")
    elif days:
        raise InvalidField("goes with at", field=f"{path}.days")
    check_days(days, f"{path}.days")


def _check_range(value: int, least: int, most: int, field: str) -> None:
    if not least <= value <= most:
        raise InvalidField(f"must be {least} to {most}", field=field)


def _check_data(given: Mapping[str, str], field: str) -> None:
    if len(given) > WORKFLOW_NAMES_MAX:
        raise InvalidField(f"has more than {WORKFLOW_NAMES_MAX} names", field=field)
    for name in given:
        single_line(name, field, KEY_CHARS_MAX)


def _expressions(workflow: Workflow) -> Iterator[tuple[str, str, Collection[str]]]:
    """Yield every expression with its path and the names it may read."""
    for index, step in enumerate(workflow.steps):
        for field, text in _expressions_of(step):
            names = (*EXPRESSION_NAMES, "event") if field == "where" else EXPRESSION_NAMES
            yield f"steps[{index}].{field}", text, names


def _expressions_of(step: Step) -> Iterator[tuple[str, str]]:
    match step:
        case Send():
            yield from ((f"data.{name}", text) for name, text in step.data.items())
        case Set():
            yield from ((f"values.{name}", text) for name, text in step.values.items())
        case Fetch():
            yield from (("url", text) for text in PLACEHOLDER.findall(step.url))
            for name, value in step.plain_headers.items():
                yield from ((f"headers.{name}", text) for text in PLACEHOLDER.findall(value))
        case _:
            pass
    for field, name in (("if_", "if"), ("until", "until"), ("key", "key"), ("where", "where"), ("body", "body")):
        text = getattr(step, field, None)
        if text is not None:
            yield name, text
