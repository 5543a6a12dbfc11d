"""`clarion templates`: templates as files that teams review, and the starter catalogue."""

import difflib
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from clarion.app.cli.options import Key, Url, remote
from clarion.app.cli.template_files.definitions import (
    BRAND,
    Definitions,
    all_of,
    belongs,
    differences,
    files_of,
    needed,
    title,
)
from clarion.app.cli.template_files.disk import files_in, made, reading_of, shipped, store
from clarion.app.cli.template_files.sync import TemplateSync
from clarion.app.cli.template_files.tenant import Tenant
from clarion.content.files.reading import Reading
from clarion.domain.errors import OperatorError
from clarion.domain.template import Brand

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Templates.")
Folder = Annotated[Path, typer.Argument(help="folder of templates, layouts and partials")]
Drafts = Annotated[bool, typer.Option("--drafts", help="drafts where there are any; else the published templates")]
Publish = Annotated[bool, typer.Option("--publish/--draft", help="publish templates, or only save them as drafts")]


@app.command("list")
def list_catalogue() -> None:
    """List the starter catalogue: templates to install and adapt."""
    table = Table(Column("template", no_wrap=True), "category", "description")
    for key, source in sorted(shipped().folder.templates.items()):
        table.add_row(key, source.category or "", source.description)
    Console().print(table)


@app.command("install")
def install(
    keys: Annotated[list[str] | None, typer.Argument(help="templates of the starter catalogue")] = None,
    everything: Annotated[bool, typer.Option("--all", help="all of them")] = False,
    force: Annotated[bool, typer.Option("--force", help="replace existing templates")] = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Install templates of the starter catalogue with their layouts and partials, missing categories, and a brand if
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
    sync = TemplateSync(tenant, reading, typer.echo, publish=True)
    chosen = {name: one for name, one in all_of(reading.folder).items() if name in wanted}
    sync.install(chosen, tenant.definitions(), force=force)
    _finish(sync)


@app.command("pull")
def pull(
    folder: Folder,
    drafts: Drafts = False,
    prune: Annotated[bool, typer.Option("--prune", help="remove files of definitions the tenant lacks")] = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Write the tenant's templates, layouts, partials and brand into a folder. Files without a change are not
    written."""
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
    prune: Annotated[bool, typer.Option("--prune", help="remove definitions that the folder lacks")] = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Store the definitions that differ in the folder: brand, missing categories, partials, layouts, then templates."""
    reading = _checked_folder(folder)
    tenant = Tenant(remote(url, key))
    sync = TemplateSync(tenant, reading, typer.echo, publish=publish)
    wanted, have = all_of(reading.folder), tenant.definitions(drafts=not publish)
    sync.push(wanted, have)
    if prune and not sync.refused:
        sync.prune([name for name in have if name not in wanted and name != BRAND])
    _finish(sync)


@app.command("diff")
def diff(folder: Folder, drafts: Drafts = False, url: Url = None, key: Key = None) -> None:
    """Show the changes of a push as a unified diff from the tenant's files to the folder's. Exits with 1 if there are
    any."""
    local = _compared(_checked_folder(folder))
    have = _with_own_brand(Tenant(remote(url, key)).definitions(drafts=drafts), local)
    lines = list(differences(have, local))
    typer.echo("".join(lines), nl=False)
    if lines:
        raise typer.Exit(1)


@app.command("check")
def check(folder: Folder) -> None:
    """Build every template of a folder and render it with its sample data in all its locales. Needs no server."""
    # Both template engines and the MJML compiler are loaded for this command only.
    from clarion.app.cli.template_files.check import FolderCheck
    from clarion.app.wiring.engines import template_engines

    reading = reading_of(folder)
    checking = FolderCheck(reading, template_engines())
    problems = 0
    for problem in checking.problems():
        typer.echo(str(problem))
        problems += 1
    for warning in checking.warnings:
        typer.echo(f"warning: {warning}")
    typer.echo(f"{len(reading.folder.templates)} templates, {problems} problems, {len(checking.warnings)} warnings")
    if problems:
        raise typer.Exit(1)


def _checked_folder(folder: Path) -> Reading:
    """Return the definitions of a folder. Prints every problem of its files and raises `OperatorError` when there are
    any."""
    reading = reading_of(folder)
    for problem in reading.problems:
        typer.echo(str(problem), err=True)
    if reading.problems:
        raise OperatorError(f"{folder} has {len(reading.problems)} problems; nothing was compared or stored.")
    return reading


def _compared(reading: Reading) -> Definitions:
    """Return the definitions of a folder without its categories, which a push only adds."""
    return {name: one for name, one in all_of(reading.folder).items() if name[0] != "category"}


def _with_own_brand(have: Definitions, local: Definitions) -> Definitions:
    """Return a tenant's definitions without the default brand, unless the folder has a brand too."""
    unmade = have[BRAND] == Brand() and BRAND not in local
    return {name: one for name, one in have.items() if not (unmade and name == BRAND)}


def _finish(sync: TemplateSync) -> None:
    typer.echo(sync.summary())
    if sync.refused:
        raise typer.Exit(1)
