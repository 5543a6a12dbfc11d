"""`clarion dead-letters`: deliveries that were given up, and replaying them."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from clarion.app.cli.options import Key, Url, remote
from clarion.app.cli.remote import Remote
from clarion.app.cli.send import pair
from clarion.domain.errors import OperatorError

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Deliveries given up.")

Channel = Annotated[str | None, typer.Option(help="only on this channel")]
Reason = Annotated[str | None, typer.Option(help="only for this reason, such as attempts_exhausted")]
Provider = Annotated[str | None, typer.Option(help="only with this account in the newest attempt")]
Template = Annotated[str | None, typer.Option(help="only with this template")]
User = Annotated[str | None, typer.Option("--user", help="only to this user")]


@app.command("list")
def list_letters(
    channel: Channel = None,
    reason: Reason = None,
    provider: Provider = None,
    template: Template = None,
    user: User = None,
    everything: Annotated[bool, typer.Option("--all", help="include replayed ones")] = False,
    limit: Annotated[int, typer.Option(min=1, help="at most this number")] = 50,
    url: Url = None,
    key: Key = None,
) -> None:
    """List dead letters, newest notification first."""
    only = _named(channel=channel, reason=reason, provider=provider, template=template, user_id=user)
    if not everything:
        only["replayed"] = "false"
    table = Table("id", "channel", "reason", "provider", "attempts", "dead at", "detail")
    for number, row in enumerate(remote(url, key).pages("/v1/dead-letters", **only)):
        if number == limit:
            break
        names = ("id", "channel", "reason", "provider", "attempts", "dead_at", "detail")
        table.add_row(*("" if row[name] is None else escape(str(row[name])) for name in names))
    Console().print(table)


@app.command("show")
def show_letter(
    letter: Annotated[str, typer.Argument(help="its id, dlv_...")], url: Url = None, key: Key = None
) -> None:
    """Show a dead letter as JSON: each attempt with the provider's response, and the data it would be sent with."""
    found = remote(url, key).get(f"/v1/dead-letters/{letter}")
    typer.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())


@app.command("replay")
def replay_letters(
    letters: Annotated[list[str] | None, typer.Argument(help="ids; without any, the options select letters")] = None,
    channel: Channel = None,
    reason: Reason = None,
    provider: Provider = None,
    template: Template = None,
    user: User = None,
    every: Annotated[bool, typer.Option("--every", help="all that were not replayed")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="count only; nothing is sent")] = False,
    rate: Annotated[float | None, typer.Option(help="deliveries a second; all at once without")] = None,
    address: Annotated[str | None, typer.Option(help="send this one letter there")] = None,
    data: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE merged into the old data; repeat; VALUE may be JSON")
    ] = None,
    edit: Annotated[Path | None, typer.Option(help="JSON file with address, data or template to use instead")] = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Send dead letters again: those named, or those that match the options. Letters replayed already are left
    alone."""
    only = _named(channel=channel, reason=reason, provider=provider, template=template, user_id=user)
    if bool(letters) == bool(only or every):
        raise OperatorError("Give ids, or --channel, --reason, --provider, --template, --user or --every.")
    body: dict[str, Any] = {"ids": letters} if letters else {"filter": only}
    change = _edit(edit) | _named(address=address)
    if data:
        change["data"] = change.get("data", {}) | dict(pair("--data", text) for text in data)
    body |= _named(rate_per_s=rate, edit=change or None) | {"dry_run": dry_run}
    _replay(remote(url, key), body, dry_run=dry_run)


def _replay(target: Remote, body: dict[str, Any], *, dry_run: bool) -> None:
    """Replay until nothing is left, then print the number of letters by result."""
    counts: dict[str, int] = {}
    while True:
        answer = target.post("/v1/dead-letters/replay", body)
        if dry_run:
            _preview(answer)
            return
        for status, count in answer["counts"].items():
            counts[status] = counts.get(status, 0) + count
        if not answer["next"]:
            break
        body["after"] = answer["next"]
    typer.echo(", ".join(f"{count} {status}" for status, count in counts.items()) or "no dead letter matches")


def _named(**given: Any) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def _edit(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise OperatorError(f"Cannot read {path}: {error.strerror}.") from error
    except msgspec.DecodeError as error:
        raise OperatorError(f"{path} is not a JSON object.") from error


def _preview(answer: dict[str, Any]) -> None:
    found = answer["preview"]
    typer.echo(f"{found['replayable']} of {found['letters']} would be sent again")
    for title in ("by_channel", "by_reason", "by_provider", "skipped"):
        for name, count in found[title].items():
            typer.echo(f"  {title.replace('_', ' ')}: {name or 'none'} {count}")
    if answer["next"]:
        typer.echo(f"  and up to {answer['left']} more that were not checked")
