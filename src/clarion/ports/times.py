"""Times of the API, under the name by which stages and control know them: `domain/times.py`."""

from clarion.domain.times import Time, shown, stored

__all__ = ["Time", "shown", "stored"]
