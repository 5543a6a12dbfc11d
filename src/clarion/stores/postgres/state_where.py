"""Statements of lists, to which conditions are added. Conditions are constants of this backend, never input."""

from typing import Any, Final

from clarion.ports.history import DeadLetterFilter, ListWindow

_OF_DELIVERY: Final = """EXISTS (SELECT 1 FROM deliveries AS d
    WHERE d.id = dead_letters.delivery_id AND d.tenant = dead_letters.tenant AND """
_SAME_ADDRESS: Final = """(d.address = {0}
    OR d.channel = 'email' AND lower(d.address COLLATE "C") = lower({0}::text COLLATE "C")))"""


class Where:
    """A statement that ends in a condition, with the values of its placeholders so far."""

    def __init__(self, statement: str, *values: Any) -> None:
        self.statement = statement
        self.values = list(values)

    def also(self, condition: str, value: Any) -> None:
        """Add a condition that ends before its only value, or has `{0}` in place of it. Do nothing without a value."""
        if value is None:
            return
        self.values.append(value)
        place = f"${len(self.values)}"
        self.statement += f" AND {condition.format(place) if '{0}' in condition else f'{condition} {place}'}"

    def window(self, column: str, window: ListWindow) -> None:
        """Add the bounds of a page and its order, newest first."""
        self.also(f"{column} <", window.before)
        self.also(f"{column} >=", _edge(window.from_ms))
        self.also(f"{column} <", _edge(window.to_ms))
        self.values.append(window.limit)
        self.statement += f" ORDER BY {column} DESC LIMIT ${len(self.values)}"

    def ordered(self, column: str, limit: int) -> tuple[Any, ...]:
        """Return the statement in the order of a column, and its values."""
        return f"{self.statement} ORDER BY {column} LIMIT ${len(self.values) + 1}", *self.values, limit


def dead_letters_where(statement: str, tenant: str, only: DeadLetterFilter) -> Where:
    """Return a statement on dead letters with the conditions of a filter."""
    where = Where(statement, tenant)
    where.also("channel =", only.channel)
    where.also("user_id =", only.user_id)
    where.also("reason =", only.reason)
    where.also("(replayed_ms IS NOT NULL) =", only.replayed)
    where.also("dead_ms >=", only.dead_from_ms)
    where.also("dead_ms <", only.dead_to_ms)
    where.also(f"{_OF_DELIVERY} d.provider = {{0}})", only.provider)
    where.also(f"{_OF_DELIVERY} d.vendor = {{0}})", only.vendor)
    where.also(f"{_OF_DELIVERY} {_SAME_ADDRESS}", only.address)
    return where


def _edge(at_ms: int | None) -> bytes | None:
    return None if at_ms is None else min(max(at_ms, 0), (1 << 48) - 1).to_bytes(6, "big")
