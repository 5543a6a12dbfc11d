"""Definitions of a tenant that requests name: the facts that requests are checked against."""

from collections.abc import Collection, Container, Iterable
from typing import Final, NamedTuple, cast

from clarion.accept.shapes import BroadcastIn, NotificationIn
from clarion.domain.content import Category, Template
from clarion.domain.event_rule import EventRule
from clarion.domain.segment import Segment
from clarion.domain.workflow import Send, Workflow
from clarion.ports.directory import Defined


class DefinitionNames(NamedTuple):
    """Names of definitions, each once."""

    templates: Collection[str]
    workflows: Collection[str]
    categories: Collection[str]
    topics: Collection[str]
    segments: Collection[str]


NO_NAMES: Final = DefinitionNames((), (), (), (), ())


class Definitions(NamedTuple):
    """Existing definitions by name: those of the wanted names, possibly with more."""

    templates: dict[str, Template]
    workflows: dict[str, Defined[Workflow]]
    categories: dict[str, Category]
    topics: set[str]
    segments: dict[str, Defined[Segment]]


def names_in_bodies(bodies: Iterable[NotificationIn | BroadcastIn]) -> DefinitionNames:
    """Return the names of the definitions that bodies refer to."""
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
    return DefinitionNames(templates, workflows, categories, topics, segments)


def names_in_rules(rules: Iterable[EventRule]) -> DefinitionNames:
    """Return the names of the definitions that the notifications of event rules refer to."""
    entries = [notify for rule in rules for notify in rule.notify]
    return DefinitionNames(
        {one.template for one in entries if one.template is not None},
        {one.workflow for one in entries if one.workflow is not None},
        {one.category for one in entries if one.category is not None},
        (),
        (),
    )


def implied_names(found: Definitions, wanted: DefinitionNames) -> DefinitionNames:
    """Return the names that the wanted definitions refer to and that are not wanted yet: categories, and the templates
    that workflows send first."""
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
    return DefinitionNames(templates.difference(wanted.templates), (), categories.difference(wanted.categories), (), ())


def has_all(found: Definitions, wanted: DefinitionNames) -> bool:
    """Return whether all wanted names are among the found definitions."""
    for names, definitions in zip(wanted, cast("Iterable[Container[str]]", found), strict=True):
        for name in names:
            if name not in definitions:
                return False
    return True


def missing_names(found: Definitions, wanted: DefinitionNames) -> DefinitionNames:
    """Return the wanted names that are not among the found definitions."""
    return DefinitionNames(
        _missing(wanted.templates, found.templates),
        _missing(wanted.workflows, found.workflows),
        _missing(wanted.categories, found.categories),
        _missing(wanted.topics, found.topics),
        _missing(wanted.segments, found.segments),
    )


def _missing(wanted: Collection[str], found: Container[str]) -> Collection[str]:
    return [key for key in wanted if key not in found] if wanted else ()


def first_send(workflow: Workflow) -> Send | None:
    """Return the first step of a workflow if it sends just the trigger's data, else None."""
    first = workflow.steps[0]
    return first if isinstance(first, Send) and not first.data else None
