"""The command line: `customer-health`.

Commands import what they need when they run, so that `--help`, `status` and `explain` do not wait
for dbt and Great Expectations.
"""

from __future__ import annotations

import atexit
import errno
import gc
import json
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import duckdb
import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from typer.core import TyperGroup

from customer_health import __version__, gate_process
from customer_health.errors import (
    INTERRUPTED,
    REFUSED,
    TERMINATED,
    HealthError,
    Terminated,
    UsageError,
    first_line,
    from_database_error,
    from_os_error,
)
from customer_health.lock import remove_held_files
from customer_health.progress import Reporter
from customer_health.settings import Settings, parse_date, parse_version

if TYPE_CHECKING:
    from customer_health.publication import Publication

# Time to cancel queries and remove the lock after SIGTERM or Ctrl-C; schedulers wait 30 s or more.
STOP_GRACE_SECONDS = 20.0
DEMO_END = date(2026, 6, 30)
HELP = """
Account health scores that explain themselves, from your own tables.

- `customer-health demo` generates demo data, scores them and says where to look
- `customer-health init` looks at your warehouse and proposes a project for it; `doctor` says what is in the way
- `customer-health explain ACCOUNT` says why an account has its score
- `customer-health dashboard` shows portfolio, accounts, actions and whether the score predicts, in the browser
- `customer-health status` says what readers have, and how old it is
- `customer-health run` is the daily run
- `customer-health sync DESTINATION` sends what was published to the CRM
- `customer-health train`, `tune` and `what-if` find out what would predict better
- `customer-health validate` says whether the score predicts who leaves, and how sure that is
- `customer-health report` writes portfolio and validation as two HTML files to mail
- `customer-health rollback` puts an earlier publication back

Exit codes: 0 ok, 1 data or policy refused (the published copy is as it was), 2 wrong usage, 3 another run is in progress, 130 Ctrl-C, 143 terminated.
"""  # noqa: E501  (one paragraph of the help)


@dataclass
class State:
    """What the global options say, and where a command prints."""

    project_dir: Path | None = None
    home: Path | None = None
    target: str | None = None
    debug: bool = False
    wants_json: bool = False
    out: Console = field(default_factory=Console)
    err: Console = field(default_factory=lambda: Console(stderr=True))

    def settings(self, home: Path | None = None) -> Settings:
        """The settings, found when a command needs them."""
        return Settings.resolve(self.project_dir, home or self.home, self.target, debug=self.debug)

    def reporter(self) -> Reporter:
        """Tells steps on standard error."""
        return Reporter(self.err)

    def print_json(self, content: dict[str, Any]) -> None:
        """One JSON document on standard output, nothing else."""
        typer.echo(json.dumps(content, indent=2, ensure_ascii=False, default=str))


class HealthGroup(TyperGroup):
    """Turns what goes wrong into one line and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except BaseException as error:
            # A signal that arrives in a query can come out as an error of DuckDB.
            if _signals or isinstance(error, KeyboardInterrupt):
                raise _stopped(error) from error
            if isinstance(error, HealthError):
                raise _refused(ctx, error, error) from error
            if isinstance(error, OSError) and error.errno != errno.EPIPE:
                raise _refused(ctx, from_os_error(error), error) from error
            if isinstance(error, duckdb.Error):
                raise _refused(ctx, from_database_error(error), error) from error
            if isinstance(error, _FOR_TYPER) or not isinstance(error, Exception):
                raise
            unexpected = HealthError(
                f"unexpected {type(error).__name__}: {first_line(str(error))} "
                "(customer-health --debug … shows where)"
            )
            raise _refused(ctx, unexpected, error) from error


# Wrong options and arguments (`ClickException`, which typer does not export) and exits: typer
# prints and handles them itself.
_FOR_TYPER: tuple[type, ...] = (
    typer.Exit,
    typer.Abort,
    OSError,  # EPIPE: who reads the output has enough
    *(each for each in typer.BadParameter.__mro__ if each.__name__ == "ClickException"),
)


# Signals to stop that arrived while the command ran.
_signals: list[int] = []


def _stopped(error: BaseException) -> typer.Exit:
    """The end of a command that was told to stop; what to exit with."""
    if isinstance(error, Terminated) or signal.SIGTERM in _signals:
        typer.echo("terminated; the published copy is whole", err=True)
        return typer.Exit(TERMINATED)
    typer.echo("interrupted; the published copy is whole", err=True)
    return typer.Exit(INTERRUPTED)


def _refused(ctx: Any, error: HealthError, cause: BaseException) -> typer.Exit:
    """Print one line (and further problems, one line each); what to exit with."""
    state = ctx.find_object(State) or State()
    if state.debug:
        traceback.print_exception(cause)
    if state.wants_json:
        state.print_json(
            {"result": "refused", "error": error.message, "exit_code": error.exit_code}
            | error.details
        )
    state.err.print(f"[red]error:[/red] {escape(error.message)}", highlight=False, soft_wrap=True)
    for line in error.lines:
        state.err.print(f"  {escape(line)}", highlight=False, soft_wrap=True)
    return typer.Exit(error.exit_code)


app = typer.Typer(
    cls=HealthGroup,
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
policy_app = typer.Typer(
    help="Versions of the policy (the seeds).", no_args_is_help=True, rich_markup_mode="markdown"
)
app.add_typer(policy_app, name="policy")

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document instead of text.")
]
AsOfOption = Annotated[
    str | None,
    typer.Option(
        "--as-of",
        metavar="DATE",
        help="Date to score, YYYY-MM-DD: what happened before it counts. Default: today in UTC; "
        "with demo data their last date.",
    ),
]

AcceptVolumeOption = Annotated[
    bool,
    typer.Option(
        "--accept-volume",
        help="Fewer rows than at the last accepted run or on the same weekdays before, and other "
        "shares and means, only warn. A declared table that is empty or missing still stops.",
    ),
]


def _show_version(value: bool) -> None:
    """`--version`."""
    if value:
        typer.echo(f"customer-health {__version__}")
        raise typer.Exit


@app.callback()
def global_options(
    ctx: typer.Context,
    project_dir: Annotated[
        Path | None,
        typer.Option(
            envvar="CUSTOMER_HEALTH_PROJECT_DIR",
            help="Folder of the dbt project. Default: this folder or one above it.",
        ),
    ] = None,
    home: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the databases. Default: CUSTOMER_HEALTH_HOME, else `warehouse` in "
            "the dbt project.",
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(envvar="CUSTOMER_HEALTH_TARGET", help="dbt target. Default: the profile's."),
    ] = None,
    debug: Annotated[
        bool,
        typer.Option("--debug", envvar="CUSTOMER_HEALTH_DEBUG", help="Show tracebacks of errors."),
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Options that every command has; write them before the command."""
    ctx.obj = State(project_dir=project_dir, home=home, target=target, debug=debug)


@app.command()
def demo(
    ctx: typer.Context,
    accounts: Annotated[int, typer.Option(min=40, help="Number of accounts.")] = 500,
    days: Annotated[int, typer.Option(min=90, help="Days of history, ending on 2026-06-30.")] = 540,
    events: Annotated[int, typer.Option(min=1_000, help="Number of product events.")] = 1_000_000,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same data.")] = 20260630,
    home: Annotated[
        Path | None, typer.Option(help="Folder for the demo. Default: as --home before `demo`.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Generate demo data, score them and publish: a whole company in a minute.

    The data are those of an invented software company whose customers' behaviour changes before
    they churn, expand or renew. The folder is marked as a demo; one with other data is refused.

    Examples:

        customer-health demo

        customer-health demo --accounts 200 --events 100000 --home /tmp/demo
    """
    from customer_health import pipeline

    state = _state(ctx, json_output)
    settings = state.settings(home)
    _need_duckdb(settings, "demo")
    reporter = state.reporter()
    parameters = {"accounts": accounts, "days": days, "events": events, "seed": seed}

    def generate() -> Any:
        from customer_health import demo as generator

        with reporter.step("demo data"):
            summary = generator.generate(
                settings.raw_dir,
                accounts=accounts,
                days=days,
                events=events,
                seed=seed,
                end_date=DEMO_END,
                progress=lambda stage, share: reporter.update_share(share, stage),
            )
            generator.create_landing(settings.home)
            reporter.detail(f"{summary.row_count:,} rows of {summary.accounts:,} accounts")
        return summary

    with pipeline.locked_run(settings, "demo", reporter) as run:
        pipeline.make_demo(settings, parameters, DEMO_END, reporter, generate)
        publication = pipeline.run_all(settings, pipeline.RunOptions(), run, reporter)
    if state.wants_json:
        state.print_json({"result": "ok", **run.to_dict()})
        return
    _tell_publication(state, settings, publication)
    _tell_where_to_look(state, settings)


@app.command()
def init(
    ctx: typer.Context,
    duckdb_file: Annotated[
        Path | None,
        typer.Option("--duckdb", help="DuckDB file that your loader writes; opened read-only."),
    ] = None,
    postgres: Annotated[
        bool,
        typer.Option(
            "--postgres",
            help="The PostgreSQL database that CUSTOMER_HEALTH_POSTGRES_URL names "
            "(postgresql://user:password@host:5432/database).",
        ),
    ] = False,
    write: Annotated[
        bool, typer.Option("--write", help="Write a new project into --dir. Overwrites nothing.")
    ] = False,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--dir",
            help="Folder of the new project. Default: customer_health_project.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the new project.")] = "my_customer_health",
    json_output: JsonOption = False,
) -> None:
    """Look at a warehouse, recognise vendors, and propose a project for a first score.

    Tells which vendors' tables and raw tables are there and why it thinks so, what is missing,
    which metrics will be unknown and how much of the score that is. In a dbt project it looks at
    the database of its target and shows what to paste. Only --write writes: a new project.

    Examples:

        customer-health init --duckdb warehouse.duckdb

        customer-health init --duckdb warehouse.duckdb --write --dir health

        CUSTOMER_HEALTH_POSTGRES_URL=postgresql://… customer-health init --postgres

        cd my_dbt_project && customer-health --target prod init
    """
    from customer_health.gate_engines import URL_VARIABLE, Postgres
    from customer_health.policy import PACKAGE_DIR
    from customer_health.setup import propose, recognise, tell

    state = _state(ctx, json_output)
    if duckdb_file is not None and postgres:
        raise UsageError("say where the tables are: --duckdb FILE, or --postgres")
    if not name.isidentifier() or not name.isascii() or name == "customer_health":
        raise UsageError(f"--name: {name!r} is no name of a project; letters, digits and _ only")
    command = "customer-health init"
    place_of = folder or Path("customer_health_project")
    if duckdb_file is not None:
        command += f" --duckdb {duckdb_file}"
        place = recognise.duckdb_place(duckdb_file.expanduser())
    elif postgres:
        command += " --postgres"
        url = os.environ.get(URL_VARIABLE, "").strip()
        if not url:
            raise UsageError(f"--postgres: set {URL_VARIABLE} (docs/getting-started.md)")
        place = recognise.postgres_place(Postgres.from_url(url))
    else:
        settings = _own_project(state)
        place = recognise.place_of_target(settings)
        place_of = folder or settings.project_dir
    proposal = propose.propose(place, recognise.read_schemas(place))
    files = propose.project_files(proposal, name, PACKAGE_DIR)
    place_of = place_of.expanduser()
    written: list[Path] = []
    if write:
        written = propose.write_project(files, place_of)
        if duckdb_file is not None:
            home = state.home or place_of / (os.environ.get("CUSTOMER_HEALTH_HOME") or "warehouse")
            propose.link_landing(duckdb_file.expanduser(), home.expanduser())
    if state.wants_json:
        state.print_json(tell.as_dict(proposal, written))
        return
    tell.proposal(proposal, state.out)
    if not written:
        tell.files(proposal, propose.blocks(proposal, name, PACKAGE_DIR), state.out)
    tell.next_steps(proposal, place_of, written, command, state.out)


def _own_project(state: State) -> Settings:
    """The project in which a command is called, if that is not the package itself."""
    from customer_health.policy import PACKAGE_DIR

    try:
        settings = state.settings()
    except UsageError:
        settings = None
    if settings is None or settings.project_dir == PACKAGE_DIR:
        raise UsageError(
            "say where the tables are: --duckdb FILE, --postgres, or call it in a dbt project "
            "whose target is the warehouse"
        )
    return settings


@app.command()
def doctor(ctx: typer.Context, json_output: JsonOption = False) -> None:
    """Check that everything is in place for a run, and say what to do where it is not.

    Looks at versions, the home folder, variables, profile, policy, connection, permissions, source
    tables, their freshness and what is published. Changes nothing. Exits 1 when a run would be
    refused.
    """
    from customer_health.setup import doctor as examination
    from customer_health.setup import tell

    state = _state(ctx, json_output)
    reporter = state.reporter()
    settings = state.settings()
    with reporter.step("doctor"):
        found = examination.examine(settings, reporter.detail)
        reporter.detail(f"{len(found)} findings")
    if state.wants_json:
        state.print_json(examination.to_dict(found))
    else:
        tell.findings(found, state.out)
    if any(each.state == "bad" for each in found):
        raise typer.Exit(REFUSED)


@app.command()
def run(
    ctx: typer.Context,
    as_of: AsOfOption = None,
    backfill: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="FROM TO",
            help="The data of these dates were corrected (YYYY-MM-DD): rebuild every date from "
            "FROM on, since a band depends on the days before it. Also lets --as-of lie before the "
            "last publication.",
        ),
    ] = None,
    full_rebuild: Annotated[
        bool,
        typer.Option("--full-rebuild", help="Rebuild the whole history instead of the last days."),
    ] = False,
    accept_volume: AcceptVolumeOption = False,
    json_output: JsonOption = False,
) -> None:
    """Score, check and publish: the daily run.

    Policy check, landing gate, dbt build, candidate gate, snapshot, publication. The first step
    that refuses ends the run, and readers keep what they have.

    Examples:

        customer-health run

        customer-health run --as-of 2026-06-30

        customer-health run --backfill 2026-03-01 2026-03-31

        customer-health run --accept-volume          a holiday, or a source that shrank on purpose

        customer-health run --json > result.json     for schedulers
    """
    from customer_health import pipeline

    state = _state(ctx, json_output)
    settings = state.settings()
    reporter = state.reporter()
    options = pipeline.RunOptions(as_of, backfill, full_rebuild, accept_volume)
    with pipeline.locked_run(settings, "run", reporter) as this_run:
        publication = pipeline.run_all(settings, options, this_run, reporter)
    if state.wants_json:
        state.print_json({"result": "ok", **this_run.to_dict()})
    else:
        _tell_publication(state, settings, publication)


class What(StrEnum):
    """What `check` can look at."""

    LANDING = "landing"
    CANDIDATE = "candidate"
    POLICY = "policy"


@app.command()
def check(
    ctx: typer.Context,
    what: Annotated[
        What,
        typer.Argument(
            help="landing: the raw tables. candidate: the marts before they are published. "
            "policy: the seeds."
        ),
    ],
    as_of: AsOfOption = None,
    show_all: Annotated[
        bool, typer.Option("--all", help="List the rules that hold too, one by one.")
    ] = False,
    accept_volume: AcceptVolumeOption = False,
    json_output: JsonOption = False,
) -> None:
    """Run one check by itself; nothing is built or published.

    Exits 1 when something is wrong, and also when it could not be checked (it says which).

    Examples:

        customer-health check policy

        customer-health check landing --as-of 2026-06-30

        customer-health check candidate --all
    """
    state = _state(ctx, json_output)
    settings = state.settings()
    if what is What.POLICY:
        _check_policy(state, settings, as_of)
    else:
        _check_gate(state, settings, what, as_of, show_all, accept_volume)


def _check_policy(state: State, settings: Settings, as_of: str | None) -> None:
    """`check policy`."""
    from customer_health import pipeline, policy

    options = pipeline.RunOptions(as_of)
    day, _ = pipeline.resolve_dates(settings, options, Reporter(state.err, quiet=True))
    hashes = pipeline.check_policy(settings, day)
    remarks = policy.lint_policy(policy.find_seed_files(settings.project_dir), today=day)
    if state.wants_json:
        state.print_json(
            {"result": "ok", "versions": hashes, "remarks": [str(one) for one in remarks]}
        )
        return
    for remark in remarks:
        state.out.print(f"[yellow]note:[/yellow] {escape(str(remark))}", soft_wrap=True)
    versions = ", ".join(f"{version} ({hashed[:12]})" for version, hashed in hashes.items())
    state.out.print(f"[green]policy is sound[/green]: {escape(versions)}", highlight=False)


def _check_gate(
    state: State,
    settings: Settings,
    what: What,
    as_of: str | None,
    show_all: bool,
    accept_volume: bool,
) -> None:
    """`check landing` and `check candidate`."""
    from customer_health import data_docs, gates, pipeline
    from customer_health.warehouses import warehouse_of
    from customer_health.warehouses.base import UnreachableError

    warehouse = warehouse_of(settings)
    reporter = state.reporter()
    is_landing = what is What.LANDING
    if is_landing:
        day, _ = pipeline.resolve_dates(settings, pipeline.RunOptions(as_of), reporter)
    elif as_of is not None:
        day = parse_date(as_of, "--as-of")
    else:
        day = warehouse.read_candidate().as_of_date
    try:
        last = warehouse.last_publication()
    except UnreachableError:
        last = None  # the report of the gate says it
    with reporter.step(f"{what} gate"):
        gate: gates.GateName = "landing" if is_landing else "candidate"
        report = pipeline.judge(settings, gate, day, last, accept_volume)
    if state.wants_json:
        state.print_json(report.to_dict() | {"data_docs": str(data_docs.page(settings.home))})
    else:
        gates.render(report, state.out, all_checks=show_all)
        where = escape(str(data_docs.page(settings.home)))
        state.out.print(f"Data Docs: {where}", soft_wrap=True, highlight=False)
    if report.status != "passed":
        raise typer.Exit(REFUSED)


@app.command()
def publish(ctx: typer.Context, json_output: JsonOption = False) -> None:
    """Publish the candidate as it stands: candidate gate, snapshot, publication.

    For when a run was refused by the candidate gate and the reason is mended, or the published
    copy was damaged. A candidate whose build did not end well is refused; after a `dbt build` by
    hand (a full one, all tests passed) it can be published.

    Example:

        customer-health publish
    """
    from customer_health import pipeline

    state = _state(ctx, json_output)
    settings = state.settings()
    reporter = state.reporter()
    with pipeline.locked_run(settings, "publish", reporter) as this_run:
        publication = pipeline.publish_by_hand(settings, this_run, reporter)
    if state.wants_json:
        state.print_json({"result": "ok", **this_run.to_dict()})
    else:
        _tell_publication(state, settings, publication)


@app.command()
def rollback(
    ctx: typer.Context,
    publication_id: Annotated[
        str | None,
        typer.Argument(
            metavar="[PUBLICATION_ID]",
            help="Kept publication to put back. Default: the newest that is older than what "
            "readers have; with a damaged or missing copy, the newest that is whole.",
        ),
    ] = None,
    list_only: Annotated[
        bool, typer.Option("--list", help="Show what is kept; change nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Put a kept publication back as the readers' copy, read through first and replaced at once.

    What readers are taken back from is kept until the next publication, so that the same command
    goes forward again. The next `run` goes on from what readers have then.

    Examples:

        customer-health rollback --list

        customer-health rollback

        customer-health rollback 2026-06-29T20260629051500-a1b2c3 --yes
    """
    from customer_health import pipeline
    from customer_health import rollback as going_back
    from customer_health.warehouses import warehouse_of

    state = _state(ctx, json_output)
    settings = state.settings()
    if list_only:
        kept = warehouse_of(settings).list_kept()
        if state.wants_json:
            state.print_json({"kept": [each.to_dict() for each in kept]})
        elif kept:
            going_back.render_kept(kept, state.out)
        else:
            state.out.print("No publication is kept.")
        return
    reporter = state.reporter()
    with pipeline.locked_run(settings, "rollback", reporter) as this_run:
        plan = warehouse_of(settings).plan_rollback(publication_id)
        for remark in plan.remarks:
            reporter.note(remark)
        _ask(state, going_back.in_words(plan), yes)
        with reporter.step("rollback"):
            this_run.publication = warehouse_of(settings).roll_back(plan)
        this_run.facts["withdrawn"] = sorted(plan.withdrawn)
    if state.wants_json:
        state.print_json({"result": "ok", **this_run.to_dict()})
        return
    state.out.print(
        f"[bold green]Rolled back[/bold green]: readers have {plan.target.publication_id}, scores "
        f"of {plan.target.as_of_date}. {escape(going_back.advice(settings, plan))}",
        soft_wrap=True,
        highlight=False,
    )


@app.command()
def forget(
    ctx: typer.Context,
    account: Annotated[
        str | None,
        typer.Option("--account", metavar="ID", help="Account, with its users and contacts."),
    ] = None,
    user: Annotated[
        str | None,
        typer.Option(
            "--user",
            metavar="ID",
            help="Person: id of a product user or a contact, or an e-mail address.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Erase an account or a person from everything in the home folder, and prove it.

    Raw files, databases, the readers' copy, kept publications, reports and logs are written anew
    without them; scores and history of everybody else stay as they are. Files outside of the home
    folder that the landing views read are named, since only their owner can clean them; then it
    exits 1. Repeat it after an interruption: it goes on where it was.

    Examples:

        customer-health forget --account A00042

        customer-health forget --user ada@example.com --yes
    """
    from customer_health import forget as forgetting
    from customer_health import pipeline

    state = _state(ctx, json_output)
    settings = state.settings()
    _need_duckdb(settings, "forget")
    reporter = state.reporter()
    with pipeline.locked_run(settings, "forget", reporter) as this_run:
        request = forgetting.prepare(settings, account=account, user=user)
        _ask(state, request.in_words(), yes)
        with pipeline.own_writes(settings):
            report = forgetting.carry_out(request, reporter)
        this_run.facts["forget"] = report.to_dict()
    if state.wants_json:
        result = "incomplete" if report.left else "ok"
        state.print_json({"result": result, **this_run.to_dict()})
    else:
        forgetting.render(report, state.out)
    for line in report.left:
        state.err.print(f"[red]error:[/red] {escape(line)}", highlight=False, soft_wrap=True)
    if report.left:
        raise typer.Exit(REFUSED)


@app.command()
def explain(
    ctx: typer.Context,
    account: Annotated[str, typer.Argument(help="Id of an account, or its name if it is unique.")],
    as_of: Annotated[
        str | None,
        typer.Option("--as-of", metavar="DATE", help="Date of the score. Default: its newest."),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Why an account has its score: points that add up, what changed, what is missing.

    Reads the published copy only, so it can be used at any time, also during a run.

    Examples:

        customer-health explain A00042

        customer-health explain "Harbour Foods" --as-of 2026-06-01

        customer-health explain A00042 --json
    """
    from customer_health import explain as explaining
    from customer_health.warehouses import warehouse_of

    state = _state(ctx, json_output)
    settings = state.settings()
    day = None if as_of is None else parse_date(as_of, "--as-of")
    with warehouse_of(settings).reader() as reader:
        explanation = explaining.explain_from(reader, account, day)
    if state.wants_json:
        state.print_json(explanation.to_dict())
    else:
        explaining.render(explanation, state.out)


@app.command()
def status(ctx: typer.Context, json_output: JsonOption = False) -> None:
    """What readers have: publication, age, policy, checks, accounts by band; is a run going on?

    Exits 1 when the published copy is damaged or missing though something was published.

    Examples:

        customer-health status

        customer-health status --json
    """
    from customer_health import status as looking

    state = _state(ctx, json_output)
    found = looking.read_status(state.settings())
    if state.wants_json:
        state.print_json(found.to_dict())
    else:
        looking.render(found, state.out)
    for problem in found.problems:
        state.err.print(f"[red]error:[/red] {escape(problem)}", highlight=False, soft_wrap=True)
    if found.problems:
        raise typer.Exit(REFUSED)


@app.command()
def dashboard(
    ctx: typer.Context,
    port: Annotated[
        int | None,
        typer.Option(
            help="Port to serve on. Default: the first free one from 8501 on.", min=1, max=65535
        ),
    ] = None,
    address: Annotated[
        str,
        typer.Option(help="Address to serve on. The default lets only this machine in."),
    ] = "127.0.0.1",
    opens: Annotated[bool, typer.Option("--open/--no-open", help="Open it in a browser.")] = True,
) -> None:
    """Dashboards in the browser: portfolio, accounts, actions, does it predict, what if, quality.

    Reads the published copy only and follows every new publication. It has no log-in of its own:
    before you let others in with --address, put something in front of it that asks who they are
    (docs/dashboards.md). Ctrl-C stops it.

    Examples:

        customer-health dashboard

        customer-health dashboard --port 8600 --no-open

        customer-health --home /srv/health dashboard --address 0.0.0.0 --no-open
    """
    from customer_health.dashboard import server
    from customer_health.warehouses import warehouse_of

    state = _state(ctx, False)
    settings = state.settings()
    chosen = server.free_port(address, port)
    if not warehouse_of(settings).is_published():
        state.err.print(
            "Nothing is published yet: the pages say so until `customer-health run` or "
            "`customer-health demo` has published.",
            highlight=False,
            soft_wrap=True,
        )
    if address not in (server.LOOPBACK, "localhost", "::1"):
        state.err.print(
            f"[yellow]Whoever reaches {escape(address)}:{chosen} can read all accounts: the app "
            "asks nobody who they are (docs/dashboards.md).[/yellow]",
            highlight=False,
            soft_wrap=True,
        )
    server.serve(settings, address, chosen, opens=opens)


@app.command()
def sync(
    ctx: typer.Context,
    destination: Annotated[
        str | None,
        typer.Argument(
            metavar="DESTINATION|status",
            help="A destination of sync.yml. The word `status` shows what each of them has.",
        ),
    ] = None,
    of: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="After `status`: only this destination."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be sent; send and write nothing.")
    ] = False,
    accept_changes: Annotated[
        bool,
        typer.Option(
            "--accept-changes",
            help="Send although more than limits.breaker_share (20%) of the accounts there would "
            "change band or be cleared.",
        ),
    ] = False,
    accept_older: Annotated[
        bool,
        typer.Option(
            "--accept-older",
            help="Send although readers have an older publication than the CRM: after a rollback.",
        ),
    ] = False,
    retry_dead: Annotated[
        bool,
        typer.Option("--retry-dead", help="Send also what was rejected too often (dead letters)."),
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="FILE", help="Default: sync.yml in the folder of the dbt project."
        ),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Send what is published to the CRM: HubSpot, Salesforce, a webhook, or files.

    Reads the published copy, compares it with what the destination has confirmed, and sends what
    is new or has changed; accounts that are no longer published are cleared once. It updates and
    never creates a record. After a kill, a rejection or a CRM that was down the next sync goes on
    where this one was. Mapping, limits and names of secrets stand in sync.yml (docs/sync.md).

    Exits 1 when nothing may be sent, or not all was answered; rejected records are listed and
    sent again by the next sync.

    Examples:

        customer-health sync hubspot --dry-run

        customer-health run && customer-health sync hubspot

        customer-health sync status

        customer-health sync status hubspot --json
    """
    from customer_health.sync import config as configuration

    state = _state(ctx, json_output)
    settings = state.settings()
    if destination == configuration.STATUS:
        given = [dry_run, accept_changes, accept_older, retry_dead]
        if any(given):
            raise UsageError("`sync status` only looks: leave the other options out")
        _show_sync_status(state, settings, of, config)
        return
    if of is not None:
        raise UsageError(
            f"one destination at a time: leave {of!r} out, or write `sync status {of}`"
        )
    path = configuration.find_file(settings, config)
    destinations = configuration.load(path)
    if destination is None:
        raise UsageError(
            f"say which destination: {', '.join(destinations)} (or `customer-health sync status`)"
        )
    chosen = configuration.choose(destinations, destination, path)

    from customer_health.sync import run as syncing

    options = syncing.Options(dry_run, accept_changes, accept_older, retry_dead)
    result = syncing.sync(settings, chosen, options, state.reporter())
    if state.wants_json:
        told = "planned" if dry_run else "ok"
        state.print_json({"result": told, **result.to_dict()})
    else:
        syncing.render(result, state.out, dry_run=dry_run)


def _show_sync_status(
    state: State, settings: Settings, name: str | None, config: Path | None
) -> None:
    """`sync status`: exits 1 when something is wrong with a ledger or a destination."""
    from customer_health.sync import config as configuration
    from customer_health.sync import status as looking

    if config is None and not (settings.project_dir / configuration.FILE_NAME).is_file():
        if state.wants_json:
            state.print_json({"destinations": [], "hint": looking.teach(settings)})
        else:
            state.out.print(escape(looking.teach(settings)), soft_wrap=True, highlight=False)
        return
    path = configuration.find_file(settings, config)
    destinations = configuration.load(path)
    if name is not None:
        destinations = {name: configuration.choose(destinations, name, path)}
    statuses = looking.read_status(settings, destinations)
    if state.wants_json:
        state.print_json({"destinations": [each.to_dict() for each in statuses]})
    else:
        looking.render(statuses, state.out)
    problems = [f"{each.name}: {problem}" for each in statuses for problem in each.problems]
    for problem in problems:
        state.err.print(f"[red]error:[/red] {escape(problem)}", highlight=False, soft_wrap=True)
    if problems:
        raise typer.Exit(REFUSED)


@app.command()
def validate(
    ctx: typer.Context,
    candidate: Annotated[
        bool,
        typer.Option("--candidate", help="Read the candidate instead of what readers have."),
    ] = False,
    version: Annotated[
        str | None,
        typer.Option("--version", metavar="VERSION", help="Scoring version. Default: champion."),
    ] = None,
    scorecard: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="Scorecard. Default: that of most accounts."),
    ] = None,
    no_rebuild: Annotated[
        bool,
        typer.Option(
            "--no-rebuild", help="Leave out leak tests 1 and 2, which build an old date again."
        ),
    ] = False,
    rebuild_date: Annotated[
        str | None,
        typer.Option(
            metavar="DATE",
            help="Sunday that leak tests 1 and 2 build again. Default: about three months back.",
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Page to write. Default: validation/DATE.html in the home folder."
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Baseline: exit 1 when a figure fell by more than --tolerance."
        ),
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=0, max=1, help="How much a figure may fall, as a share.")
    ] = 0.01,
    write_baseline: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the figures that --against compares with."),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Does the score predict who leaves, how sure is that, and is it too good to be true?

    Opens with the verdict in words, and shows the figures of the validation marts with their
    intervals. Five leak tests try to prove that the score looked ahead; two of them build an old
    date again in a temporary folder. Writes the same, with pictures, as one page.

    Exits 1 when the figures are suspicious, or fell against a baseline.

    Examples:

        customer-health validate

        customer-health validate --no-rebuild --html report.html

        customer-health validate --candidate --version v2

        customer-health validate --no-rebuild --against benchmarks/predictive_power.json
    """
    from customer_health.validation import command, report

    state = _state(ctx, json_output)
    settings = state.settings()
    _need_duckdb(settings, "validate")
    options = command.Options(
        version=None if version is None else parse_version(version, "--version"),
        scorecard=scorecard,
        candidate=candidate,
        can_rebuild=not no_rebuild,
        rebuild_date=None if rebuild_date is None else parse_date(rebuild_date, "--rebuild-date"),
        html=html,
        against=against,
        write_baseline=write_baseline,
        tolerance=tolerance,
    )
    done = command.validate(settings, options, state.reporter())
    if state.wants_json:
        pages = [str(path) for path in done.pages]
        state.print_json({**done.report.to_dict(), "html": pages, "problems": done.problems})
    else:
        report.render(done.report, state.out)
        report.tell_where(done.pages, state.out)
    for problem in done.problems:
        state.err.print(f"[red]error:[/red] {escape(problem)}", highlight=False, soft_wrap=True)
    if done.problems:
        raise typer.Exit(REFUSED)


@app.command()
def report(
    ctx: typer.Context,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FOLDER", help="Where to. Default: report in the home folder."
        ),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Portfolio and validation as one HTML file each, to be mailed or opened without a server.

    What the pages Portfolio (without filters) and Does it predict? show of the published copy. The
    files need nothing but a browser: no script, no other file, no request. They name accounts, so
    send them only to people who may see those.

    Examples:

        customer-health report

        customer-health report --out reports/2026-06-30
    """
    from customer_health.dashboard import report as static
    from customer_health.validation.report import VERDICTS

    state = _state(ctx, json_output)
    done = static.write(state.settings(), out)
    if state.wants_json:
        state.print_json({"result": "ok", **done.to_dict()})
        return
    told = f"portfolio on {done.as_of_date}", f"does it predict? {VERDICTS[done.verdict][1]}"
    for path, what in zip((done.portfolio, done.validation), told, strict=True):
        state.out.print(
            f"{escape(str(path))} ({what}): mail it, or open it in a browser",
            soft_wrap=True,
            highlight=False,
        )


class ExportFormat(StrEnum):
    """What `export` writes."""

    CSV = "csv"
    PARQUET = "parquet"


@app.command()
def export(
    ctx: typer.Context,
    table: Annotated[
        str | None, typer.Argument(help="Published mart, view or snapshot; --list shows them.")
    ] = None,
    file_format: Annotated[
        ExportFormat, typer.Option("--format", help="What to write.")
    ] = ExportFormat.CSV,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FILE", help="File or folder. Default: TABLE.FORMAT, here."),
    ] = None,
    list_only: Annotated[bool, typer.Option("--list", help="Show what can be exported.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Write a table of the published copy to a CSV or Parquet file.

    CSV is UTF-8 with a header. Texts that a spreadsheet would take for a formula (they begin with
    = + - @, a tab or a carriage return) get a leading apostrophe; numbers stay as they are.

    Examples:

        customer-health export --list

        customer-health export bi_health__account_360_current

        customer-health export fct_health__account_scores --format parquet --to scores.parquet
    """
    from customer_health import export as exporting

    state = _state(ctx, json_output)
    settings = state.settings()
    _need_duckdb(settings, "export")
    if list_only:
        tables = exporting.list_tables(settings.published)
        if state.wants_json:
            state.print_json({"tables": [each.to_dict() for each in tables]})
        else:
            exporting.render(tables, state.out)
        return
    if table is None:
        raise UsageError("say which table: `customer-health export --list` shows them")
    done = exporting.export(settings.published, table, exporting.Format(file_format.value), to)
    if state.wants_json:
        state.print_json({"result": "ok", **done.to_dict()})
        return
    state.out.print(
        f"Wrote {done.row_count:,} rows of {done.table} (publication {done.publication_id}) to "
        f"{escape(done.file)}"
        + (f"; {done.escaped_cells:,} cells escaped" if done.escaped_cells else ""),
        soft_wrap=True,
        highlight=False,
    )


VersionOption = Annotated[
    str | None,
    typer.Option(
        "--version",
        metavar="VERSION",
        help="Scoring version to write. Default: the only one, or the newest challenger. A "
        "published version is never changed.",
    ),
]
FromOption = Annotated[
    str, typer.Option("--from", metavar="DATE", help="First date of the window, YYYY-MM-DD.")
]
ToOption = Annotated[
    str, typer.Option("--to", metavar="DATE", help="End of the window, itself outside.")
]


@app.command()
def anchors(
    ctx: typer.Context,
    window_from: FromOption,
    window_to: ToOption,
    version: VersionOption = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="Only this metric; may be given several times.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Accept a window of less than six months.")
    ] = False,
) -> None:
    """Take default anchors from the data of a reference window, once, as seed rows for review.

    Example:

        customer-health policy new-version v1 v2

        customer-health anchors --from 2025-07-01 --to 2026-01-01 --version v2
    """
    from customer_health import anchors as anchoring
    from customer_health import pipeline

    state = _state(ctx, False)
    settings = state.settings()
    _need_duckdb(settings, "anchors")
    window = _window(window_from, window_to)
    reporter = state.reporter()
    with pipeline.locked_run(settings, "anchors", reporter):
        chosen, seed_files = pipeline.version_to_write(settings, version)
        with reporter.step("anchors"):
            report = anchoring.write_anchors(
                settings.candidate,
                pipeline.own_seed(settings, seed_files, "metric_anchors"),
                scoring_version=chosen,
                window_from=window[0],
                window_to=window[1],
                metrics=metric or None,
                step_metrics=pipeline.step_metrics(seed_files, chosen),
                force=force,
            )
    table = Table(header_style="bold", pad_edge=False, box=box.SIMPLE)
    for heading in ("Metric", "Values", "Anchors (value → score)", "At 0", "At 10", "Remarks"):
        table.add_column(heading, overflow="fold")
    for found in report.metrics:
        table.add_row(
            escape(found.metric_key),
            f"{found.value_count:,}",
            ", ".join(f"{value} → {score}" for value, score in found.points),
            "–" if found.share_at_0 is None else f"{found.share_at_0:.0%}",
            "–" if found.share_at_10 is None else f"{found.share_at_10:.0%}",
            escape("; ".join((*found.notes, *found.warnings))),
            style="" if found.is_written else "dim",
        )
    state.out.print(table)
    written = sum(found.is_written for found in report.metrics)
    state.out.print(
        f"Wrote anchors of {written} metrics of version {escape(report.scoring_version)} from "
        f"{report.date_count} Sundays, {report.first_date} to {report.last_date}. Review the "
        "change of seeds/metric_anchors.csv before you commit it.",
        soft_wrap=True,
        highlight=False,
    )


@app.command("base-rates")
def base_rates(
    ctx: typer.Context,
    window_from: FromOption,
    window_to: ToOption,
    version: VersionOption = None,
    horizon_days: Annotated[
        int, typer.Option(min=1, max=730, help="Days within which a churn counts.")
    ] = 90,
) -> None:
    """Take churn base rates by segment and tenure from the past, as seed rows for review.

    Example:

        customer-health base-rates --from 2025-01-01 --to 2026-01-01 --version v2
    """
    from customer_health import anchors as anchoring
    from customer_health import pipeline

    state = _state(ctx, False)
    settings = state.settings()
    _need_duckdb(settings, "base-rates")
    window = _window(window_from, window_to)
    reporter = state.reporter()
    with pipeline.locked_run(settings, "base-rates", reporter):
        chosen, seed_files = pipeline.version_to_write(settings, version)
        with reporter.step("base rates"):
            report = anchoring.write_base_rates(
                settings.candidate,
                pipeline.own_seed(settings, seed_files, "churn_base_rates"),
                scoring_version=chosen,
                window_from=window[0],
                window_to=window[1],
                horizon_days=horizon_days,
                grace_days=int(settings.project_vars.get("renewal_grace_days", 14)),
            )
    table = Table(header_style="bold", pad_edge=False, box=box.SIMPLE)
    table.add_column("Segment")
    for heading in ("Tenure from", "Account-months", "Churned", "Rate"):
        table.add_column(heading, justify="right")
    for rate in report.rates:
        table.add_row(
            escape(rate.segment),
            f"{rate.tenure_days_from} days",
            f"{rate.account_count:,}",
            f"{rate.churner_count:,}",
            f"{rate.churn_rate:.2%}",
        )
    state.out.print(table)
    for warning in report.warnings:
        state.err.print(f"[yellow]warning:[/yellow] {escape(warning)}", soft_wrap=True)
    state.out.print(
        f"Wrote {len(report.rates)} rows of version {escape(report.scoring_version)}. Review the "
        "change of seeds/churn_base_rates.csv before you commit it.",
        soft_wrap=True,
        highlight=False,
    )


ChallengerOption = Annotated[
    str | None,
    typer.Option(
        "--version",
        metavar="VERSION",
        help="Challenger to write. Default: the newest one that was never published, else a new "
        "one, copied from the champion. The champion is never written.",
    ),
]
ScorecardOption = Annotated[
    str | None,
    typer.Option("--scorecard", help="Health scorecard. Default: that of most accounts."),
]
LeadOption = Annotated[
    int,
    typer.Option("--lead", min=0, max=730, help="Days from the score to the window of churns."),
]
HorizonOption = Annotated[
    int,
    typer.Option("--horizon", min=1, max=730, help="Days of the window in which a churn counts."),
]
FitFromOption = Annotated[
    str | None,
    typer.Option("--from", metavar="DATE", help="First score to fit on. Default: the first."),
]
FitToOption = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="DATE",
        help="Date by which every window that is fitted on has ended; scores from it on are the "
        "test. Default: keeps the last third of the months for the test.",
    ),
]


@app.command()
def train(
    ctx: typer.Context,
    version: ChallengerOption = None,
    scorecard: ScorecardOption = None,
    lead: LeadOption = 0,
    horizon: HorizonOption = 90,
    window_from: FitFromOption = None,
    window_to: FitToOption = None,
    keep_anchors: Annotated[
        bool,
        typer.Option(
            "--keep-anchors",
            help="Leave the anchors of the metric churn_probability as they are. By default they "
            "are set to the spread of the fitted probabilities.",
        ),
    ] = False,
    json_output: JsonOption = False,
) -> None:
    """Fit the churn probability to what followed, into a challenger, for review.

    A logistic regression on the metric scores of the readers' copy: fitted on earlier months,
    tested on later ones. Written are the rows of seeds/churn_model.csv, the anchors of its metric,
    and the evidence in policy_evidence/VERSION.md. Scoring stays SQL. With fewer than 30 churned
    accounts (seeds/validation_limits.csv) nothing is fitted.

    Reading it: an odds ratio of 0.7 per standard deviation (SD) says that one SD more of this
    metric score goes with 30% lower odds of a churn. docs/validation.md, 10.

    Examples:

        customer-health train

        customer-health train --version v2 --from 2025-01-01 --to 2026-01-01

        customer-health train --horizon 60 --json
    """
    from customer_health import pipeline
    from customer_health.fitting import train as training

    state = _state(ctx, json_output)
    settings = state.settings()
    _need_duckdb(settings, "train")
    reporter = state.reporter()
    first, last = _fit_window(window_from, window_to)
    with pipeline.locked_run(settings, "train", reporter), reporter.step("train"):
        report = training.train(
            settings,
            version=version,
            scorecard=scorecard,
            lead_days=lead,
            horizon_days=horizon,
            window_from=first,
            window_to=last,
            keep_anchors=keep_anchors,
        )
    if state.wants_json:
        state.print_json(report.to_dict())
    else:
        training.render(report, state.out)


@app.command()
def tune(
    ctx: typer.Context,
    version: ChallengerOption = None,
    scorecard: ScorecardOption = None,
    lead: LeadOption = 0,
    horizon: HorizonOption = 90,
    window_from: FitFromOption = None,
    window_to: FitToOption = None,
    fit_churn_risk: Annotated[
        bool,
        typer.Option(
            "--fit-churn-risk",
            help="Fit the weight of churn probability too. By default it is held: the probability "
            "is itself fitted to the same outcomes.",
        ),
    ] = False,
    write_anyway: Annotated[
        bool,
        typer.Option(
            "--write-anyway",
            help="Where the verdict is keep, write the fitted weights into a challenger all the "
            "same.",
        ),
    ] = False,
    repeats: Annotated[
        int, typer.Option(min=20, max=10_000, help="Samples of accounts for the intervals.")
    ] = 200,
    seed: Annotated[
        int, typer.Option(min=0, help="Of the samples. Same seed, same intervals.")
    ] = 20260630,
    json_output: JsonOption = False,
) -> None:
    """Which weights do the outcomes suggest? Mostly today's, and then nothing is written.

    Weights are fitted to churns of earlier months, never negative and pulled to today's. A weight
    changes where today's lies outside the 95% interval of the fit; the verdict is "change" only if
    the new score ranks the later months no worse. Then they are written into a challenger, with the
    evidence in policy_evidence/VERSION.md. With fewer than 10 churned accounts for each fitted
    category (seeds/validation_limits.csv) no weights are suggested. docs/validation.md, 10.

    Examples:

        customer-health tune

        customer-health tune --version v2 --to 2026-01-01      after `train` wrote v2

        customer-health tune --json
    """
    from customer_health import pipeline
    from customer_health.fitting import tune as tuning

    state = _state(ctx, json_output)
    settings = state.settings()
    _need_duckdb(settings, "tune")
    reporter = state.reporter()
    first, last = _fit_window(window_from, window_to)
    with pipeline.locked_run(settings, "tune", reporter), reporter.step("tune"):
        report = tuning.tune(
            settings,
            version=version,
            scorecard=scorecard,
            lead_days=lead,
            horizon_days=horizon,
            window_from=first,
            window_to=last,
            fit_churn_risk=fit_churn_risk,
            write_anyway=write_anyway,
            repeats=repeats,
            seed=seed,
        )
    if state.wants_json:
        state.print_json(report.to_dict())
    else:
        tuning.render(report, state.out)


@app.command("what-if")
def what_if(
    ctx: typer.Context,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            metavar="FILE",
            help="CSV with the columns category_key or metric_key, and weight; rows copied from "
            "seeds/category_weights.csv and seeds/metric_weights.csv do.",
        ),
    ] = None,
    set_weight: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=WEIGHT",
            help="Weight of a category, or of a metric in its category; may be repeated.",
        ),
    ] = None,
    anchors: Annotated[
        Path | None,
        typer.Option(
            "--anchors",
            metavar="FILE",
            help="CSV with the columns metric_key, value and score (0 to 10), and tenure_days_from "
            "where a metric has sets by tenure; rows copied from seeds/metric_anchors.csv do. Each "
            "set is given whole; metrics that are not named keep theirs.",
        ),
    ] = None,
    version: Annotated[
        str | None,
        typer.Option(
            "--version",
            metavar="VERSION",
            help="Start from the weights, anchors and churn model of this version.",
        ),
    ] = None,
    scorecard: ScorecardOption = None,
    lead: Annotated[
        int | None, typer.Option(min=0, max=730, help="Default: of the headline window.")
    ] = None,
    horizon: Annotated[
        int | None, typer.Option(min=1, max=730, help="Default: of the headline window.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """What would other weights or anchors do? Scores an unsaved idea; writes nothing.

    The readers' copy is scored again with the weights of a file or of --set, and the anchors of a
    file. Weights that are not named share what is left, in today's proportions. Shown are who
    changes band, how much ARR that is, and how AUC, lift and recall of the past months would have
    changed, with intervals. The page What if of the dashboard shows the same, with sliders.

    Examples:

        customer-health what-if --set support=0.30

        customer-health what-if --set support=0.25 --set tickets=0.2

        customer-health what-if --weights idea.csv --json

        customer-health what-if --anchors logins.csv           which value deserves which score

        customer-health what-if --version v2                   what a challenger would do
    """
    from customer_health.fitting import what_if as trying

    state = _state(ctx, json_output)
    settings = state.settings()
    _need_duckdb(settings, "what-if")
    found = trying.what_if(
        settings,
        weights_file=weights,
        anchors_file=anchors,
        sets=set_weight or [],
        version=version,
        scorecard=scorecard,
        lead_days=lead,
        horizon_days=horizon,
    )
    if state.wants_json:
        state.print_json(found.to_dict())
    else:
        trying.render(found, state.out)


@policy_app.command("new-version")
def new_version(
    ctx: typer.Context,
    source: Annotated[str, typer.Argument(metavar="FROM", help="Version to copy.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="Name of the new version.")],
    valid_from: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="Date from which it would count. Default: tomorrow."),
    ] = None,
    author: Annotated[
        str | None, typer.Option(help="Who makes it. Default: the name in git.")
    ] = None,
    reason: Annotated[
        str | None, typer.Option(help="Why, in a few words. Default: that it is a copy.")
    ] = None,
) -> None:
    """Copy a version of the policy in every seed, as a challenger.

    Change the rows of the new version, then `customer-health check policy`. A challenger is
    scored beside the champion; to promote it, change its status in seeds/scoring_versions.csv.

    Example:

        customer-health policy new-version v1 v2 --reason "support counts more"
    """
    from customer_health import pipeline

    state = _state(ctx, False)
    settings = state.settings()
    written = pipeline.copy_version(
        settings,
        parse_version(source, "FROM"),
        parse_version(target, "TO"),
        valid_from=None if valid_from is None else parse_date(valid_from, "--valid-from"),
        author=author,
        reason=reason,
    )
    state.out.print(
        f"Copied {escape(source)} to {escape(target)}, a challenger, in {len(written)} seeds. "
        "Change its rows, then: customer-health check policy",
        soft_wrap=True,
        highlight=False,
    )


# -- shared ------------------------------------------------------------------------------------
def _state(ctx: typer.Context, wants_json: bool) -> State:
    """The state that the global options made."""
    state = ctx.find_object(State)
    if state is None:
        state = State()
    state.wants_json = wants_json
    return state


def _need_duckdb(settings: Settings, command: str) -> None:
    """Refuse a command that works on the files of the home folder where the marts are elsewhere.

    Raises:
        UsageError: naming the engine of the dbt target.
    """
    from customer_health.targets import DUCKDB, target_type

    engine = target_type(settings)
    if engine != DUCKDB:
        raise UsageError(
            f"`customer-health {command}` works on DuckDB files only, and the dbt target is of "
            f"type {engine}; run, check, publish, rollback, status, explain and sync know it "
            "(docs/engines.md)"
        )


def _ask(state: State, what: str, yes: bool) -> None:
    """Have a person agree to what a command is about to do.

    Raises:
        UsageError: when nobody can be asked, or the answer is no.
    """
    if yes:
        return
    if state.wants_json or not sys.stdin.isatty():
        raise UsageError(f"{what}: say so with --yes (nothing was changed)")
    state.err.print(escape(f"{what[0].upper()}{what[1:]}."), highlight=False, soft_wrap=True)
    if not typer.confirm("Do it?", err=True):
        raise UsageError("nothing was changed")


def _window(first: str, last: str) -> tuple[date, date]:
    """A window of dates, checked.

    Raises:
        UsageError: for what is no date, or a window that runs backwards.
    """
    window = parse_date(first, "--from"), parse_date(last, "--to")
    if window[0] >= window[1]:
        raise UsageError(f"--from {window[0]} is not before --to {window[1]}")
    return window


def _fit_window(first: str | None, last: str | None) -> tuple[date | None, date | None]:
    """The window to fit on, as far as it is given.

    Raises:
        UsageError: for what is no date, or a window that runs backwards.
    """
    if first is not None and last is not None:
        return _window(first, last)
    return (
        None if first is None else parse_date(first, "--from"),
        None if last is None else parse_date(last, "--to"),
    )


def _tell_publication(state: State, settings: Settings, publication: Publication) -> None:
    """One paragraph about what readers have now."""
    from customer_health.warehouses import warehouse_of

    state.out.print(
        f"[bold green]Published[/bold green] {publication.publication_id}: scores of "
        f"{publication.as_of_date} for {publication.scored_account_count:,} of "
        f"{publication.account_count:,} accounts, {publication.checks_passed} of "
        f"{publication.checks_run} checks passed. Readers open "
        f"{escape(warehouse_of(settings).where_readers_look())}",
        soft_wrap=True,
        highlight=False,
    )


def _tell_where_to_look(state: State, settings: Settings) -> None:
    """What to try after the demo."""
    from customer_health.publication import in_schemas, open_published

    with open_published(settings.published) as connection:
        rows = connection.execute(
            in_schemas(
                connection,
                """
                select account_id
                from {marts}.bi_health__account_360
                where health_score is not null and not is_frozen
                order by arr_amount * (100 - health_score) desc nulls last, account_id
                limit 1
                """,
            )
        ).fetchall()
    account = rows[0][0] if rows else "ACCOUNT"
    state.out.print(
        "\nLook around:\n"
        "  customer-health dashboard           portfolio, accounts and actions in the browser\n"
        "  customer-health status              accounts by band\n"
        f"  customer-health explain {escape(str(account)):<12}why this large account scores low\n"
        "  customer-health check candidate     what the scores are checked for\n"
        "  customer-health --help              everything else",
        soft_wrap=True,
        highlight=False,
    )


@contextmanager
def _stoppable() -> Iterator[None]:
    """While the command runs, SIGTERM and Ctrl-C unwind it, so that its lock is removed.

    A long query in this thread keeps Python from handling any signal. Then a thread, which is
    told by the interpreter itself, ends the process when its time to unwind is over: for the
    published copy that is no worse than `kill -9`.
    """

    def stop(signum: int, frame: Any) -> None:
        # A second one while the first unwinds would leave things half undone.
        signal.signal(signum, signal.SIG_IGN)
        _signals.append(signum)
        raise Terminated if signum == signal.SIGTERM else KeyboardInterrupt

    ended = threading.Event()
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    # What the caller ignores stays ignored (a shell does so with Ctrl-C for background jobs).
    heard = [
        each
        for each in (signal.SIGTERM, signal.SIGINT)
        if signal.getsignal(each) is not signal.SIG_IGN
    ]
    before = {each: signal.signal(each, stop) for each in heard}
    wakeup_before = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_end_when_told, args=(receiver, ended), daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        signal.set_wakeup_fd(wakeup_before)
        for each, handler in before.items():
            signal.signal(each, handler)
        _signals.clear()
        sender.close()


def _end_when_told(receiver: socket.socket, ended: threading.Event) -> None:
    """Wait for a signal to stop, leave time to unwind, and end the process if it did not."""
    codes = {signal.SIGTERM: TERMINATED, signal.SIGINT: INTERRUPTED}
    with receiver:
        while numbers := receiver.recv(16):
            code = next((codes[each] for each in codes if each in numbers), None)
            if code is not None:
                break
        else:
            return
    if not ended.wait(STOP_GRACE_SECONDS):
        remove_held_files()
        os.write(2, b"stopped in the middle of a query; the published copy is whole\n")
        os._exit(code)


def main() -> None:
    """Entry point of `customer-health`."""
    gate_process.allow()
    atexit.register(gc.freeze)  # a parsed project takes the collector a second, for nothing
    with _stoppable():
        app(prog_name="customer-health", args=sys.argv[1:])
