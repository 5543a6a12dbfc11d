"""Fixtures of the stage tests."""

from tests.stages.fixtures import directory, furnished  # noqa: F401 - fixtures
