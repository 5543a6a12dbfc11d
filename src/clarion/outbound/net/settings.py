"""The section `egress`."""

from clarion.domain.settings import Section


class Egress(Section, frozen=True):
    """The networks and addresses that outbound calls may reach."""

    allow_private: list[str]
    allow_http: bool
    ca_file: str
