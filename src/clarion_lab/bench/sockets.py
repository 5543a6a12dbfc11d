"""What sockets cost: the case `sockets` as a measurement of the bench."""

from clarion_lab.bench.measure import BenchRequest, Outcome
from clarion_lab.load.programs import System
from clarion_lab.sockets import cost


def sockets(asked: BenchRequest) -> Outcome:
    """Measure and return the figures; `n` of the request is the number of connections. Raises `RunError`."""
    connections = asked.n or cost.CONNECTIONS
    system = System(asked.folder, cost.settings(asked.workers, connections), with_gateway=True)
    figures = cost.cost(system, connections, asked.console)
    return Outcome(figures.line(), figures.passed)
