"""Fixtures of the tests of routes."""

import pytest

from tests.contract.fixtures import bound, clock, empty, house

__all__ = ["bound", "clock", "empty", "engine", "house"]


@pytest.fixture(params=["memory", pytest.param("sqlite", marks=pytest.mark.slow)])
def engine(request):
    """The engine of control store and directory. That both do the same is for the contract suites to say; the slow run
    tries the routes over both still."""
    return request.param
