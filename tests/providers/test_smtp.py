"""SMTP messages, beyond what the battery asks of every vendor."""

from email import message_from_bytes, policy

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
