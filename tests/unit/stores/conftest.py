"""Fixtures of the tests of the details of one backend."""

from tests.contract.fixtures import clock

__all__ = ["clock"]
