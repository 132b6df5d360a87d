"""`streamrec fleet` and its commands, with their options."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamrec.commands.command_class import Command, CommandWithPage, Program
from streamrec.commands.option_groups import tuned_settings
from streamrec.commands.options import (
    OUTPUT,
    SOURCE,
    SPEED,
    AsJson,
    Config,
    Device,
    Engine,
    EngineName,
    HistoryFile,
    People,
    PerPerson,
    Threads,
    Web,
    WebAccess,
    WebCertificate,
    WebName,
    option,
)
from streamrec.core.arguments import SECONDS

if TYPE_CHECKING:
    from streamrec.commands.fleet.cluster import Machine

_CLUSTER = "Cluster"


class Fleet(Program):
    """A group of commands of which one has no name: ``fleet cameras.toml`` begins a fleet."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the name of that command where none stands."""
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            args = ["start", *args]
        return super().parse_args(ctx, args)


fleet = typer.Typer(
    name="fleet",
    cls=Fleet,
    help="Watch cameras with several machines: one page and one history.\n\n`streamrec fleet cameras.toml` begins a "
    "fleet on this machine, which becomes its head.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Folder = Annotated[
    Path,
    option(
        _CLUSTER, "The fleet's files on this machine: key, outboxes, the cluster's own store.", "--folder"
    ),
]
Key = Annotated[
    Path | None,
    option(_CLUSTER, "The file with the fleet's key; by default fleet.key in its folder.", "--key"),
]
Name = Annotated[str | None, option(_CLUSTER, "This machine's name in the fleet; by default its host name.")]
Host = Annotated[
    str | None,
    option(
        _CLUSTER,
        "The address of this machine that others reach, and on which alone the cluster's ports are open; by default "
        "the one that leads out.",
    ),
]
Cores = Annotated[
    float | None,
    option(
        _CLUSTER, "Cores for cameras; by default all. 0 on the head: other machines watch.", min=0, max=4096
    ),
]


def _machine(
    folder: Path, key: Path | None, name: str | None, host: str | None, cores: float | None
) -> Machine:
    """This machine, as the options have it."""
    from streamrec.commands.fleet.cluster import Machine
    from streamrec.core.hosts import host_problem
    from streamrec.errors import SettingsError

    if host and (problem := host_problem(host)):
        raise SettingsError(f"--host: {problem}")
    return Machine(
        folder=folder,
        key_file=key or folder / "fleet.key",
        name=name or socket.gethostname(),
        host=host or "",
        cores=float(os.cpu_count() or 1) if cores is None else cores,
    )


@fleet.command("start", cls=CommandWithPage)
def start(
    context: typer.Context,
    cameras: Annotated[
        Path, typer.Argument(help="A TOML file with a [[camera]] table for each; docs/watch.md describes it.")
    ],
    folder: Annotated[
        Path | None,
        option(
            _CLUSTER, "The fleet's files on this machine; by default the folder fleet beside cameras.toml."
        ),
    ] = None,
    key: Key = None,
    name: Name = None,
    host: Host = None,
    port: Annotated[int, option(_CLUSTER, "The cluster's port.", min=1, max=65_535)] = 6379,
    cores: Cores = None,
    cores_per_camera: Annotated[
        float | None,
        option(SPEED, "Cores that a camera takes; by default it is measured.", min=0.001, max=64),
    ] = None,
    jsonl: Annotated[
        str | None, option(OUTPUT, "Append events and changes of state as JSON Lines to a file.")
    ] = None,
    history: HistoryFile = None,
    web: Web = None,
    web_access: WebAccess = None,
    web_name: WebName = None,
    web_certificate: WebCertificate = None,
    people: People = None,
    per_person: PerPerson = None,
    max_seconds: Annotated[
        float | None, option(SOURCE, "Stop after so many seconds.", min=0.0, max=SECONDS.high)
    ] = None,
    engine: Engine = EngineName.auto,
    device: Device = "auto",
    threads: Threads = None,
    config: Config = None,
) -> None:
    """Begin a fleet on this machine, or go on with it after a restart.

    With no other machine all cameras are watched here. The file is read again when it changes.

    \b
    Examples:
      streamrec fleet cameras.toml
      streamrec fleet cameras.toml --web --cores 0
    """
    tuned = tuned_settings(context, config)
    from streamrec.commands.fleet.head import FleetJob
    from streamrec.commands.fleet.run import run_head
    from streamrec.commands.fleet.spec import ModelOptions

    folder = folder or cameras.absolute().parent / "fleet"
    job = FleetJob(
        path=cameras,
        history=None if history is None else history.absolute(),
        jsonl=None if jsonl is None else str(Path(jsonl).absolute()),
        web=web,
        web_access=None if web_access is None else web_access.absolute(),
        web_names=tuple(web_name or ()),
        web_certificate=None if web_certificate is None else web_certificate.absolute(),
        options=ModelOptions(
            engine=engine.value,
            device=device,
            threads=threads,
            people=people,
            per_person=per_person,
            tuned=tuned,
        ),
        cores_per_camera=cores_per_camera,
    )
    machine = _machine(folder, key, name, host, cores)
    raise typer.Exit(run_head(job, machine, port=port, max_seconds=max_seconds))


@fleet.command(cls=Command)
def join(
    head: Annotated[str, typer.Argument(help="Address of the head, HOST or HOST:PORT.")],
    folder: Folder = Path("fleet"),
    key: Key = None,
    name: Name = None,
    host: Host = None,
    cores: Cores = None,
    drain: Annotated[
        bool,
        option(
            _CLUSTER,
            "At the end, let its groups go on elsewhere first.",
            "--drain/--no-drain",
        ),
    ] = True,
) -> None:
    """Let this machine watch cameras of a fleet, until it is ended.

    Passwords of cameras that come from variables or password files are read on this machine.

    \b
    Examples:
      streamrec fleet join 10.0.0.5 --key fleet.key
    """
    from streamrec.commands.fleet.run import run_join

    machine = _machine(folder, key, name, host, cores)
    raise typer.Exit(run_join(machine, head, drain=drain))


@fleet.command(cls=Command)
def status(folder: Folder = Path("fleet"), key: Key = None, as_json: AsJson = False) -> None:
    """Show the machines, groups and cameras of the fleet that this machine is in."""
    from streamrec.commands.fleet.run import Files, run_status

    run_status(Files(folder=folder, key_file=key), as_json=as_json)


@fleet.command("drain", cls=Command)
def drain_machine(
    node: Annotated[str, typer.Argument(help="Name of the machine.")],
    folder: Folder = Path("fleet"),
    key: Key = None,
) -> None:
    """Move all cameras of a machine elsewhere, so that it can be switched off; nothing that runs ends."""
    from streamrec.commands.fleet.run import Files, run_moves

    run_moves(Files(folder=folder, key_file=key), "drain", node)


@fleet.command(cls=Command)
def rebalance(folder: Folder = Path("fleet"), key: Key = None) -> None:
    """Even out how much each machine has to do, after machines have joined."""
    from streamrec.commands.fleet.run import Files, run_moves

    run_moves(Files(folder=folder, key_file=key), "rebalance")


@fleet.command(cls=Command)
def stop(folder: Folder = Path("fleet"), key: Key = None) -> None:
    """End the fleet on all machines: what runs ends, and is in the history."""
    from streamrec.commands.fleet.run import Files, run_stop

    run_stop(Files(folder=folder, key_file=key))
