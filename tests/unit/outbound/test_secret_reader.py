"""Secrets by reference: read once for all that wait, cached briefly, used on while a store cannot be read."""

import asyncio
import threading

import msgspec
import pytest

from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.limits import SECRET_BYTES_MAX
from clarion.domain.limits_processes import (
    SECRET_AHEAD_MS,
    SECRET_FRESH_MS,
    SECRET_KEPT_MS,
    SECRET_REREAD_MS,
    SECRET_RETRY_MS,
)
from clarion.domain.secret_reference import parse_permissions
from clarion.domain.security_events import SecurityEvent
from clarion.outbound.secrets.reader import SecretReader
from clarion.ports.secret_stores import SecretUnavailable

ACCOUNT = Account("acme", "mail", Channel.EMAIL, "sendgrid", 1, {}, {"api_key": {"from": "env:KEY"}, "user": "us"},
                  references=("api_key",))  # fmt: skip


class Shelf:
    """A store of one secret, which can be away. `gate` holds reads."""

    def __init__(self, value=b"first"):
        self.value, self.reads, self.gate = value, 0, None

    def read(self, place, root):
        self.reads += 1
        if self.gate is not None:
            self.gate.wait(5)
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


class Wall:
    def __init__(self):
        self.at_ms = 1_000_000

    def monotonic_ms(self):
        return self.at_ms


class Events:
    def __init__(self):
        self.seen = []

    def security(self, event, **fields):
        self.seen.append((event, fields))


class Bench:
    def __init__(self):
        self.shelf, self.wall, self.events = Shelf(), Wall(), Events()
        allowed = parse_permissions(["acme env:*"], "secrets.allow")
        self.reader = SecretReader({"env": self.shelf}, allowed, self.wall, self.events)

    async def key(self, account=ACCOUNT):
        """Return the value that a delivery uses now, and let reads in the background end."""
        found = self.reader.held(account) or await self.reader.resolve(account)
        await asyncio.gather(*self.reader._reads.values())
        return found.credentials["api_key"]


@pytest.fixture
async def bench():
    made = Bench()
    yield made
    await made.reader.close()


async def test_a_reference_becomes_its_value_and_other_credentials_stay(bench):
    found = await bench.reader.resolve(ACCOUNT)
    assert (found.credentials, found.references) == ({"api_key": "first", "user": "us"}, ())
    assert bench.reader.held(ACCOUNT) is found
    assert "first" not in repr(vars(bench.reader))


async def test_all_that_wait_share_one_read(bench):
    bench.shelf.gate = threading.Event()
    waiting = [asyncio.create_task(bench.reader.resolve(ACCOUNT)) for _ in range(50)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    bench.shelf.gate.set()
    found = await asyncio.gather(*waiting[1:])
    assert {one.credentials["api_key"] for one in found} == {"first"}
    assert bench.shelf.reads == 1


async def test_a_changed_secret_is_used_within_its_time_without_waiting(bench):
    assert await bench.key() == "first"
    bench.shelf.value = b"second"
    bench.wall.at_ms += SECRET_AHEAD_MS - 1
    assert (await bench.key(), bench.shelf.reads) == ("first", 1)
    bench.wall.at_ms += 1
    assert (await bench.key(), bench.shelf.reads) == ("first", 2)
    assert (await bench.key(), bench.shelf.reads) == ("second", 2)


async def test_after_a_quiet_time_the_first_use_waits_for_the_new_value(bench):
    await bench.key()
    bench.shelf.value = b"second"
    bench.wall.at_ms += SECRET_FRESH_MS
    assert await bench.key() == "second"


async def test_an_unchanged_value_leaves_the_account_the_same_object(bench):
    before = await bench.reader.resolve(ACCOUNT)
    bench.wall.at_ms += SECRET_FRESH_MS
    assert await bench.reader.resolve(ACCOUNT) is before


async def test_the_last_value_is_used_for_a_time_while_the_store_is_away(bench):
    await bench.key()
    bench.shelf.value = OSError("with the s3cret in it")
    bench.wall.at_ms += SECRET_FRESH_MS
    assert (await bench.key(), bench.shelf.reads) == ("first", 2)
    assert (await bench.key(), bench.shelf.reads) == ("first", 2)
    bench.wall.at_ms += SECRET_RETRY_MS
    assert (await bench.key(), bench.shelf.reads) == ("first", 3)
    bench.wall.at_ms += SECRET_KEPT_MS - SECRET_FRESH_MS - SECRET_RETRY_MS
    with pytest.raises(SecretUnavailable) as found:
        await bench.key()
    assert str(found.value) == ("secret_unavailable: credentials.api_key: the secret env:KEY cannot be read (OSError)")
    fields = {"tenant": "acme", "reason": "secret_unavailable", "subject": "env:KEY"}
    assert set(map(str, bench.events.seen)) == {str((SecurityEvent.SECRET_UNAVAILABLE, fields))}
    bench.shelf.value = b"second"
    bench.wall.at_ms += SECRET_RETRY_MS
    assert await bench.key() == "second"


async def test_a_store_that_hangs_stops_nobody_who_has_a_value(bench):
    await bench.key()
    bench.shelf.gate = threading.Event()
    bench.wall.at_ms += SECRET_AHEAD_MS
    found = await bench.reader.resolve(ACCOUNT)
    assert found.credentials["api_key"] == "first"
    bench.shelf.gate.set()


async def test_a_store_that_hangs_is_given_up_in_time(bench, monkeypatch):
    monkeypatch.setattr("clarion.outbound.secrets.reader.SECRET_READ_MS_MAX", 1)
    bench.shelf.gate = threading.Event()
    with pytest.raises(SecretUnavailable, match="not read in time"):
        await bench.key()
    bench.shelf.gate.set()


async def test_a_missing_secret_is_not_read_for_each_delivery(bench):
    bench.shelf.value = SecretUnavailable("secret_missing", "is not there")
    for _ in range(20):
        with pytest.raises(SecretUnavailable, match=r"secret_missing: credentials\.api_key"):
            await bench.key()
    assert bench.shelf.reads == 1


async def test_a_refused_secret_is_read_again_once(bench):
    used = await bench.reader.resolve(ACCOUNT)
    bench.shelf.value = b"second"
    assert await bench.reader.reread(ACCOUNT, used) is None
    bench.wall.at_ms += SECRET_REREAD_MS
    again = await asyncio.gather(*(bench.reader.reread(ACCOUNT, used) for _ in range(20)))
    assert {one.credentials["api_key"] for one in again} == {"second"}
    assert bench.shelf.reads == 2


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b"", "secret_empty"),
        (b"x" * (SECRET_BYTES_MAX + 1), "secret_too_large"),
        (b"s3cret\xff", "secret_not_text"),
        (b"s3cret\x00", "secret_not_text"),
        (b'{"from": "env:s3cret"}', "secret_is_reference"),
    ],
)
async def test_a_secret_that_cannot_be_one_is_refused_without_its_content(bench, value, code):
    bench.shelf.value = value
    with pytest.raises(SecretUnavailable) as found:
        await bench.key()
    assert (found.value.code, found.value.field, found.value.reference) == (code, "credentials.api_key", "env:KEY")
    assert "s3cret" not in str(found.value)


async def test_a_tenant_reads_nothing_that_it_is_not_permitted(bench):
    other = msgspec.structs.replace(ACCOUNT, tenant="other")
    await bench.key()
    with pytest.raises(SecretUnavailable, match="secret_not_permitted"):
        await bench.key(other)
    assert bench.shelf.reads == 1


async def test_an_unknown_store_is_named(bench):
    other = msgspec.structs.replace(ACCOUNT, credentials={"api_key": {"from": "vault:kv/a#b"}})
    with pytest.raises(SecretUnavailable, match=r"secret_store_unknown: .* the secret vault:kv/a#b .*there is env"):
        await bench.key(other)


async def test_a_check_reads_now_and_accepts_no_earlier_value(bench):
    await bench.key()
    bench.shelf.value = b"second"
    assert (await bench.reader.check("acme", ACCOUNT.credentials, "credentials"))["api_key"] == "second"
    bench.shelf.value = b""
    with pytest.raises(SecretUnavailable, match="secret_empty"):
        await bench.reader.check("acme", ACCOUNT.credentials, "credentials")
