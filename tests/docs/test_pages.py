"""Every page with commands works as described, from its first block to its last."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from clarion.gateway.door import LIVE_PATH
from clarion.gateway.streams import STREAM_PATH
from clarion_lab.load.programs import System
from tests.docs.walk import ROOT, blocks, installation, variables, walk

pytestmark = [pytest.mark.e2e, pytest.mark.allow_hosts(["127.0.0.1"])]

# They have tests of their own: tests/providers/test_add_a_provider.py, test_migration_page.py and test_postgres_page.py.
OWN_TESTS = {"add-a-provider.md", "move-to-postgres.md", "postgres.md"}
PAGES = [
    ROOT / "README.md",
    *sorted(page for page in (ROOT / "docs" / "howto").glob("*.md") if page.name not in OWN_TESTS),
]


class Installations:
    """One running installation for each set of variables with which pages start it."""

    def __init__(self, stack: ExitStack, tmp_path_factory: pytest.TempPathFactory) -> None:
        self._stack = stack
        self._folders = tmp_path_factory
        self._running: dict[tuple[tuple[str, str], ...], System] = {}

    def of(self, page: Path) -> System:
        environment = variables(page)
        key = tuple(sorted(environment.items()))
        if key not in self._running:
            folder = self._folders.mktemp("reader")
            self._running[key] = self._stack.enter_context(installation(folder, environment))
        return self._running[key]


@pytest.fixture(scope="module")
def installations(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installations]:
    with ExitStack() as stack:
        yield Installations(stack, tmp_path_factory)


@pytest.mark.waits
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_page_does_what_it_says(page: Path, installations: Installations):
    assert any(block.language == "sh" for block in blocks(page)), "the page has no block to run"
    walk(page, installations.of(page))


def test_every_endpoint_on_a_page_exists(installations: Installations):
    client = installations.of(PAGES[0]).client()
    assert b"/v1/notifications" in client.call("GET", "/docs")
    paths = client.get("/openapi.json")["paths"]
    known = [re.compile(re.sub(r"\{\w+\}", "[^/]+", path)) for path in (*paths, LIVE_PATH, STREAM_PATH)]
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        named = set(re.findall(r"/v1/[a-zA-Z0-9_/{}$.-]*[a-zA-Z0-9_}]", page.read_text(encoding="utf-8")))
        gone = {path for path in named if not any(pattern.fullmatch(path) for pattern in known)}
        assert not gone, f"{page.name} names {sorted(gone)}"
