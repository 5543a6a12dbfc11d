"""Every request asks for the quotas of its tenant: they are read once, however many requests come, until the tenant changes."""

from clarion.domain.quota import TENANT, Quota
from clarion.ways_in.http import known_quotas
from clarion.ways_in.http.known_quotas import KnownQuotas


class CountedDirectory:
    """Quotas of tenants, how often they were read, and whether changes of others are noticed."""

    def __init__(self):
        self.rates, self.revisions, self.reads, self.is_fresh = {}, {}, [], True

    def change(self, tenant, rate):
        self.rates[tenant] = rate
        self.revisions[tenant] = self.revision(tenant) + 1

    async def quotas(self, tenant):
        self.reads.append(tenant)
        return {TENANT: Quota(requests_per_s=self.rates[tenant])} if tenant in self.rates else {}

    def revision(self, tenant):
        return self.revisions.get(tenant, 0)

    def is_current(self):
        return self.is_fresh


async def test_quotas_are_read_once_and_again_when_the_tenant_changed():
    directory = CountedDirectory()
    known = KnownQuotas(directory)
    for _ in range(3):
        assert await known.of("acme") == await known.of("other") == {}
    assert directory.reads == ["acme", "other"]
    directory.change("acme", 7)
    for _ in range(2):
        assert (await known.of("acme"))[TENANT].requests_per_s == 7
        assert await known.of("other") == {}
    assert directory.reads == ["acme", "other", "acme"]


async def test_quotas_are_read_each_time_while_changes_cannot_be_noticed():
    directory = CountedDirectory()
    known = KnownQuotas(directory)
    await known.of("acme")
    directory.is_fresh = False
    directory.rates["acme"] = 7
    assert (await known.of("acme"))[TENANT].requests_per_s == 7


async def test_a_bounded_number_of_tenants_is_kept(monkeypatch):
    monkeypatch.setattr(known_quotas, "REQUEST_RATES_KEPT_MAX", 2)
    directory = CountedDirectory()
    known = KnownQuotas(directory)
    for tenant in ("a", "b", "c", "c"):
        await known.of(tenant)
    assert directory.reads == ["a", "b", "c"]
    await known.of("a")
    assert directory.reads[-1] == "a"
