"""`clarion templates`: templates as files that teams review, and the starter catalogue."""

import difflib
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from clarion.app.commands.options import Key, Url, remote
from clarion.app.templates.bringing import Bringing
from clarion.app.templates.definitions import BRAND, Definitions, all_of, belongs, differences, files_of, needed, title
from clarion.app.templates.disk import files_in, made, reading_of, shipped, store
from clarion.app.templates.tenant import Tenant
from clarion.content.files.reading import Reading
from clarion.domain.errors import OperatorError
from clarion.domain.template import Brand

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Templates.")
Folder = Annotated[Path, typer.Argument(help="folder of templates, layouts and partials")]
Drafts = Annotated[bool, typer.Option("--drafts", help="drafts where there are any; else what is sent")]
Publish = Annotated[bool, typer.Option("--publish/--draft", help="publish templates, or only save them as drafts")]


@app.command("list")
def list_catalogue() -> None:
    """List the starter catalogue: templates to install and change."""
    table = Table(Column("template", no_wrap=True), "category", "description")
    for key, source in sorted(shipped().folder.templates.items()):
        table.add_row(key, source.category or "", source.description)
    Console().print(table)


@app.command("install")
def install(
    keys: Annotated[list[str] | None, typer.Argument(help="templates of the starter catalogue")] = None,
    everything: Annotated[bool, typer.Option("--all", help="all of them")] = False,
    force: Annotated[bool, typer.Option("--force", help="replace templates that are there")] = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Install templates of the starter catalogue, with what they need: layout, partials, missing categories, and a brand if
    there is none."""
    reading = shipped()
    known = reading.folder.templates
    if bool(keys) == everything:
        raise OperatorError("Name templates to install, or give --all; `clarion templates list` shows them.")
    for name in keys or ():
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {close[0]}?" if close else "."
            raise OperatorError(f"The catalogue has no template {name}{hint}")
    wanted = set().union(*(needed(reading.folder, name) for name in keys or known))
    tenant = Tenant(remote(url, key))
    bringing = Bringing(tenant, reading, typer.echo, publish=True)
    chosen = {name: one for name, one in all_of(reading.folder).items() if name in wanted}
    bringing.install(chosen, tenant.definitions(), force=force)
    _finish(bringing)


@app.command("pull")
def pull(
    folder: Folder,
    drafts: Drafts = False,
    prune: Annotated[bool, typer.Option("--prune", help="remove files of what the tenant does not have")] = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Write the tenant's templates, layouts, partials and brand into a folder. Files that say the same stay as they are."""
    tenant = Tenant(remote(url, key))
    have = tenant.definitions(drafts=drafts)
    files = files_in(made(folder))
    local = _compared(Reading(files))
    have = _with_own_brand(have, local)
    changed = [name for name in have if local.get(name) != have[name]]
    for name in changed:
        new = files_of(name, have[name])
        store(folder, new, [path for path in files if belongs(path, name) and path not in new])
        typer.echo(f"{title(name)}: written")
    gone = [name for name in local if name not in have]
    for name in gone:
        typer.echo(f"{title(name)}: {'removed' if prune else 'only here'}")
        if prune:
            store(folder, {}, [path for path in files if belongs(path, name)])
    typer.echo(f"{len(changed)} written, {len(have) - len(changed)} unchanged, {len(gone)} only here")


@app.command("push")
def push(
    folder: Folder,
    publish: Publish = True,
    prune: Annotated[bool, typer.Option("--prune", help="remove what the tenant has and the folder has not")] = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Store what is different in the folder: brand, missing categories, partials, layouts, then templates."""
    reading = _sound(folder)
    tenant = Tenant(remote(url, key))
    bringing = Bringing(tenant, reading, typer.echo, publish=publish)
    wanted, have = all_of(reading.folder), tenant.definitions(drafts=not publish)
    bringing.push(wanted, have)
    if prune and not bringing.refused:
        bringing.prune([name for name in have if name not in wanted and name != BRAND])
    _finish(bringing)


@app.command("diff")
def diff(folder: Folder, drafts: Drafts = False, url: Url = None, key: Key = None) -> None:
    """Show what a push would change, as a unified diff from the tenant's to the folder's. Ends with 1 if there is any."""
    local = _compared(_sound(folder))
    have = _with_own_brand(Tenant(remote(url, key)).definitions(drafts=drafts), local)
    lines = list(differences(have, local))
    typer.echo("".join(lines), nl=False)
    if lines:
        raise typer.Exit(1)


@app.command("check")
def check(folder: Folder) -> None:
    """Build every template of a folder and render it with its sample data in all its locales. Needs no server."""
    # Both engines and the MJML compiler are loaded for this command only.
    from clarion.app.engines import template_engines
    from clarion.app.templates.checking import Checking

    reading = reading_of(folder)
    checking = Checking(reading, template_engines())
    problems = 0
    for problem in checking.problems():
        typer.echo(str(problem))
        problems += 1
    for warning in checking.warnings:
        typer.echo(f"warning: {warning}")
    typer.echo(f"{len(reading.folder.templates)} templates, {problems} problems, {len(checking.warnings)} warnings")
    if problems:
        raise typer.Exit(1)


def _sound(folder: Path) -> Reading:
    """Return what a folder says, or end with all that is wrong with its files."""
    reading = reading_of(folder)
    for problem in reading.problems:
        typer.echo(str(problem), err=True)
    if reading.problems:
        raise OperatorError(f"{folder} has {len(reading.problems)} problems; nothing was compared or stored.")
    return reading


def _compared(reading: Reading) -> Definitions:
    """Return what a folder says but its categories, which are only ever added."""
    return {name: one for name, one in all_of(reading.folder).items() if name[0] != "category"}


def _with_own_brand(have: Definitions, local: Definitions) -> Definitions:
    """Return what a tenant has without the brand that nobody gave it."""
    unmade = have[BRAND] == Brand() and BRAND not in local
    return {name: one for name, one in have.items() if not (unmade and name == BRAND)}


def _finish(bringing: Bringing) -> None:
    typer.echo(bringing.summary())
    if bringing.refused:
        raise typer.Exit(1)
