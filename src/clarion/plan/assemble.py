"""Puts planning together for one process."""

from clarion.plan.gather_sends import SendGatherer
from clarion.plan.schedules.firing import Occurrences
from clarion.plan.step import StepPlanner
from clarion.plan.workflow.engine import Engine
from clarion.ports.directory import Directory
from clarion.ports.expressions import Expressions
from clarion.ports.journal import Journal
from clarion.ports.sightings import Sightings
from clarion.ports.state import DeliveryStates
from clarion.ports.telemetry import Telemetry


def step_planner(
    journal: Journal,
    directory: Directory,
    expressions: Expressions,
    states: DeliveryStates,
    sightings: Sightings,
    telemetry: Telemetry,
) -> StepPlanner:
    """Return what plans the steps of a process."""
    return StepPlanner(
        journal,
        Engine(journal, directory, expressions, sightings, telemetry),
        Occurrences(journal, directory, telemetry),
        states,
        sightings,
        SendGatherer(journal, directory),
    )
