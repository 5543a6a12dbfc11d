"""Fixtures of the tests of what one engine alone has."""

from tests.contract.fixtures import clock

__all__ = ["clock"]
