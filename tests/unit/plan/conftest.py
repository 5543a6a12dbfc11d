"""Fixtures of the stage tests."""

from tests.contract.fixtures import bound  # noqa: F401 - a fixture
from tests.stages.fixtures import directory, furnished  # noqa: F401 - fixtures
from tests.unit.plan.deciding import people  # noqa: F401 - a fixture
