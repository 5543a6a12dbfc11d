"""What a tenant has defined, as far as requests name it: the facts of admission."""

from collections.abc import Collection, Container, Iterable
from typing import Final, NamedTuple

from clarion.accept.shapes import BroadcastIn, NotificationIn
from clarion.domain.content import Category, Template
from clarion.domain.event_rule import EventRule
from clarion.domain.segment import Segment
from clarion.domain.workflow import Send, Workflow
from clarion.ports.directory import Defined


class Wants(NamedTuple):
    """Names of definitions, each once."""

    templates: Collection[str]
    workflows: Collection[str]
    categories: Collection[str]
    topics: Collection[str]
    segments: Collection[str]


NOTHING: Final = Wants((), (), (), (), ())


class Definitions(NamedTuple):
    """The definitions there are of those that were wanted, by name; there may be others among them."""

    templates: dict[str, Template]
    workflows: dict[str, Defined[Workflow]]
    categories: dict[str, Category]
    topics: set[str]
    segments: dict[str, Defined[Segment]]


def wants_of(bodies: Iterable[NotificationIn | BroadcastIn]) -> Wants:
    """Return what bodies name."""
    templates: set[str] = set()
    workflows: set[str] = set()
    categories: set[str] = set()
    topics: set[str] = set()
    segments: set[str] = set()
    for body in bodies:
        if body.template is not None:
            templates.add(body.template)
        if body.workflow is not None:
            workflows.add(body.workflow)
        if body.category is not None:
            categories.add(body.category)
        if isinstance(body, BroadcastIn):
            if body.audience.topic is not None:
                topics.add(body.audience.topic)
            if body.audience.segment is not None:
                segments.add(body.audience.segment)
    return Wants(templates, workflows, categories, topics, segments)


def wants_of_rules(rules: Iterable[EventRule]) -> Wants:
    """Return what the notifications of event rules name."""
    entries = [notify for rule in rules for notify in rule.notify]
    return Wants(
        {one.template for one in entries if one.template is not None},
        {one.workflow for one in entries if one.workflow is not None},
        {one.category for one in entries if one.category is not None},
        (),
        (),
    )


def implied(found: Definitions, wanted: Wants) -> Wants:
    """Return what the definitions that are wanted name themselves and was not wanted: categories, and the templates that
    workflows send first."""
    known = found.templates
    named = {known[key].category for key in wanted.templates if key in known}
    templates: set[str] = set()
    for workflow in wanted.workflows:
        if workflow not in found.workflows:
            continue
        body = found.workflows[workflow].body
        named.add(body.category)
        first = first_send(body)
        if first is not None:
            templates.add(first.template)
    categories = {one for one in named if one}
    return Wants(templates.difference(wanted.templates), (), categories.difference(wanted.categories), (), ())


def lacking(found: Definitions, wanted: Wants) -> Wants:
    """Return what is wanted and not among what was found."""
    return Wants(
        _missing(wanted.templates, found.templates),
        _missing(wanted.workflows, found.workflows),
        _missing(wanted.categories, found.categories),
        _missing(wanted.topics, found.topics),
        _missing(wanted.segments, found.segments),
    )


def _missing(wanted: Collection[str], found: Container[str]) -> Collection[str]:
    return [key for key in wanted if key not in found] if wanted else ()


def first_send(workflow: Workflow) -> Send | None:
    """Return the first step of a workflow if it sends just the trigger's data."""
    first = workflow.steps[0]
    return first if isinstance(first, Send) and not first.data else None
