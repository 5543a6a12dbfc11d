"""Credentials of open connections are looked at when they may have ended, whoever else is connected."""

from clarion.domain.token_key import TokenKey
from clarion.gateway.credentials import Credentials


class Holder:
    def __init__(self, tenant="acme", generation=0, expires_ms=1_000_000):
        self.tenant, self.generation, self.expires_ms = tenant, generation, expires_ms


KEY = TokenKey()


def gateway(*clients, key=KEY):
    credentials = Credentials()
    for client in clients:
        credentials.add(client)
    assert credentials.ended(clients, {"acme": key}, 1) == []
    return credentials


def test_a_token_ends_at_its_time():
    early, late = Holder(expires_ms=9_000), Holder(expires_ms=9_001)
    credentials = gateway(early, late)
    assert credentials.ended([early, late], {"acme": KEY}, 9_000) == [early]
    credentials.discard(early)
    assert credentials.ended([late], {"acme": KEY}, 9_000) == []
    assert credentials.ended([late], {}, 9_001) == [late]  # also while the key cannot be read


def test_tokens_of_a_key_that_was_replaced_end_for_all_of_its_tenant():
    one, other = Holder(), Holder("other")
    credentials = gateway(one, other)
    assert credentials.ended([one, other], {"acme": TokenKey(1), "other": KEY}, 2) == [one]


def test_tokens_of_the_key_before_end_when_its_time_is_over():
    one = Holder()
    credentials = gateway(one)
    assert credentials.ended([one], {"acme": TokenKey(1, 50)}, 2) == []
    assert credentials.ended([one], {"acme": TokenKey(1, 50)}, 49) == []
    assert credentials.ended([one], {"acme": TokenKey(1, 50)}, 51) == [one]


def test_one_who_comes_with_an_old_token_after_the_change_is_found():
    credentials = gateway(Holder(generation=1), key=TokenKey(1))
    late = Holder()
    credentials.add(late)
    assert credentials.ended([late], {}, 3) == []  # the key could not be read: it is looked at again
    assert credentials.ended([late], {"acme": TokenKey(1)}, 4) == [late]


def test_nobody_else_is_looked_at():
    credentials = gateway(Holder())
    assert credentials.ended(_never(), {"acme": KEY}, 5) == []


def test_a_client_that_left_is_forgotten():
    one = Holder(expires_ms=5)
    credentials = Credentials()
    credentials.add(one)
    credentials.discard(one)
    assert credentials.ended([], {"acme": TokenKey(9)}, 100) == []
    assert credentials._expiring == {}


def _never():
    raise AssertionError("looked at all")
    yield
