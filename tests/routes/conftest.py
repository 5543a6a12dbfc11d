"""Fixtures of the tests of routes."""

import pytest

from tests.contract.fixtures import bound, clock, control_plane, empty

__all__ = ["bound", "clock", "control_backend", "control_plane", "empty"]


@pytest.fixture(params=["memory", pytest.param("sqlite", marks=pytest.mark.slow)])
def control_backend(request):
    """Return the backend of control store and directory. The contract suites check that both are equivalent; the slow run
    still tests the routes over both."""
    return request.param
