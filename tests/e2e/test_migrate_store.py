"""An installation with work that waits moves to PostgreSQL, with a kill on the way, and back: everything happens once."""

import pytest

from tests.e2e.moving import Installation, api, batches, instance, running, scheduled, seeded, soon
from tests.e2e.outside import Tenant, until
from tests.engines.postgres import engine

pytestmark = [pytest.mark.processes, pytest.mark.engines, pytest.mark.files]
THERE = "migrate-store", "--from", "sqlite", "--to", "postgres"
BACK = "migrate-store", "--from", "postgres", "--to", "sqlite"
BEGUN = "SELECT count(*) FROM journal.idempotency"
WAITING, INSTANCES = 1_500, 60


@pytest.fixture
def home(tmp_path):
    return Installation(tmp_path, engine().bare())


def texts(tenant):
    return sorted(message["content"]["parts"]["body"] for message in tenant.captured())


def on(system, tenant):
    """Return the client of a tenant at another system."""
    client = Tenant(system.port, tenant.key)
    client.name = tenant.name
    return client


@pytest.mark.waits
def test_what_waits_ends_once_on_the_other_store_and_back(home):
    with running(home.system("sqlite")) as system:
        tenant = seeded(system)
        tenant.put("/v1/users/ada", {"phone": "+14155550101", "attributes": {"city": "Rome"}})
        at = soon(30)
        ids = batches(tenant, WAITING, scheduled("first", at), key="batch")
        runs = batches(tenant, INSTANCES, instance)
        until(lambda: tenant.seen(runs[-1]).get("instances"), "the instances to wait")
    code, printed, said = home.run(*THERE, "--dry-run")
    assert (code, home.value("SELECT to_regclass('facts')")) == (0, None), said
    assert "rows: about" in printed
    assert home.cut(BEGUN, *THERE) == -9, "it ended before it was killed"
    code, said = home.start_of("sqlite")
    assert (code, "is being moved from sqlite to postgres" in said) == (2, True), said
    code, said = home.start_of("postgres")
    assert (code, "migration from sqlite has not ended" in said) == (2, True), said
    code, printed, said = home.run(*THERE)
    assert code == 0, said
    assert "Moved" in printed
    code, said = home.start_of("sqlite")
    assert (code, 'set store = "postgres"' in said) == (2, True), said
    code, printed, said = home.run(*THERE)
    assert (code, "was moved from sqlite to postgres before" in printed) == (0, True), said
    with running(home.system("postgres")) as system:
        tenant = on(system, tenant)
        again = batches(tenant, WAITING, scheduled("first", at), key="batch")
        assert again == ids, "a repeated request is the one before"
        assert tenant.get("/v1/users/ada")["attributes"] == {"city": "Rome"}
        expected = sorted([f"first {n}" for n in range(WAITING)] + [f"instance {n}" for n in range(INSTANCES)])
        until(lambda: len(texts(tenant)) >= len(expected), "all messages", 90)
        assert texts(tenant) == expected
        until(lambda: tenant.seen(runs[-1])["status"] == "completed", "the instances to end")
        batches(tenant, 40, scheduled("second", soon(20)))
    (home.folder / "again").mkdir()
    code, printed, said = home.run(*BACK, name="again")
    assert code == 0, said
    code, said = home.start_of("postgres")
    assert (code, 'set store = "sqlite"' in said) == (2, True), said
    with running(home.system("sqlite", "again")) as system:
        tenant = on(system, tenant)
        expected = sorted([*expected, *(f"second {n}" for n in range(40))])
        until(lambda: len(texts(tenant)) >= len(expected), "all messages", 90)
        assert texts(tenant) == expected
        assert api(system).get("/v1/tenants")["data"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--from", "sqlite", "--to", "sqlite"), "name the same engine"),
        (("--from", "sqlite", "--to", "memory"), "--to takes sqlite or postgres, not 'memory'"),
        (("--from", "sqlite", "--to", "postgres"), "There is no installation in"),
        (("--from", "postgres", "--to", "sqlite"), "has no schema yet"),
    ],
)
def test_what_cannot_be_moved_is_one_sentence(home, words, sentence):
    code, printed, said = home.run("migrate-store", *words)
    assert (code, printed) == (2, "")
    assert sentence in said
    assert said.count("\n") == 1


def test_a_trial_cancels_nothing(home):
    code, _, said = home.run(*THERE, "--cancel", "--dry-run")
    assert (code, said) == (2, "clarion: --dry-run changes nothing and --cancel does: give one of them.\n")


def test_a_running_installation_is_not_moved(home):
    with running(home.system("sqlite")):
        code, _, said = home.run(*THERE)
        assert (code, "while another process has the journal open" in said) == (2, True), said
    code, _, said = home.run(*THERE)
    assert code == 0, said
