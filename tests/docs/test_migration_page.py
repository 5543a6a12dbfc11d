"""The page about moving to PostgreSQL works as described, with a database of its own."""

import pytest

from tests.docs.walk import ROOT, installation, variables, walk
from tests.engines.postgres import engine

pytestmark = [pytest.mark.e2e, pytest.mark.engines, pytest.mark.allow_hosts(["127.0.0.1"])]
PAGE = ROOT / "docs" / "howto" / "move-to-postgres.md"


@pytest.mark.waits
def test_the_page_does_what_it_says(tmp_path):
    with installation(tmp_path, variables(PAGE)) as system:
        (tmp_path / "postgres.dsn").write_text(engine().bare())
        (tmp_path / "postgres.dsn").chmod(0o600)
        walk(PAGE, system)
