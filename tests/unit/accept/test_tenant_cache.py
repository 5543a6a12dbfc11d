"""Intake's cache of tenants: entries are current, are dropped when they change, and never exceed the bound."""

import pytest

from clarion.accept import gather_tenants
from clarion.accept.definitions import NO_NAMES
from clarion.accept.gather_tenants import TenantSnapshots
from clarion.domain.content import Category, Template
from clarion.domain.quota import TENANT, Quota
from tests.contract.controls import ControlPlane, migrated
from tests.registries import categories_of, templates_of
from tests.unit.accept.harness import ONE, IntakeHarness

T = "acme"
WANTS = NO_NAMES._replace(templates=["hello"], topics=["fans", "none"])


class CallCounter:
    """A directory that records its calls."""

    def __init__(self, directory):
        self._directory = directory
        self.asked = []

    def __getattr__(self, name):
        if name not in ("revision", "is_current"):
            self.asked.append(name)
        return getattr(self._directory, name)


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    return migrated(tmp_path_factory.mktemp("empty"))


@pytest.fixture(params=["memory", "sqlite"])
async def installation(request, empty, tmp_path):
    installation = ControlPlane.copy_of(empty, tmp_path, request.param)
    await installation.control.tenants.put(T, "Acme")
    await categories_of(installation.control).put(T, Category("news"))
    await installation.control.topics.put(T, "fans", "")
    await templates_of(installation.control).put(T, Template("hello", 0, "news", {"sms": {"body": "Hi"}}))
    installation.settle()
    yield installation
    await installation.close()


async def load(tenants, tenant=T, wants=WANTS):
    known = tenants.snapshot(tenant)
    await tenants.load_definitions(tenant, known, wants)
    if known.quotas is None:
        await tenants.load_quotas(tenant, known)
    return known


def counted(tenants):
    return sum(1 + held.values.size() for held in tenants._known._tenants.values())


async def test_known_definitions_are_not_read_again_and_missing_ones_are(installation):
    counted = CallCounter(installation.directory)
    tenants = TenantSnapshots(counted)
    await counted.refresh()
    known = await load(tenants)
    assert known.definitions.topics == {"fans"}
    assert known.definitions.templates["hello"].category == "news"
    assert set(known.definitions.categories) == {"news"}
    assert counted.asked == ["refresh", "templates", "topics", "categories", "quotas"]
    assert await load(tenants) is known
    assert counted.asked[5:] == ["topics"], "unknown names are not cached"


async def test_a_change_by_this_process_counts_at_once_and_affects_no_other_tenant(installation):
    await installation.control.tenants.put("other", "Other")
    tenants = TenantSnapshots(installation.directory)
    await installation.directory.refresh()
    theirs = await load(tenants, "other")
    before = await load(tenants)
    await installation.control.quotas.put(T, TENANT, Quota(daily=5))
    await categories_of(installation.control).put(T, Category("news", critical=True))
    known = await load(tenants)
    assert known is not before
    assert known.quotas == {TENANT: Quota(daily=5)}
    assert known.definitions.categories["news"].critical
    assert tenants.snapshot("other") is theirs


async def test_a_definition_that_changes_during_its_read_is_read_again(installation):
    tenants = TenantSnapshots(installation.directory)
    known = tenants.snapshot(T)
    await categories_of(installation.control).put(T, Category("news", critical=True))
    await tenants.load_definitions(T, known, WANTS)
    assert tenants.snapshot(T) is not known


async def test_changes_by_other_processes_count_after_a_refresh(installation):
    if installation.backend == "memory":
        pytest.skip("one process has it all")
    other = ControlPlane(installation.data_dir, installation.clock, installation.backend)
    tenants = TenantSnapshots(other.directory)
    await other.directory.refresh()
    await load(tenants)
    await installation.control.quotas.put(T, TENANT, Quota(daily=5))
    assert (await load(tenants)).quotas == {}
    installation.settle()  # and no other task refreshes
    assert (await load(tenants)).quotas == {TENANT: Quota(daily=5)}
    await other.close()


async def test_the_number_of_cached_definitions_is_bounded_over_all_tenants(installation, monkeypatch):
    monkeypatch.setattr(gather_tenants, "INTAKE_DEFINITIONS_MAX", 9)
    tenants = TenantSnapshots(installation.directory)
    await installation.directory.refresh()
    for number in range(20):
        await load(tenants, f"tenant-{number}")
        await load(tenants)
        assert counted(tenants) == tenants._known._count <= 9
    await installation.control.topics.put(T, "more", "")
    await load(tenants)
    assert counted(tenants) == tenants._known._count


async def test_a_removed_definition_is_refused_from_then_on(installation):
    harness = IntakeHarness(installation.directory)
    body = {"to": {"phone": "+4915112345678"}, "template": "hello"}
    assert (await harness.post(ONE, body)).status == 202
    await templates_of(installation.control).remove(T, "hello")
    with pytest.raises(Exception, match="unknown template 'hello'"):
        await harness.post(ONE, body)
