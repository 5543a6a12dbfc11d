"""Enrichment of an e-mail before it is built: its unsubscribe link, and the files stored elsewhere."""

import asyncio
from types import SimpleNamespace

import msgspec
import pytest

from clarion.control.unsubscribe.links import SealedUnsubscribeLinks
from clarion.deliver.send.worker_email import EmailEnricher, EmailNotReady
from clarion.domain.attachment import Attachment
from clarion.domain.content import Category
from clarion.domain.errors import EgressError, Sent
from clarion.domain.limits_content import ATTACHMENTS_BYTES_MAX
from clarion.domain.limits_delivery import ATTACHMENT_FETCHES_MAX, ATTACHMENT_RETRY_MS_MAX
from clarion.domain.message import HttpResponse
from clarion.domain.outcome import Refused, Throttled
from clarion.outbound.secrets.master_key import FileVault
from clarion.ports.unsubscribe_links import UnsubscribeSubject
from tests.providers import battery
from tests.unit.deliver.test_slow_builds import ROW

LINKS = SealedUnsubscribeLinks(FileVault(bytes(32)), "https://notify.example.com")
CATEGORIES = {("acme", "news"): Category("news"), ("acme", "security"): Category("security", critical=True)}
MESSAGE = battery.message(battery.tables()["email_smtp"])
INVOICE = Attachment("invoice.pdf", url="https://files.example/invoice?signature=secret")


class Web:
    """Answers with the response for a URL, or raises it; records the requests."""

    def __init__(self, *answers):
        self.answers, self.asked, self.under_way, self.most = list(answers), [], 0, 0

    async def send(self, request):
        self.asked.append(request)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        answer = self.answers[min(len(self.asked), len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return msgspec.structs.replace(answer, body=answer.body[: request.answer_bytes_max])


def ok(body=b"%PDF", **headers):
    return HttpResponse(200, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def enricher(web=None, links=LINKS):
    async def categories(names):
        return {name: CATEGORIES[name] for name in names if name in CATEGORIES}

    return EmailEnricher(
        SimpleNamespace(categories=categories, revision=lambda _tenant: 1, is_current=lambda: True), web, links
    )


async def dressed(web=None, *files, links=LINKS, **changes):
    kit, row = enricher(web, links), ROW._replace(attachments=list(files) or None, **changes)
    async with kit.enrich(row, MESSAGE, await kit.unsubscribe_url(row)) as message:
        return message


async def refusal(web, *files, **changes):
    with pytest.raises(EmailNotReady) as error:
        await dressed(web, *files, **changes)
    assert "secret" not in repr(error.value)
    return error.value.outcome


async def test_mail_of_a_category_has_a_link_for_its_recipient():
    for user_id, address in (("ada", ""), ("", "ada@example.org")):
        message = await dressed(category="news", user_id=user_id)
        wanted = UnsubscribeSubject("acme", user_id, address, "news", "email")
        assert LINKS.read(message.unsubscribe_url.rpartition("/")[2]) == wanted


@pytest.mark.parametrize("category", ["", "security", "gone"])
async def test_mail_of_categories_without_opt_out_has_no_link(category):
    assert (await dressed(category=category)) is MESSAGE


async def test_without_links_there_is_none():
    assert (await dressed(category="news", links=None)) is MESSAGE


async def test_files_that_are_there_are_passed_on():
    here = Attachment("a.txt", "", b"x")
    assert (await dressed(None, here)).attachments == (here,)


async def test_files_that_lie_elsewhere_are_fetched_in_order():
    here, logo = Attachment("a.txt", "", b"x"), Attachment("logo.png", "", url="https://files.example/logo", cid="logo")
    web = Web(ok(content_type="application/pdf"), ok(b"png", content_type="text/html; charset"))
    message = await dressed(web, INVOICE, here, logo)
    assert [(file.filename, file.media, file.content, file.cid) for file in message.attachments] == [
        ("invoice.pdf", "application/pdf", b"%PDF", ""), ("a.txt", "text/plain", b"x", ""), ("logo.png", "image/png", b"png", "logo"),
    ]  # fmt: skip
    assert [(one.method, one.url) for one in web.asked] == [("GET", INVOICE.url), ("GET", logo.url)]
    assert not any("authorization" in one.headers for one in web.asked)


async def test_the_type_that_was_given_counts():
    given = msgspec.structs.replace(INVOICE, content_type="application/x-invoice")
    assert (await dressed(Web(ok(content_type="text/html")), given)).attachments[0].media == "application/x-invoice"


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 410, 204])
async def test_a_file_that_is_not_there_ends_the_mail(status):
    outcome = await refusal(Web(HttpResponse(status, {"location": "http://x"}, b"")), INVOICE)
    assert outcome == Refused("attachment_unavailable", f"attachment invoice.pdf: HTTP {status}")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_a_file_that_is_unavailable_is_retried_later(status):
    outcome = await refusal(Web(HttpResponse(status, {}, b"")), INVOICE)
    assert outcome == Throttled(60_000, f"attachment invoice.pdf: HTTP {status}", scope="recipient")


@pytest.mark.parametrize(
    ("attempt", "pause_ms"), [(1, 60_000), (2, 120_000), (5, 960_000), (99, ATTACHMENT_RETRY_MS_MAX)]
)
async def test_retries_of_files_back_off(attempt, pause_ms):
    outcome = await refusal(Web(EgressError("no answer", sent=Sent.MAYBE)), INVOICE, attempt=attempt)
    assert outcome == Throttled(pause_ms, "attachment invoice.pdf: no answer", scope="recipient")


async def test_a_private_address_is_not_asked():
    outcome = await refusal(Web(EgressError("loopback", sent=Sent.NO, blocked=True)), INVOICE)
    assert outcome == Refused("attachment_unavailable", "attachment invoice.pdf: loopback")


async def test_files_are_bounded_together_and_no_more_is_read():
    half = bytes(ATTACHMENTS_BYTES_MAX // 2)
    assert len((await dressed(Web(ok(half)), INVOICE, INVOICE)).attachments) == 2
    web = Web(ok(half), ok(half), ok(b"x"))
    outcome = await refusal(Web(ok(half), ok(half + b"xx")), INVOICE, INVOICE)
    assert (outcome.reason, type(outcome)) == ("attachment_too_large", Refused)
    assert (await refusal(web, INVOICE, INVOICE, INVOICE)).reason == "attachment_too_large"
    assert web.asked[-1].answer_bytes_max == 1
    assert web.asked[0].answer_bytes_max == ATTACHMENTS_BYTES_MAX + 1


async def test_few_mails_with_fetched_files_are_under_way_at_once():
    web, kit = Web(ok()), None
    kit = enricher(web)
    inside, most = 0, 0

    async def one():
        nonlocal inside, most
        async with kit.enrich(ROW._replace(attachments=[INVOICE]), MESSAGE, ""):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(one() for _ in range(5 * ATTACHMENT_FETCHES_MAX)))
    assert most <= ATTACHMENT_FETCHES_MAX
    assert web.most <= ATTACHMENT_FETCHES_MAX
