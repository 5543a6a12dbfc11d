"""The section `gateway`."""

from clarion.domain.settings import Port, Positive, Section


class Gateway(Section, frozen=True):
    """Where the gateway listens; port 0 is none."""

    host: str
    port: Port
    connections_max: Positive
