"""SES and SNS against moto, which checks signatures and policies as AWS does, and against AWS' own description of the API.

Moto has neither `SendBulkEmail` nor `GetAccount`, neither numbers that have opted out at `Publish` nor throttling: our
requests are checked by the description and the library's signature, the responses by the tables.
"""

import json
import re
import time
from types import SimpleNamespace
from urllib.parse import urlencode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.attachment import Attachment
from clarion.domain.message import HttpRequest
from clarion.domain.outcome import Accepted, Misconfigured, Refused
from clarion.outbound.net.http import GuardedHttp
from clarion.providers import sigv4
from clarion.providers.email import ses
from clarion.providers.sms import sns
from tests.peers import processes
from tests.providers import battery

REGION = "eu-central-1"
FORM = {"content-type": "application/x-www-form-urlencoded"}
POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["ses:*", "sns:*"], "Resource": "*"}]}


def now_ms():
    return time.time_ns() // 1_000_000


@pytest.fixture
async def http():
    http = GuardedHttp(("127.0.0.0/8",), allow_plain=True)
    yield http
    await http.close()


def of(vendor, moto, settings=None, **credentials):
    """Return the account of a vendor's table, with moto as its endpoint."""
    name = {"ses": "email_ses", "sns": "sms_sns"}[vendor.TRAITS.vendor]
    account = battery.account(battery.tables()[name])
    changed = {**account.settings, "region": REGION, "base_url": moto, **(settings or {})}
    return msgspec.structs.replace(account, settings=changed, credentials=credentials)


@pytest.fixture
async def aws(moto, http):
    """Yield functions that send and verify with a user's key, from a verified domain."""
    blank = {"access_key_id": "AKIA" + "0" * 16, "secret_access_key": "x"}
    assert (await http.send(HttpRequest("POST", f"{moto}/moto-api/reset", {}, b""))).status == 200

    async def iam(**given_):
        body = urlencode({"Version": "2010-05-08", "UserName": "clarion", **given_}).encode()
        request = sigv4.signed(HttpRequest("POST", f"{moto}/", FORM, body), of(sns, moto, **blank), "iam", now_ms())
        response = await http.send(request)
        assert response.status == 200, response.body
        return response.body.decode()

    await iam(Action="CreateUser")
    made = await iam(Action="CreateAccessKey")
    await iam(Action="PutUserPolicy", PolicyName="send", PolicyDocument=json.dumps(POLICY))
    id_, secret = (re.search(f"<{name}>(.*?)</", made)[1] for name in ("AccessKeyId", "SecretAccessKey"))
    key = {"access_key_id": id_, "secret_access_key": secret}
    domain = HttpRequest("POST", f"{moto}/v2/email/identities", {}, b'{"EmailIdentity": "shop.example"}')
    assert (await http.send(sigv4.signed(domain, of(ses, moto, **key), "ses", now_ms()))).status == 200
    strict = HttpRequest("POST", f"{moto}/moto-api/reset-auth", {"content-type": "text/plain"}, b"0")
    previous = msgspec.json.decode((await http.send(strict)).body)["PREVIOUS_INITIAL_NO_AUTH_ACTION_COUNT"]

    async def send(vendor, message, settings=None, **credentials):
        account = of(vendor, moto, settings, **(key | credentials))
        response = await http.send(vendor.build(message, account, now_ms=now_ms(), token=None))
        return vendor.read(response, message, account, now_ms=now_ms())

    async def verify(vendor, **credentials):
        account = of(vendor, moto, **(key | credentials))
        return vendor.read_verify(await http.send(vendor.verify_request(account, now_ms=now_ms(), token=None)), account)

    async def recorded():
        response = await http.send(
            HttpRequest("GET", f"{moto}/moto-api/data.json", {}, b"", answer_bytes_max=50_000_000)
        )
        return msgspec.json.decode(response.body)

    yield SimpleNamespace(send=send, verify=verify, recorded=recorded, key=key, http=http, moto=moto)
    await http.send(msgspec.structs.replace(strict, body=previous.encode()))


def mail(**changes):
    return battery.message(battery.tables()["email_ses"], **changes)


def text(**changes):
    return battery.message(battery.tables()["sms_sns"], **changes)


async def test_ses_takes_an_email_and_keeps_what_was_written(aws):
    outcome = await aws.send(ses, mail())
    assert isinstance(outcome, Accepted), outcome
    [recorded] = (await aws.recorded())["ses"]["Message"]
    assert recorded["id"] == outcome.vendor_message_id
    assert recorded["subject"] == "Your order 📦"
    assert recorded["destinations"] == {"ToAddresses": ["ada@xn--bcher-kva.example"]}
    assert recorded["source"].endswith("<news@shop.example>")


async def test_ses_refuses_a_sender_that_is_not_verified_as_the_accounts_fault(aws):
    outcome = await aws.send(ses, mail(), settings={"from_email": "news@other.example"})
    assert isinstance(outcome, Misconfigured), outcome
    assert "not verified" in outcome.detail


@pytest.mark.parametrize("vendor", [ses, sns])
@pytest.mark.parametrize("wrong", [{"secret_access_key": "x" * 40}, {"access_key_id": "AKIA" + "X" * 16}])
async def test_a_wrong_key_or_signature_is_the_accounts_fault(aws, vendor, wrong):
    outcome = await aws.send(vendor, mail() if vendor is ses else text(), **wrong)
    assert isinstance(outcome, Misconfigured), outcome


@pytest.mark.parametrize("body", ["Grüße: 5 + 5 & more = 10 %", "שלום 🎉", "a b+c%20~*'()"])
async def test_sns_takes_a_text_to_the_letter(aws, body):
    outcome = await aws.send(sns, text(parts={"body": body}))
    assert isinstance(outcome, Accepted), outcome
    recorded = (await aws.recorded())["sns"]["SMS"][-1]
    assert recorded == {"message_id": outcome.vendor_message_id, "phone_number": "+4915112345678", "message": body}


async def test_a_number_that_sns_refuses_in_other_words_than_aws_own_stays_alive(aws):
    account, message = of(sns, aws.moto, **aws.key), text()
    request = sns.build(message, account, now_ms=now_ms(), token=None)
    wrong = HttpRequest("POST", request.url, FORM, request.body.replace(b"%2B49151", b"0151"))
    response = await aws.http.send(sigv4.signed(wrong, account, "sns", now_ms()))
    assert b"<Code>InvalidParameter</Code>" in response.body
    outcome = sns.read(response, message, account, now_ms=now_ms())
    assert isinstance(outcome, Refused), outcome


async def test_accounts_are_verified_without_sending(aws):
    assert await aws.verify(sns) is None
    assert isinstance(await aws.verify(sns, secret_access_key="x" * 40), Misconfigured)
    assert isinstance(await aws.verify(sns, access_key_id="AKIA" + "X" * 16), Misconfigured)
    assert (await aws.recorded())["sns"]["SMS"] == []


async def test_where_there_is_no_bulk_call_messages_go_one_by_one(aws):
    messages = [mail(delivery_id=f"dlv_{n:048x}", address=f"user{n}@shop.example") for n in range(3)]
    account = of(ses, aws.moto, **aws.key)
    response = await aws.http.send(ses.build_batch(messages, account, now_ms=now_ms(), token=None))
    assert ses.read_batch(response, messages, account, now_ms=now_ms()) is None
    assert all([isinstance(await aws.send(ses, message), Accepted) for message in messages])


def requests():
    """Return one request of each kind with the operation that it calls."""
    account = of(ses, "https://email.eu-central-1.amazonaws.com", access_key_id="A" * 16, secret_access_key="s/+=")
    when = {"now_ms": battery.NOW_MS, "token": None}
    invoice = Attachment("Rechnung ü.pdf", content=b"%PDF")
    logo = Attachment("logo.png", content=b"PNG", cid="logo@shop.example")
    files = msgspec.structs.replace(mail(), attachments=(invoice, logo))
    linked = mail(unsubscribe_url="https://shop.example/u/1?t=a%2Fb", metadata={})
    batch = [mail(delivery_id=f"dlv_{n:048x}", address=f"user{n}@shop.example") for n in range(50)]
    return [
        ("SendEmail", ses.build(mail(), account, **when), account),
        ("SendEmail", ses.build(files, account, **when), account),
        ("SendEmail", ses.build(linked, account, **when), account),
        ("SendBulkEmail", ses.build_batch(batch, account, **when), account),
        ("GetAccount", ses.verify_request(account, **when), account),
    ]


@pytest.mark.parametrize(("operation", "request_", "account"), requests())
def test_every_call_of_ses_is_one_that_aws_own_library_could_have_made(peer, operation, request_, account):
    body = msgspec.json.decode(request_.body) if request_.body else {}
    assert peer.says("aws_input_flaws", service="sesv2", operation=operation, given=body) == ""
    made = {"method": request_.method, "url": request_.url, "headers": request_.headers}
    made["body"] = processes.base64_of(request_.body)
    said = peer.says("aws_signature", request=made, service="ses", region=REGION, secret="s/+=")
    assert request_.headers["authorization"].endswith(f"Signature={said}")


@given(
    text_=st.text(st.characters(codec="utf-8"), min_size=1, max_size=50).filter(str.strip),
    secret=st.text("aZ9/+=", min_size=1, max_size=40),
    token=st.text("aZ9/+=", max_size=60),
    base=st.sampled_from(
        [
            None,
            "https://proxy.example:8443/aws//x",
            "https://proxy.example/a/./b/../~c%20d",
            "http://localhost:80",
            "https://Proxy.example:443",
        ]
    ),
)
def test_texts_are_signed_as_aws_own_library_would(peer, text_, secret, token, base):
    key = {"access_key_id": "A" * 16, "secret_access_key": secret} | ({"session_token": token} if token else {})
    request = sns.build(text(parts={"body": text_}), of(sns, base, **key), now_ms=battery.NOW_MS, token=None)
    made = {"method": request.method, "url": request.url, "headers": request.headers}
    made["body"] = processes.base64_of(request.body)
    said = peer.says("aws_signature", request=made, service="sns", region=REGION, secret=secret)
    assert request.headers["authorization"].endswith(f"Signature={said}")
