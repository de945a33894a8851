"""The tree of commands."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tunelab.cli import (
    controller_commands,
    demo_commands,
    init,
    methods,
    study_export,
    study_read,
    study_run,
    sweep_commands,
    tracking_commands,
    worker_commands,
)
from tunelab.cli import db as db_commands
from tunelab.cli.console import put
from tunelab.cli.options import AsJson, Port
from tunelab.cli.variables import name_misspelt_variables

_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def _group(help_text: str) -> typer.Typer:
    return typer.Typer(
        help=help_text,
        add_completion=False,
        rich_markup_mode=None,  # rich help takes twice the time
        pretty_exceptions_enable=False,
        pretty_exceptions_show_locals=False,
        context_settings=_SETTINGS,
        invoke_without_command=True,
    )


app = _group(
    "Tune neural networks: Optuna proposes, the engine trains, a monitor judges, MLflow shows."
)
study = _group("Start, watch, stop and read studies.")
app.add_typer(study, name="study")
db = _group("Upgrade, back up and restore the study database.")
app.add_typer(db, name="db")
worker = _group("Train what studies elsewhere ask for.")
app.add_typer(worker, name="worker")
tracking = _group("Show studies in MLflow, and repair what it shows.")
app.add_typer(tracking, name="tracking")
controller = _group("Lead the studies of a service, and start its sweeps.")
app.add_typer(controller, name="controller")
sweep = _group("Start studies by the clock, as a new generation each time.")
app.add_typer(sweep, name="sweep")
demo = _group("The lecture's pictures: optimizers on surfaces, and schedules.")
app.add_typer(demo, name="demo")


def _version(given: bool) -> None:
    if given:
        from tunelab import __version__

        put(f"tunelab {__version__}")
        raise typer.Exit


def _help_without_command(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)


@app.callback(epilog="Example: tunelab study start studies/digits.yaml")
def _root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_version, is_eager=True),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Print the traceback of an error.")
    ] = False,
) -> None:
    del version, debug  # the callback prints the version; `program` reads --debug, wherever it is
    name_misspelt_variables()
    _help_without_command(context)


@study.callback(epilog="Example: tunelab study start studies/digits.yaml --trials 100")
def _study(context: typer.Context) -> None:
    _help_without_command(context)


@db.callback(epilog="Example: tunelab db backup studies.backup")
def _db(context: typer.Context) -> None:
    _help_without_command(context)


@worker.callback(epilog="Example: tunelab worker run")
def _worker(context: typer.Context) -> None:
    _help_without_command(context)


@tracking.callback(epilog="Example: tunelab tracking sync")
def _tracking(context: typer.Context) -> None:
    _help_without_command(context)


@controller.callback(epilog="Example: tunelab controller run --studies studies")
def _controller(context: typer.Context) -> None:
    _help_without_command(context)


@sweep.callback(epilog="Example: tunelab sweep add studies/nightly.yaml")
def _sweep(context: typer.Context) -> None:
    _help_without_command(context)


@demo.callback(epilog="Example: tunelab demo surfaces -o pictures")
def _demo(context: typer.Context) -> None:
    _help_without_command(context)


@app.command(epilog="Example: tunelab ui --port 5001")
def ui(port: Port = 5000) -> None:
    """Serve the MLflow dashboard on this machine until Ctrl-C."""
    from tunelab.cli.dashboard import serve

    serve(port)


@app.command(epilog="Example: tunelab doctor --fix")
def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Repair what can be repaired.")] = False,
    as_json: AsJson = False,
) -> None:
    """Look for what is wrong: libraries, the study database, MLflow, traces of dead processes.

    Exits with 1 if something is wrong.
    """
    from tunelab.cli.doctor import examine_and_tell

    raise typer.Exit(examine_and_tell(fix=fix, as_json=as_json))


init.register(app)
for _commands in (study_run, study_read, study_export):
    _commands.register(study)
db_commands.register(db)
worker_commands.register(worker)
tracking_commands.register(tracking)
controller_commands.register(controller)
sweep_commands.register(sweep)
demo_commands.register(demo)
methods.register(app)


def command() -> Any:
    """The command line as one object to call."""
    return typer.main.get_command(app)
