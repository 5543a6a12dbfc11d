"""JSON Schema (draft 2020-12) as a port: whether a schema can be used, and whether data satisfies it."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol


class Fault(NamedTuple):
    """A fault and its path: `order.lines[0].name`, empty for the whole."""

    path: str
    detail: str


class Schemas(Protocol):
    """Validation with bounded work for any schema and data. Nothing is ever fetched."""

    def fault_of(self, schema: Mapping[str, Any]) -> Fault | None:
        """Return the fault of a schema, None when it is usable."""
        ...

    def check(self, schema: dict[str, Any], data: Mapping[str, Any]) -> Fault | None:
        """Return the first fault of data, None when it satisfies the schema. Schemas are cached by identity, so a
        schema must not be changed after its first use. Data too large for the work its schema takes is a fault. A
        schema that is not usable requires only its top-level names."""
        ...
