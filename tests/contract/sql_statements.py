"""Every statement of the stores in SQL, with values, so that tests may ask an engine for its plan."""

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from sqlalchemy import Dialect
from sqlalchemy.types import Boolean, Integer, LargeBinary

from clarion.stores import sql
from clarion.stores.sql.statement import Many, Statement


def statements() -> Iterator[tuple[str, Statement | Many]]:
    """Yield the statements of all modules with their names."""
    for module in pkgutil.iter_modules(sql.__path__):
        for name, value in vars(import_module(f"{sql.__name__}.{module.name}")).items():
            for number, one in enumerate(value if isinstance(value, tuple) else (value,)):
                if isinstance(one, Statement | Many):
                    yield f"{module.name}.{name}.{number}", one


def values_of(statement: Statement | Many, dialect: Dialect) -> dict[str, Any]:
    """Return a value for each name that a statement has."""
    binds = statement._clauses[dialect.name].compile(dialect=dialect).binds.items()  # type: ignore[attr-defined]
    return {name: _value(name, bind.type) for name, bind in binds if bind.required}


def _value(name: str, kind: Any) -> Any:
    if name in ("keys", "user_ids", "digests", "ordinals"):
        return [{"digests": b"a", "ordinals": 1}.get(name, "a")]
    if isinstance(kind, Boolean):
        return True
    if isinstance(kind, Integer) or name.endswith("_ms") or name == "most":
        return 1
    return b"a" if isinstance(kind, LargeBinary) or name in ("value", "sealed", "digest", "devices") else "a"
