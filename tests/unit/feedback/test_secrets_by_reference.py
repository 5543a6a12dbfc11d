"""Receipts of an account whose secrets are given by reference are verified with the current values."""

import msgspec
import pytest

from clarion.domain.errors import Overloaded
from clarion.ports.secret_stores import SecretUnavailable
from tests.stages.virtual import run
from tests.unit.feedback.test_worker import FeedbackStage


class Vault:
    def __init__(self, value):
        self.value = value

    async def resolve(self, account):
        if self.value is None:
            raise SecretUnavailable("secret_missing", "is not there")
        return msgspec.structs.replace(account, credentials={"key": self.value}, references=())


def staged(value):
    stage = FeedbackStage()
    stage.owner = msgspec.structs.replace(
        stage.owner, credentials={"key": {"from": "env:KEY"}}, references=("key",)
    )  # fmt: skip
    seen = []
    stage.vendor.read_receipts = lambda call, account, **more: seen.append(account.credentials) or []
    stage.feedback._secrets = Vault(value)
    return stage, seen


def test_the_vendor_gets_the_value():
    stage, seen = staged("value")
    assert run(stage.receive()) == ""
    assert seen == [{"key": "value"}]


def test_without_its_secret_nothing_is_believed_and_the_provider_calls_again():
    stage, seen = staged(None)
    with pytest.raises(Overloaded, match="cannot be verified now"):
        run(stage.receive())
    assert seen == []
