"""The order of a run: policy, landing gate, dbt build, candidate gate, snapshot, publication.

Each step refuses with a `HealthError` and nothing after it happens, so the readers' copy changes
only in the last step. What is known about the candidate (is its build complete, how many checks
passed, which policy it was built with) is kept in `candidate.json`, so that `publish` can be run
by hand later, and a candidate that a dead run left half built cannot be published.
"""

from __future__ import annotations

import getpass
import json
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from customer_health import dbt, gate_process, publication
from customer_health.errors import (
    HealthError,
    UsageError,
    from_database_error,
    from_os_error,
)
from customer_health.gate_process import Gates, Question
from customer_health.lock import run_lock
from customer_health.progress import Reporter
from customer_health.publication import Publication
from customer_health.settings import Settings, parse_date, today
from customer_health.targets import DUCKDB
from customer_health.warehouses import warehouse_of

if TYPE_CHECKING:
    from customer_health.gates import GateName, GateReport

KEEP_RUNS = 30
TOLD_WARNINGS = 5  # of one gate or of dbt, one line each


@dataclass(frozen=True)
class RunOptions:
    """What was asked for on the command line.

    Dates are text as typed; `resolve_dates` turns them into dates.
    """

    as_of: str | None = None
    backfill: tuple[str, str] | None = None
    full_rebuild: bool = False
    accept_volume: bool = False


@dataclass
class Run:
    """One run and what came of it, for `--json` and runs/<run_id>/result.json."""

    run_id: str
    command: str
    run_dir: Path
    started_at: datetime
    as_of: date | None = None
    is_backfill: bool = False
    accepts_volume: bool = False  # fewer rows than before, and drift, only warn
    checks_run: int = 0
    checks_passed: int = 0
    built_by: str | None = None  # the earlier run that built the candidate, if this one did not
    publication: Publication | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def count_checks(self, run: int, passed: int) -> None:
        """Add checks of one step."""
        self.checks_run += run
        self.checks_passed += passed

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "run_id": self.run_id,
            "command": self.command,
            "started_at": self.started_at.isoformat(timespec="seconds"),
            "as_of_date": self.as_of.isoformat() if self.as_of else None,
            "is_backfill": self.is_backfill,
            "accepts_volume": self.accepts_volume,
            "checks_run": self.checks_run,
            "checks_passed": self.checks_passed,
            **self.facts,
            "publication": self.publication.to_summary() if self.publication else None,
        }


@dataclass(frozen=True)
class Accepted:
    """What a gate that passed says about its data, for the gate of the next run.

    Attributes:
        row_counts: rows per raw table, or of `scored_accounts`.
        profile: statistics of the raw tables.
    """

    row_counts: dict[str, int] = field(default_factory=dict)
    profile: dict[str, Any] = field(default_factory=dict)


# -- whole runs --------------------------------------------------------------------------------
@contextmanager
def locked_run(settings: Settings, command: str, reporter: Reporter) -> Iterator[Run]:
    """Hold the lock for a command that writes, and leave a result whatever happens.

    Raises:
        HealthError: BusyError when another run holds the lock; else what the command raises,
            with databases' and the system's errors turned into one line.
    """
    run = _new_run(settings, command)
    try:
        settings.prepare()
        with run_lock(settings.lock, run_id=run.run_id, command=command, warn=reporter.warn):
            run.run_dir.mkdir()
            _forget_old_runs(settings)
            with _result_of(run, reporter):
                warehouse = warehouse_of(settings)
                warehouse.check_ready()
                with warehouse.lock(run.run_id, command):
                    yield run
    except OSError as error:
        raise from_os_error(error) from error
    except duckdb.Error as error:
        raise from_database_error(error) from error


def run_all(settings: Settings, options: RunOptions, run: Run, reporter: Reporter) -> Publication:
    """The whole way, under the lock that the caller holds.

    Raises:
        HealthError: the first refusal; the readers' copy is as it was.
    """
    as_of, backfill = resolve_dates(settings, options, reporter)
    run.as_of, run.is_backfill = as_of, backfill is not None
    run.accepts_volume = options.accept_volume
    with gate_process.beside_or_here() as gates:
        return _run_steps(settings, options, run, reporter, backfill, gates)


def _run_steps(
    settings: Settings,
    options: RunOptions,
    run: Run,
    reporter: Reporter,
    backfill: tuple[date, date] | None,
    gates: Gates,
) -> Publication:
    """The steps of `run_all`, once dates and options are known."""
    as_of = run.as_of
    assert as_of is not None
    variables = _build_variables(run, backfill, options.full_rebuild)
    with reporter.step("policy"):
        policy_hashes = check_policy(settings, as_of)
    take_back_history(settings, reporter)
    last = warehouse_of(settings).last_publication()
    refuse_older(as_of, last, is_backfill=run.is_backfill)

    own = settings.own_staging()
    if own:
        reporter.note(
            f"landing gate: {len(own)} raw tables are staged by this project's own models and are "
            "not checked"
        )
    connected = settings.connected()
    if connected:
        reporter.note(
            f"landing gate: {len(connected)} raw tables come from "
            f"{', '.join(sorted(set(connected.values())))} and are checked row by row in staging"
        )
    landed = Accepted()
    if landing_tables(settings):
        with reporter.step("landing gate"):
            gates.ask(Question(settings, "landing", as_of, last, run.accepts_volume))
            if gates.are_beside:
                _read_project_ahead(settings, variables, run)
            landed = take_answer(gates, run, reporter)

    _note_candidate(settings, run, "building", policy_hashes, landed)
    outcome: dbt.Outcome | None = None
    try:
        with reporter.step("dbt build"):
            outcome = build(settings, variables, options.full_rebuild, run, reporter)
    finally:
        state = "failed" if outcome is None else "built"
        _note_candidate(settings, run, state, policy_hashes, landed)
    _mention_warnings(outcome, reporter)
    return publish_candidate(settings, run, policy_hashes, landed, last, reporter, gates)


def publish_by_hand(settings: Settings, run: Run, reporter: Reporter) -> Publication:
    """Candidate gate, snapshot and publication of the candidate as it stands.

    Raises:
        HealthError: when the candidate was not built completely, or a later step refuses.
    """
    state = _candidate_state(settings)
    was_changed = _was_changed(settings, state)
    with own_writes(settings):
        take_back_history(settings, reporter)
    last = warehouse_of(settings).last_publication()
    facts = warehouse_of(settings).read_candidate()
    by_hand = _built_by_hand(settings, state)
    if by_hand is not None:
        with reporter.step("policy"):
            policy_hashes = check_policy(settings, facts.as_of_date)
        run.count_checks(by_hand.tests_run, by_hand.tests_passed)
        landed = Accepted() if last is None else Accepted(last.row_counts, last.profile)
    else:
        _require_built(state, was_changed=was_changed)
        policy_hashes = state["policy_hashes"]
        landed = Accepted(state["row_counts"], state.get("profile", {}))
        run.built_by = str(state["run_id"])
        run.is_backfill = bool(state["is_backfill"])
        run.count_checks(state["checks_run"], state["checks_passed"])
    run.as_of = facts.as_of_date
    refuse_older(facts.as_of_date, last, is_backfill=run.is_backfill)
    here = gate_process.Here()
    return publish_candidate(settings, run, policy_hashes, landed, last, reporter, here)


# -- steps -------------------------------------------------------------------------------------
def resolve_dates(
    settings: Settings, options: RunOptions, reporter: Reporter
) -> tuple[date, tuple[date, date] | None]:
    """The as_of date and the dates to rebuild, checked.

    Without --as-of it is today in UTC, or in a folder with demo data the last date of those.

    Raises:
        UsageError: for a date that is none, lies ahead, or a backfill that runs backwards.
    """
    demo = settings.demo_as_of()
    latest = max(today(), demo or today())
    if options.as_of is not None:
        as_of = parse_date(options.as_of, "--as-of")
        if as_of > latest:
            raise UsageError(
                f"--as-of: {as_of} lies ahead; scores use what happened before a date, so the "
                f"latest possible one is {latest}"
            )
    elif demo is not None:
        as_of = demo
        reporter.note(f"as_of {as_of}: the last date of the demo data in {settings.home}")
    else:
        as_of = today()
        reporter.note(f"as_of {as_of}: today in UTC")
    if options.backfill is None:
        return as_of, None
    first = parse_date(options.backfill[0], "--backfill FROM")
    last = parse_date(options.backfill[1], "--backfill TO")
    if first > last:
        raise UsageError(f"--backfill: {first} is after {last}; name the earlier date first")
    if last > as_of:
        raise UsageError(f"--backfill: {last} is after the as_of date {as_of}")
    history_from = settings.history_from()
    if history_from is not None and last < history_from:
        raise UsageError(
            f"--backfill: history begins on {history_from} (variable customer_health__history_from)"
        )
    return as_of, (first, last)


def check_policy(settings: Settings, as_of: date) -> dict[str, str]:
    """Check every policy seed, and that no published version was changed.

    Args:
        settings: the project with the seeds.
        as_of: date on which a champion must be in force.

    Returns:
        The hash of each scoring version.

    Raises:
        HealthError: with one line per problem: file, row, column and the fix.
    """
    from customer_health import policy

    seed_files = policy.find_seed_files(settings.project_dir)
    projects = dict.fromkeys((policy.PACKAGE_DIR, settings.project_dir))
    problems = policy.check_policy(
        seed_files, known_metrics=policy.find_known_metrics(*projects), today=as_of
    )
    if problems:
        words = [str(problem) for problem in problems]
        more = f" (and {len(words) - 1} more)" if len(words) > 1 else ""
        raise HealthError(
            f"policy refused: {words[0]}{more}",
            details={"problems": words},
            lines=words if len(words) > 1 else [],
        )
    hashes = policy.policy_hashes(seed_files)
    _refuse_changed_versions(settings, hashes)
    return hashes


def _refuse_changed_versions(settings: Settings, hashes: dict[str, str]) -> None:
    """A version that was published is immutable: its rows say for ever how a score came about."""
    from customer_health import policy

    last = warehouse_of(settings).last_publication()
    if last is None:
        return
    changed = policy.changed_versions(hashes, last.policy_hashes)
    if changed:
        version = changed[0]
        what = "with other seed rows" if version in hashes else "and its seed rows are gone"
        raise HealthError(
            f"policy refused: version {version} was published on {last.published_at:%Y-%m-%d} "
            f"{what}; put them back, and make the change in a new version: "
            f"customer-health policy new-version {version} NAME",
            details={"changed_versions": changed},
        )


def refuse_older(as_of: date, last: Publication | None, *, is_backfill: bool) -> None:
    """Readers expect time to go forward: an older date is published on purpose only.

    Raises:
        HealthError: naming both dates and the option.
    """
    if last is not None and as_of < last.as_of_date and not is_backfill:
        raise HealthError(
            f"as_of {as_of} is older than the published {last.as_of_date}: to rebuild older "
            "dates and publish them, say so with --backfill FROM TO"
        )


def take_back_history(settings: Settings, reporter: Reporter) -> None:
    """Void what a dead run left in the candidate, and tell it."""
    for line in warehouse_of(settings).restore_history():
        reporter.note(line)


def take_answer(gates: Gates, run: Run, reporter: Reporter) -> Accepted:
    """Wait for the gate that was asked for, and count its checks.

    Returns:
        What the gate of the next run compares with.

    Raises:
        HealthError: when it failed, or could not be checked; `details` holds the report.
    """
    from customer_health.gate_report import place

    report = gates.answer()
    name = report.gate
    content = report.to_dict()
    publication.write_json(run.run_dir / f"{name}_gate.json", content)
    run.count_checks(content["checks_run"], content["checks_passed"])
    refuse_unless_passed(report)
    beside = ", project read beside" if name == "landing" and gates.are_beside else ""
    reporter.detail(f"{content['checks_passed']} of {content['checks_run']} checks{beside}")
    for check in report.warnings[:TOLD_WARNINGS]:
        reporter.warn(f"{name} gate: {check.rule} of {place(check)}: {check.observed}")
    if len(report.warnings) > TOLD_WARNINGS:
        more = len(report.warnings) - TOLD_WARNINGS
        reporter.warn(f"{name} gate: {more} more; all with `customer-health check {name}`")
    return Accepted(report.row_counts, report.profile)


def landing_tables(settings: Settings) -> list[str]:
    """Declared raw tables that come in the shape of the input contract."""
    own = settings.own_staging() | settings.connected().keys()
    return [table for table, is_used in settings.using().items() if is_used and table not in own]


def judge(
    settings: Settings,
    name: GateName,
    as_of: date,
    last: Publication | None,
    accept_volume: bool = False,
) -> GateReport:
    """The report of one gate, whatever it says; it is added to the Data Docs.

    It looks at the database of the dbt target.

    Raises:
        HealthError: when its database does not exist, or its own files are broken.
        UsageError: when there is nothing to look at, since the project stages all tables itself.
    """
    from customer_health import data_docs, gates

    if name == "landing" and not landing_tables(settings):
        raise UsageError(
            "the landing gate knows raw tables in the shape of the input contract; this project "
            "stages all of its tables by models of its own"
        )
    warehouse = warehouse_of(settings)
    if name == "landing":
        schema = settings.project_vars.get("raw_schema")
    else:
        schema = warehouse.marts_schema()
    own_thresholds = settings.project_dir / "expectations" / "thresholds.yml"
    report = gates.run_gate(
        name,
        database=warehouse.gate_database(name),
        home=settings.home,
        as_of_date=as_of,
        using=landing_tables(settings) if name == "landing" else None,
        schema=str(schema) if schema else None,
        previous_counts=last.row_counts if last is not None else None,
        previous_profile=last.profile if last is not None else None,
        accept_volume=accept_volume,
        naive_timezone=str(settings.project_vars.get("naive_timezone") or "").strip() or None,
        thresholds=own_thresholds if own_thresholds.is_file() else None,
    )
    # On a full disk what the gate found matters more than its page.
    with suppress(OSError):
        data_docs.add(settings.home, report)
    return report


def refuse_unless_passed(report: GateReport) -> None:
    """Refuse what a gate did not pass; data that is bad and a gate that broke read differently.

    Raises:
        HealthError: with the summary of the report.
    """
    if report.status == "passed":
        return
    hint = (
        "this says nothing about the data"
        if report.status == "could_not_check"
        else f"nothing was published; see all with `customer-health check {report.gate}`"
    )
    if report.failed and all(check.is_acceptable for check in report.failed):
        hint += "; if it is as it should be, run with --accept-volume"
    raise HealthError(f"{report.summary()}; {hint}", details={"gate": report.to_dict()})


def _build_variables(
    run: Run, backfill: tuple[date, date] | None, full_rebuild: bool
) -> dict[str, Any]:
    """Variables of `dbt build`, without the prefix."""
    assert run.as_of is not None
    variables: dict[str, Any] = {"as_of_date": run.as_of.isoformat(), "run_id": run.run_id}
    if backfill is not None:
        # every date from there on: a band depends on the days before it
        variables["backfill_from"] = backfill[0].isoformat()
    if full_rebuild:
        variables["allow_full_refresh"] = True
    return variables


def _read_project_ahead(settings: Settings, variables: dict[str, Any], run: Run) -> None:
    """Import dbt and parse the project while a gate is judged; `dbt build` tells what is wrong."""
    with suppress(HealthError):
        dbt.parse(settings, variables, run_dir=run.run_dir)


def build(
    settings: Settings,
    variables: dict[str, Any],
    full_rebuild: bool,
    run: Run,
    reporter: Reporter,
) -> dbt.Outcome:
    """`dbt build` of everything but unit tests, which test the code and not the data.

    Raises:
        HealthError: unless nodes ran and each of them ended well.
    """
    arguments = ["--exclude-resource-type", "unit_test"]
    if full_rebuild:
        arguments.append("--full-refresh")
    outcome = dbt.run_dbt(
        settings,
        "build",
        variables=variables,
        run_dir=run.run_dir,
        reporter=reporter,
        arguments=arguments,
        check=warehouse_of(settings).check_places,
    )
    run.facts["dbt"] = outcome.to_dict()
    run.count_checks(outcome.tests_run, outcome.tests_passed)
    outcome.require_success(run.run_dir / "dbt.log")
    reporter.detail(
        f"{outcome.count('model')} models, {outcome.tests_passed} of {outcome.tests_run} tests"
    )
    return outcome


def publish_candidate(
    settings: Settings,
    run: Run,
    policy_hashes: dict[str, str],
    landed: Accepted,
    last: Publication | None,
    reporter: Reporter,
    gates: Gates,
) -> Publication:
    """Candidate gate, snapshot, publication; under the lock, with history taken back.

    Raises:
        HealthError: the readers' copy is as it was.
    """
    facts = warehouse_of(settings).read_candidate()
    as_of = _newest_date(facts, run, reporter)
    with reporter.step("candidate gate"):
        gates.ask(Question(settings, "candidate", as_of, last, run.accepts_volume))
        scored = take_answer(gates, run, reporter)
    publication_id = publication.new_publication_id(as_of)
    with reporter.step("snapshot"), own_writes(settings):
        take_snapshot(settings, publication_id, as_of, run, reporter)
    published = Publication(
        publication_id=publication_id,
        published_at=datetime.now(UTC).replace(tzinfo=None),
        as_of_date=as_of,
        scoring_version=facts.scoring_version,
        policy_hash=policy_hashes.get(facts.scoring_version, ""),
        git_sha=git_sha(settings.project_dir),
        account_count=facts.account_count,
        scored_account_count=facts.scored_account_count,
        checks_run=run.checks_run,
        checks_passed=run.checks_passed,
        newest_input_at=facts.newest_input_at,
        is_backfill=run.is_backfill,
        policy_hashes=policy_hashes,
        row_counts={**landed.row_counts, **scored.row_counts},
        profile=landed.profile,
    )
    with reporter.step("publish"), own_writes(settings):
        checks = _gate_checks(settings, run)
        remarks = warehouse_of(settings).publish(published, checks)
        reporter.detail(f"{published.scored_account_count} of {published.account_count} scored")
    for remark in remarks:
        reporter.warn(remark)
    run.publication = published
    return published


def _gate_checks(settings: Settings, run: Run) -> list[publication.GateCheck]:
    """Checks of the gates of this run; the landing gate may have been that of the run that built.

    Raises:
        HealthError: when a report is damaged.
    """
    landing_run = settings.runs_dir / (run.built_by or run.run_id)
    return [
        *publication.checks_of(landing_run / "landing_gate.json"),
        *publication.checks_of(run.run_dir / "candidate_gate.json"),
    ]


def _newest_date(facts: publication.CandidateFacts, run: Run, reporter: Reporter) -> date:
    """The newest date of the candidate, which is what readers will take for today's.

    Raises:
        HealthError: when it is not the date of the run, which then scored nobody.
    """
    if facts.as_of_date == run.as_of:
        return facts.as_of_date
    if run.is_backfill and run.as_of is not None and facts.as_of_date > run.as_of:
        reporter.note(f"the newest scores stay those of {facts.as_of_date}")
        return facts.as_of_date
    raise HealthError(
        f"nobody was scored for {run.as_of}, the newest scores are of {facts.as_of_date}: dates "
        "are scored on Sundays from customer_health__history_from, and daily from "
        "customer_health__daily_from"
    )


def take_snapshot(
    settings: Settings, publication_id: str, as_of: date, run: Run, reporter: Reporter
) -> None:
    """`dbt snapshot` of what is about to be published; nothing if the project has no snapshots.

    Raises:
        HealthError: unless each snapshot ended well.
    """
    outcome = dbt.run_dbt(
        settings,
        "build",
        variables={
            "as_of_date": as_of.isoformat(),
            "publishing": True,
            "publication_id": publication_id,
        },
        run_dir=run.run_dir,
        reporter=reporter,
        # The views that snapshots read name the publication, so they are made anew; nothing that
        # holds data is, for the candidate gate has passed what is there.
        arguments=[
            "--select",
            "1+resource_type:snapshot,config.materialized:view",
            "resource_type:snapshot",
        ],
        name="snapshot",
    )
    if outcome.nodes:
        outcome.require_success(run.run_dir / "dbt.log")
    reporter.detail(f"{outcome.count('snapshot')} snapshots")


def git_sha(folder: Path) -> str | None:
    """Commit of the project, with `-dirty` when files differ from it; None outside git."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ".")
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit}-dirty" if changed else commit


def _git(folder: Path, *arguments: str) -> str:
    """Answer of git."""
    return subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    ).stdout.strip()


# -- demo --------------------------------------------------------------------------------------
def make_demo(
    settings: Settings,
    parameters: dict[str, Any],
    as_of: date,
    reporter: Reporter,
    generate: Callable[[], Any],
) -> None:
    """Put demo data into the home folder, under the lock that the caller holds.

    With other parameters than before, everything built from the old demo data goes first: it is
    another company. `demo.json` marks the folder; nothing is deleted in one that lacks it.

    Raises:
        UsageError: when the folder holds data that are no demo data.
    """
    content = {"as_of": as_of.isoformat(), "parameters": parameters}
    if settings.demo_file.is_file():
        before = json.loads(settings.demo_file.read_text(encoding="utf-8"))
        if before != content:
            _remove_demo(settings)
            reporter.note("removed what was built from the demo data before")
    elif any(path.exists() for path in (settings.landing, settings.build, settings.published)):
        raise UsageError(
            f"{settings.home} holds data that are no demo data; choose another folder: "
            "customer-health demo --home FOLDER"
        )
    publication.write_json(settings.demo_file, content)
    generate()


def _remove_demo(settings: Settings) -> None:
    """Remove demo data and all that was built from them."""
    for path in (
        settings.published,
        settings.manifest,
        settings.withdrawal,
        settings.candidate,
        settings.candidate_state,
        settings.build,
        settings.landing,
    ):
        path.unlink(missing_ok=True)
        path.with_name(f"{path.name}.wal").unlink(missing_ok=True)
    for folder in (settings.publications_dir, settings.raw_dir):
        shutil.rmtree(folder, ignore_errors=True)
    settings.prepare()


# -- policy by command --------------------------------------------------------------------------
def version_to_write(settings: Settings, version: str | None) -> tuple[str, dict[str, Path]]:
    """The version whose rows a command may write, and the files of all seeds.

    Args:
        settings: the project.
        version: as asked for; None takes the newest challenger, else the only version.

    Raises:
        HealthError: when it does not exist, or was published: then it is immutable.
    """
    from customer_health import policy

    seed_files = policy.find_seed_files(settings.project_dir)
    rows = _version_rows(seed_files)
    if version is None:
        challengers = sorted(
            (row["valid_from"], row["scoring_version"])
            for row in rows
            if row["status"] == "challenger"
        )
        if challengers:
            version = challengers[-1][1]
        elif len(rows) == 1:
            version = rows[0]["scoring_version"]
        else:
            raise UsageError("--version: name the scoring version to write")
    names = [row["scoring_version"] for row in rows]
    if version not in names:
        raise UsageError(f"--version: there is no version {version!r}, only {', '.join(names)}")
    last = warehouse_of(settings).last_publication()
    if last is not None and version in {*last.policy_hashes, last.scoring_version}:
        raise HealthError(
            f"version {version} was published and is not changed any more: first "
            f"`customer-health policy new-version {version} NAME`, then the same with "
            "--version NAME"
        )
    return version, seed_files


def own_seed(settings: Settings, seed_files: dict[str, Path], name: str) -> Path:
    """The file of a seed that is to be written.

    Raises:
        HealthError: when it belongs to an installed package, which must not be edited.
    """
    from customer_health import policy

    path = seed_files.get(name)
    if path is None or not policy.is_own_seed(settings.project_dir, path):
        raise HealthError(
            f"the seed {name} is not this project's own: copy it to {settings.project_dir}/seeds "
            "first, where it takes the place of the package's"
        )
    return path


def step_metrics(seed_files: dict[str, Path], version: str) -> list[str]:
    """Metrics of a version whose anchors are steps."""
    from customer_health import policy

    rows = policy.read_seed("metrics", seed_files["metrics"]).of_version(version)
    return [row.text("metric_key") for row in rows if row.text("interpolation") == "step"]


def copy_version(
    settings: Settings,
    source: str,
    target: str,
    *,
    valid_from: date | None,
    author: str | None,
    reason: str | None,
) -> list[Path]:
    """`policy new-version`: copy a version in every seed, as a challenger.

    Returns:
        The files that were written.

    Raises:
        HealthError: when the source does not exist, or the target does.
    """
    from customer_health import policy

    seed_files = policy.find_seed_files(settings.project_dir)
    is_own = all(policy.is_own_seed(settings.project_dir, path) for path in seed_files.values())
    into = None if is_own else settings.project_dir / "seeds"
    if into is not None:
        into.mkdir(exist_ok=True)
    return policy.new_version(
        seed_files,
        source,
        target,
        valid_from=valid_from or today() + timedelta(days=1),
        author=author or _author(settings.project_dir),
        reason=reason or f"copy of {source}",
        into=into,
    )


def _version_rows(seed_files: dict[str, Path]) -> list[dict[str, str]]:
    """Rows of the seed scoring_versions as text."""
    from customer_health import policy

    if "scoring_versions" not in seed_files:
        raise HealthError("seeds/scoring_versions.csv: the seed is missing")
    rows = policy.read_seed("scoring_versions", seed_files["scoring_versions"]).rows
    return [dict(row.cells) for row in rows]


def _author(folder: Path) -> str:
    """Name of the person in git, else the login."""
    try:
        name = _git(folder, "config", "user.name")
    except (OSError, subprocess.SubprocessError):
        name = ""
    return name or getpass.getuser()


# -- what is known about the candidate ----------------------------------------------------------
def _note_candidate(
    settings: Settings,
    run: Run,
    state: str,
    policy_hashes: dict[str, str],
    landed: Accepted,
) -> None:
    """Write candidate.json."""
    publication.write_json(
        settings.candidate_state,
        {
            "state": state,
            "engine": warehouse_of(settings).engine,
            "run_id": run.run_id,
            "noted_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "as_of_date": run.as_of.isoformat() if run.as_of else None,
            "is_backfill": run.is_backfill,
            "checks_run": run.checks_run,
            "checks_passed": run.checks_passed,
            "policy_hashes": policy_hashes,
            "row_counts": landed.row_counts,
            "profile": landed.profile,
            "seal": warehouse_of(settings).seal() if state == "built" else None,
        },
    )


@contextmanager
def own_writes(settings: Settings) -> Iterator[None]:
    """Take the seal off the candidate while this process writes to it, and put it on again.

    A candidate that somebody else has changed before gets no new seal by that.
    """
    state = _candidate_state(settings)
    if state.get("state") != "built" or _was_changed(settings, state):
        yield
        return
    publication.write_json(settings.candidate_state, {**state, "seal": None})
    try:
        yield
    finally:
        # On a full disk the reason of the refusal matters more; the seal just stays off.
        with suppress(OSError):
            now = _candidate_state(settings)
            publication.write_json(
                settings.candidate_state, {**now, "seal": warehouse_of(settings).seal()}
            )


def _was_changed(settings: Settings, state: dict[str, Any]) -> bool:
    """Whether somebody else wrote to the candidate since our build, for example a plain dbt.

    dbt that dies in the middle leaves no results, only a candidate that is half old and half new.
    Where we died ourselves while writing there is no seal to compare with; then any dbt command
    after that counts.
    """
    if state.get("state") != "built":
        return False
    seal = state.get("seal")
    if seal is not None:
        return bool(seal != warehouse_of(settings).seal())
    parsed = settings.project_dir / "target" / "manifest.json"
    return parsed.is_file() and parsed.stat().st_mtime > settings.candidate_state.stat().st_mtime


def _candidate_state(settings: Settings) -> dict[str, Any]:
    """What candidate.json says; empty when there is none, or one of another engine."""
    try:
        content = json.loads(settings.candidate_state.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    is_ours = content.get("engine", DUCKDB) == warehouse_of(settings).engine
    return content if is_ours else {}


def _require_built(state: dict[str, Any], *, was_changed: bool) -> None:
    """Refuse a candidate whose last build did not end well, or that was changed after it."""
    if was_changed:
        raise HealthError(
            f"the candidate was changed after run {state['run_id']} had built it, and by no "
            "`dbt build` that ended well: it may be half old and half new; run "
            "`customer-health run`"
        )
    if state.get("state") == "built":
        return
    if not state:
        raise HealthError(
            "nothing says that the candidate is complete: run `customer-health run`, or "
            "`dbt build` in the project first"
        )
    if state["state"] == "rolled_back":
        raise HealthError(
            "the candidate holds what was rolled back: mend the cause and `customer-health run`, "
            "or bring it back with `customer-health rollback PUBLICATION_ID` (--list shows ids)"
        )
    ended = "failed" if state["state"] == "failed" else "ended early"
    raise HealthError(
        f"the candidate may be half old and half new: the build of run {state['run_id']} "
        f"{ended}; run `customer-health run`"
    )


def _built_by_hand(settings: Settings, state: dict[str, Any]) -> dbt.Outcome | None:
    """The `dbt build` that somebody ran by hand after our last one; None when there is none.

    Raises:
        HealthError: when that was no full build, or nodes of it failed.
    """
    results = settings.project_dir / "target" / "run_results.json"
    if not results.is_file():
        return None
    by_hand_at = datetime.fromtimestamp(results.stat().st_mtime, UTC)
    if state and by_hand_at <= datetime.fromisoformat(state["noted_at"]):
        return None
    built_on = dbt.adapter_of_file(results.parent)
    if built_on not in (None, warehouse_of(settings).engine):
        return None  # by hand, but not what is to be published here
    outcome = dbt.outcome_of_file(results.parent)
    outcome.require_success(settings.project_dir / "logs" / "dbt.log")
    return outcome


def _mention_warnings(outcome: dbt.Outcome, reporter: Reporter) -> None:
    """Tests of severity warn are told, and do not stop a run."""
    for node in outcome.warned[:TOLD_WARNINGS]:
        reporter.warn(node.in_words())
    if len(outcome.warned) > TOLD_WARNINGS:
        reporter.warn(f"{len(outcome.warned) - TOLD_WARNINGS} more dbt tests warned")


# -- run folders -------------------------------------------------------------------------------
def _new_run(settings: Settings, command: str) -> Run:
    """A run with an id of its own, sorted by time."""
    now = datetime.now(UTC)
    run_id = f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    return Run(run_id, command, settings.runs_dir / run_id, now)


def _forget_old_runs(settings: Settings) -> None:
    """Keep the folders of the last runs."""
    folders = sorted(path for path in settings.runs_dir.iterdir() if path.is_dir())
    for folder in folders[:-KEEP_RUNS]:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _result_of(run: Run, reporter: Reporter) -> Iterator[None]:
    """Write runs/<run_id>/result.json when the command ends, however it does."""
    started = time.monotonic()
    result = "interrupted"
    error: dict[str, Any] = {}
    try:
        yield
        result = "ok"
    except HealthError as refusal:
        result = "refused"
        error = {"error": refusal.message, "exit_code": refusal.exit_code}
        raise
    except Exception as unexpected:
        result = "failed"
        error = {"error": f"{type(unexpected).__name__}: {unexpected}", "exit_code": 1}
        raise
    finally:
        content = {
            "result": result,
            **error,
            **run.to_dict(),
            "seconds": round(time.monotonic() - started, 3),
            "steps": reporter.seconds,
            "warnings": reporter.warnings,
        }
        # On a full disk the reason of the refusal matters more than this file.
        with suppress(OSError):
            publication.write_json(run.run_dir / "result.json", content)
