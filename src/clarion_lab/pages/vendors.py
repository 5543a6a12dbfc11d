"""docs/providers: a page per vendor. The blocks between markers are generated from the code; the rest of a page is
written by hand and not changed.

`python -m clarion_lab.pages.vendors docs/providers` writes all pages, and the index in README.md; with `--check` it writes
nothing and names those that are stale.
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from clarion.domain.channel import CHANNELS
from clarion.domain.fitting import SPOKEN as UNITS
from clarion.ports.vendor import Field, Traits, Vendor
from clarion.providers import catalogue
from clarion_lab.pages.outcomes import outcomes_block

RENEW: Final = "make vendor-pages"
INDEX: Final = "README.md"
SPOKEN: Final = {
    "email": "e-mail",
    "sms": "SMS",
    "push": "push",
    "webpush": "web push",
    "whatsapp": "WhatsApp",
    "inapp": "in-app",
}
EXAMPLES: Final[Mapping[str, Any]] = {
    "base_url": "https://api.example",
    "domain": "mg.shop.example",
    "from_email": "news@shop.example",
    "host": "mail.shop.example",
    "key_id": "ABC123DEFG",
    "team_id": "DEF123GHIJ",
    "topic": "com.example.shop",
    "account_sid": "AC" + "0" * 32,
    "phone_number_id": "106540352242922",
    "project_id": "shop-1234",
    "client_email": "push@shop-1234.iam.gserviceaccount.com",
    "region": "eu-central-1",
    "sender": "Shop",
    "subject": "mailto:push@shop.example",
    "bot_token": "xoxb-...",
    "url": "discord://webhook-id/webhook-token",
    "access_key_id": "AKIAIOSFODNN7EXAMPLE",
    "secret": "...",
}
"""Values of required fields in an example account; any other required field is `...`."""
BOUND: Final = "; [decides where credentials are sent](../howto/providers.md#credentials-are-bound-to-an-address)"
USUAL: Final = frozenset({("slack", "bot_token"), ("apprise", "url")})
"""Optional fields that an example shows."""
OVER: Final = {"shorten": "shortened", "split": "split into several", "refuse": "refused without a call"}
_BLOCK: Final = re.compile(r"<!-- generated: (\w+) -->\n.*?<!-- end of generated -->", re.DOTALL)
_SKELETON: Final = (
    "<!-- generated: head -->\n<!-- end of generated -->\n\n## Connect it\n\n"
    "<!-- generated: account -->\n<!-- end of generated -->\n\n## Limits\n\n"
    "<!-- generated: limits -->\n<!-- end of generated -->\n\n## What failures do\n\n"
    "<!-- generated: failures -->\n<!-- end of generated -->\n"
)


def pages(folder: Path) -> dict[Path, str]:
    """Return every page with its blocks generated again. A vendor without a page gets one."""
    vendors: dict[str, Vendor] = {vendor: module for (_, vendor), module in catalogue.load().items()}
    found: dict[Path, str] = {}
    for name, vendor in sorted(vendors.items()):
        path = folder / f"{name}.md"
        text = path.read_text(encoding="utf-8") if path.exists() else _SKELETON
        traits = vendor.TRAITS
        blocks = {"head": _head(traits), "account": _account(vendor), "limits": _limits(traits)}
        blocks["failures"] = outcomes_block(vendor)
        found[path] = _filled(text, blocks, path.name)
    index = folder / INDEX
    listed = {"vendors": _index([vendor.TRAITS for vendor in vendors.values()], vendors)}
    found[index] = _filled(index.read_text(encoding="utf-8"), listed, index.name)
    return found


def stale(folder: Path) -> list[str]:
    """Return the names of pages whose blocks differ from the code."""
    now = pages(folder).items()
    return [path.name for path, text in now if not path.exists() or path.read_text(encoding="utf-8") != text]


def _filled(text: str, blocks: dict[str, str], page: str) -> str:
    """Return a page with its blocks. Raises `ValueError` when a block's marker is missing or superfluous."""
    named = _BLOCK.findall(text)
    if sorted(named) != sorted(blocks):
        raise ValueError(f"docs/providers/{page}: the blocks are {named}, and have to be {[*blocks]}")
    return _BLOCK.sub(lambda at: f"<!-- generated: {at[1]} -->\n{blocks[at[1]]}\n<!-- end of generated -->", text)


def _head(traits: Traits) -> str:
    channels = ", ".join(f"`{channel}`" for channel in traits.channels)
    plural = "s" if len(traits.channels) > 1 else ""
    docs = f" [Documentation]({traits.docs})." if traits.docs else ""
    return f"# {traits.title}\n\nVendor `{traits.vendor}` of the channel{plural} {channels}.{docs}"


def _account(vendor: Vendor) -> str:
    """Return the section on the account: an example with the required fields, all fields, and the vendor's
    capabilities."""
    traits = vendor.TRAITS
    sections = []
    if traits.settings or traits.credentials:
        sections = [f"`PUT /v1/providers/{traits.vendor}`, or any other name, with at least:", _example(traits)]
    for what, fields in (("setting", traits.settings), ("credential", traits.credentials)):
        if fields:
            head = f"| {what} | kind | required | default | description | allowed |\n|---|---|---|---|---|---|\n"
            sections.append(head + "\n".join(_row(field, is_setting=what == "setting") for field in fields))
    return "\n\n".join([*sections, _capable(vendor)])


def _example(traits: Traits) -> str:
    body: dict[str, Any] = {"channel": traits.channels[0].value, "vendor": traits.vendor}
    for name, fields in (("credentials", traits.credentials), ("settings", traits.settings)):
        shown = [field.name for field in fields if field.required or (traits.vendor, field.name) in USUAL]
        body[name] = {field: EXAMPLES.get(field, "...") for field in shown}
    lines = [f"  {_json(name)}: {_json(value)}" for name, value in body.items()]
    return "```json\n{\n" + ",\n".join(lines) + "\n}\n```"


def _json(value: Any) -> str:
    compact = msgspec.json.encode(value)
    return msgspec.json.format(compact, indent=0).decode()


def _row(field: Field, *, is_setting: bool) -> str:
    default = f"`{_json(field.default)}`" if field.default is not None else ""
    allowed = f"`{field.pattern}`".replace("|", "\\|") if field.pattern else ""
    if field.kind == "integer":
        allowed = f"{field.least:,} to {field.most:,}"
    about = field.about.replace("|", "\\|") + (BOUND if is_setting and field.is_destination else "")
    return f"| `{field.name}` | {field.kind} | {'yes' if field.required else ''} | {default} | {about} | {allowed} |"


def _limits(traits: Traits) -> str:
    """Return the table of the vendor's content limits, and the treatment of longer content."""
    if not traits.limits:
        return "It declares no bounds of its own."
    lines = ["| of a message | at most | more is | |", "|---|---|---|---|"]
    for limit in traits.limits:
        parts = ", ".join(f"`{part}`" for part in limit.parts)
        unit = UNITS[limit.unit].removesuffix("s") if limit.most == 1 else UNITS[limit.unit]
        most = f"{limit.most:,} {unit}" if limit.most else "what the service takes"
        lines.append(f"| {parts} | {most} | {OVER[limit.over]} | {limit.about} |")
    return "\n".join(lines)


def _capable(vendor: Vendor) -> str:
    traits = vendor.TRAITS
    parts = [f"`{part}`" + (" (required)" if part in traits.required_parts else "") for part in traits.parts]
    after = {"retry": "another attempt", "assume_sent": "assume it was sent", "stop": "give up"}[traits.on_ambiguous]
    rows = {
        "parts it reads": ", ".join(parts) or "all",
        "transport": traits.transport,
        "drops repeats by the delivery id": _yes(traits.idempotent),
        "when no answer came": f"`{traits.on_ambiguous}`: {after}",
        "messages in one call": f"up to {traits.batch_max:,}" if traits.batch_max > 1 else "1",
        "receipts": "[yes](../howto/receipts.md)" if traits.receipts else "no",
        "live check (`?verify=true`)": _yes(_verifiable(vendor)),
    }
    return "| | |\n|---|---|\n" + "\n".join(f"| {name} | {value} |" for name, value in rows.items())


def _verifiable(vendor: Vendor) -> bool:
    return hasattr(vendor, "verify_request")


def _yes(given: bool) -> str:
    return "yes" if given else "no"


def _index(listed: list[Traits], vendors: Mapping[str, Vendor]) -> str:
    """Return the table of all vendors by channel; those for every channel are last."""
    lines = ["| channel | vendor | | receipts | messages a call | live check |", "|---|---|---|---|---|---|"]
    order = sorted(
        listed, key=lambda traits: (len(traits.channels) > 1, CHANNELS.index(traits.channels[0]), traits.vendor)
    )
    for traits in order:
        channel = traits.channels[0].value
        spoken = "all" if len(traits.channels) == len(CHANNELS) else SPOKEN.get(channel, channel)
        lines.append(
            f"| {spoken} | [`{traits.vendor}`]({traits.vendor}.md) | {traits.title} | {_yes(traits.receipts)} |"
            f" {traits.batch_max:,} | {_yes(_verifiable(vendors[traits.vendor]))} |"
        )
    return "\n".join(lines)


def main(words: list[str]) -> int:
    """Write the pages of the folder in the first argument. Return 1 when `--check` found stale ones, else 0."""
    folder = Path(words[0])
    if "--check" in words[1:]:
        found = stale(folder)
        sys.stdout.writelines(f"{name} is stale: {RENEW}\n" for name in found)
        return int(bool(found))
    for path, text in pages(folder).items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
