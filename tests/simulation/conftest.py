"""Fixtures of the simulations."""

from tests.stages.fixtures import directory, furnished  # noqa: F401 - fixtures
