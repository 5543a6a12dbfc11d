"""Times of the API, re-exported from `domain/times.py` for stages and control."""

from clarion.domain.times import Time, shown, stored

__all__ = ["Time", "shown", "stored"]
