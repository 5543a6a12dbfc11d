"""Secrets in AWS Secrets Manager against moto, which checks signatures and policies as AWS does."""

import contextlib
import json
from itertools import count

import botocore.session
import pytest
import requests

from clarion.domain.limits import SECRET_BYTES_MAX
from clarion.outbound.secrets.aws import AwsAccess, AwsStore
from clarion.ports.secret_stores import SecretUnavailable

REGION = "eu-central-1"
READ = {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": "*"}
TAGS = count()


class Account:
    """An administrator of an AWS account, who makes users that may read secrets, or not."""

    def __init__(self, moto):
        self._moto = moto
        self.secrets, self.iam = self._client("secretsmanager"), self._client("iam")

    def _client(self, service):
        session = botocore.session.get_session()
        session.set_credentials("AKIA" + "0" * 16, "x")
        return session.create_client(service, region_name=REGION, endpoint_url=self._moto)

    def put(self, value, **given):
        """Store a secret; return its name and ARN."""
        name = f"acme/mail-{next(TAGS)}"
        kind = "SecretBinary" if isinstance(value, bytes) else "SecretString"
        return name, self.secrets.create_secret(Name=name, **{kind: value}, **given)["ARN"]

    def reader(self, *statements):
        """Return the store of a new user with a policy of these statements."""
        name = f"clarion-{next(TAGS)}"
        self.iam.create_user(UserName=name)
        key = self.iam.create_access_key(UserName=name)["AccessKey"]
        if statements:
            policy = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
            self.iam.put_user_policy(UserName=name, PolicyName="read", PolicyDocument=policy)
        return self.store(key["AccessKeyId"], key["SecretAccessKey"])

    @contextlib.contextmanager
    def checking(self):
        """Have moto check signatures and policies."""
        before = self._check(b"0")
        try:
            yield
        finally:
            self._check(before)

    def _check(self, calls):
        """Have moto check all but the next calls; return how many those were before."""
        plain = {"content-type": "text/plain"}
        answer = requests.post(f"{self._moto}/moto-api/reset-auth", calls, headers=plain, timeout=10)
        return answer.json()["PREVIOUS_INITIAL_NO_AUTH_ACTION_COUNT"].encode()

    def store(self, id_, secret):
        """Return the store of an access key."""
        store = AwsStore(AwsAccess(REGION, self._moto))
        store._session.set_credentials(id_, secret)
        return store


@pytest.fixture(scope="module")
def account(moto):
    return Account(moto)


def refused(store, place, code):
    with pytest.raises(SecretUnavailable) as found:
        store.read(place, "")
    assert found.value.code == code
    assert "s3cret" not in str(found.value)
    return found.value.words


def test_secrets_are_read_by_name_and_by_arn_as_they_are_now(account):
    name, arn = account.put("s3cret ü")
    store = account.reader(READ)
    assert store.read(name, "") == store.read(arn, "") == "s3cret ü".encode()
    account.secrets.put_secret_value(SecretId=name, SecretString="rotated")
    assert store.read(name, "") == b"rotated"


def test_fields_binaries_and_the_largest_are_read(account):
    store = account.reader(READ)
    fields, _ = account.put(json.dumps({"key": "s3cret", "number": 7}))
    assert store.read(f"{fields}#key", "") == b"s3cret"
    refused(store, f"{fields}#none", "secret_missing")
    refused(store, f"{fields}#number", "secret_not_text")
    assert store.read(account.put(b"\xff\x00")[0], "") == b"\xff\x00"
    assert len(store.read(account.put("x" * SECRET_BYTES_MAX)[0], "")) == SECRET_BYTES_MAX


def test_what_is_not_there_or_going_to_be_deleted_is_missing(account):
    store = account.reader(READ)
    refused(store, "acme/none", "secret_missing")
    name, _ = account.put("s3cret")
    account.secrets.delete_secret(SecretId=name, RecoveryWindowInDays=7)
    refused(store, name, "secret_missing")
    account.secrets.restore_secret(SecretId=name)
    assert store.read(name, "") == b"s3cret"


def test_policies_and_signatures_are_checked(account):
    name, _ = account.put("s3cret")
    allowed, denied = account.reader(READ), account.reader()
    other = account.reader({**READ, "Resource": "arn:aws:secretsmanager:*:*:secret:other/*"})
    key = allowed._session.get_credentials().get_frozen_credentials()
    with account.checking():
        assert allowed.read(name, "") == b"s3cret"
        for store in (
            denied,
            other,
            account.store(key.access_key, "s3cret-wrong"),
            account.store("AKIA" + "1" * 16, "x"),
        ):
            assert "refuses this installation" in refused(store, name, "secret_unavailable")


def test_a_server_that_is_not_there_may_come_back(account):
    store = account.reader(READ)
    store._access = AwsAccess(REGION, "http://127.0.0.1:1")
    refused(store, "acme/mail", "secret_unavailable")
