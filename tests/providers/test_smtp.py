"""SMTP messages, beyond the battery's checks of every vendor."""

from email import message_from_bytes, policy

import pytest

from clarion.control.providers.fields import check_fields
from clarion.domain.errors import InvalidField
from clarion.domain.message import SmtpRequest
from clarion.providers.email import smtp
from tests.providers import battery

TABLE = battery.tables()["email_smtp"]


def headers(**parts: str) -> tuple[str, str | None]:
    request = battery.build(smtp, TABLE, parts={"subject": "s", "text": "t", **parts})
    assert isinstance(request, SmtpRequest)
    mail = message_from_bytes(request.payload, policy=policy.default)
    return mail["From"].addresses[0].display_name, mail["Reply-To"]


def test_a_template_names_its_sender():
    assert headers(from_name="Ada from Shop", reply_to="help@shop.example") == ("Ada from Shop", "help@shop.example")


def test_without_one_the_account_does():
    settings = TABLE["account"]["settings"]
    assert headers() == (settings.get("from_name", ""), settings.get("reply_to"))


SIGNING = battery.tables()["email_smtp_dkim"]["account"]


def test_a_signing_account_can_be_stored():
    check_fields(smtp.TRAITS.settings, SIGNING["settings"], "settings", secret=False)
    for text in (
        SIGNING["credentials"]["dkim_private_key"],
        battery.rsa_pem(),
        battery.rsa_pem().replace("\n", "\r\n"),
    ):
        check_fields(smtp.TRAITS.credentials, {"dkim_private_key": text}, "credentials", secret=True)


@pytest.mark.parametrize("name", ["dkim_domain", "dkim_selector"])
def test_names_that_no_record_can_have_are_refused_when_they_are_stored(name):
    with pytest.raises(InvalidField, match="does not match"):
        check_fields(smtp.TRAITS.settings, {**SIGNING["settings"], name: "a b"}, "settings", secret=False)


def test_what_is_no_key_is_refused_when_it_is_stored_and_not_repeated():
    with pytest.raises(InvalidField) as caught:
        check_fields(smtp.TRAITS.credentials, {"dkim_private_key": "canary"}, "credentials", secret=True)
    assert "canary" not in str(caught.value)
    assert "canary" not in repr(caught.value)
