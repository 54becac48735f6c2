"""The command line: what it prints, what it refuses, how it ends, and the order of a run."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
import small_project
import yaml
from small_marts import (
    AS_OF,
    ENVIRONMENT,
    TABLES,
    a_publication,
    call,
    make_project,
    publish_example,
    read_json,
    snapshot_rows,
)
from small_project import report, scores_in, write_project, write_scores
from typer.testing import CliRunner

from customer_health import __version__, cli, dbt, errors, pipeline, publication
from customer_health import settings as places
from customer_health.errors import HealthError, UsageError
from customer_health.publication import publications_in
from customer_health.settings import Settings, parse_date, validate_vars

COMMANDS = (
    *("demo", "run", "check", "publish", "explain", "status", "anchors", "base-rates"),
    *("rollback", "forget", "export", "validate"),
)


@pytest.fixture(autouse=True)
def _narrow(plain_terminal: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A project without anything in it."""
    return make_project(tmp_path / "project")


@pytest.fixture
def published(settings: Settings) -> Settings:
    """A project with the example publication."""
    publish_example(settings)
    return settings


# -- help and usage ----------------------------------------------------------------------------
def test_help_names_every_command_and_the_exit_codes() -> None:
    result = CliRunner().invoke(cli.app, ["--help"])
    assert result.exit_code == 0
    for command in (*COMMANDS, "policy", "Exit codes"):
        assert command in result.output


@pytest.mark.parametrize("command", [*((each,) for each in COMMANDS), ("policy", "new-version")])
def test_the_help_of_every_command_has_an_example(command: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli.app, [*command, "--help"])
    assert result.exit_code == 0
    assert re.search(rf"Examples?:\s+customer-health .*{command[-1]}", result.output, re.DOTALL)


def test_without_a_command_the_help_is_shown() -> None:
    assert "Usage" in CliRunner().invoke(cli.app, []).output


def test_version_is_that_of_the_package() -> None:
    result = CliRunner().invoke(cli.app, ["--version"])
    assert result.output.strip() == f"customer-health {__version__}"
    pyproject = (Path(cli.__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{__version__}"' in pyproject


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "--as-of", "30.06.2026"), "is no date; write it as YYYY-MM-DD"),
        (("run", "--as-of", "2026-02-30"), "is no date"),
        (("run", "--as-of", "2026-06-30'); drop table x; --"), "is no date"),
        (("run", "--as-of", "9999-01-01"), "lies ahead"),
        (("run", "--backfill", "2026-03-31", "2026-03-01"), "name the earlier date first"),
        (("run", "--as-of", "2026-03-01", "--backfill", "2026-02-01", "2026-03-02"),
         "is after the as_of date"),
        (("run", "--backfill", "2020-01-01", "2020-02-01"), "history begins on 2025-01-05"),
        (("run", "--backfill", "2026-03-01"), ""),
        (("explain", "A1", "--as-of", "yesterday"), "is no date"),
        (("anchors", "--from", "2026-01-01", "--to", "2026-01-01"), "is not before"),
        (("policy", "new-version", "v1", "../v2"), "is no name of a scoring version"),
        (("check", "everything"), ""),
        (("frobnicate",), ""),
    ],
)  # fmt: skip
def test_wrong_usage_exits_2_with_one_line(
    settings: Settings, arguments: tuple[str, ...], message: str
) -> None:
    result = call(settings, *arguments)
    assert result.exit_code == 2, result.output
    assert message in result.output
    assert "Traceback" not in result.output


def test_a_folder_without_a_project_is_wrong_usage(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli.app, ["--project-dir", str(tmp_path), "status"])
    assert result.exit_code == 2
    assert "there is no dbt_project.yml" in result.output


# -- settings ----------------------------------------------------------------------------------
def test_home_comes_from_the_option_then_the_environment_then_the_default(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = settings.project_dir
    monkeypatch.chdir(tmp_path)
    assert Settings.resolve(project, environ={}).home == project / "warehouse"
    environ = {"CUSTOMER_HEALTH_HOME": "data"}
    assert Settings.resolve(project, environ=environ).home == project / "data"
    assert Settings.resolve(project, Path("here"), environ=environ).home == tmp_path / "here"
    environ = {"CUSTOMER_HEALTH_PROJECT_DIR": str(project), "CUSTOMER_HEALTH_TARGET": "prod"}
    found = Settings.resolve(environ=environ)
    assert (found.project_dir, found.target) == (project, "prod")


def test_the_project_is_found_from_a_folder_below(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = settings.project_dir / "models" / "marts"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert Settings.resolve(environ={}).project_dir == settings.project_dir


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("as_of_date", "2026-6-30"),
        ("history_from", "'); drop table x; --"),
        ("lookback_days", -1),
        ("lookback_days", True),
        ("raw_schema", 'raw"; drop'),
        ("reporting_currency", "Dollar"),
        ("using_product_events", "yes"),
        ("naive_timezone", "Europe/Berlin'"),
        ("publication_id", "x'; drop table y"),
        ("run_id", "x y"),
        ("publishing", "true"),
        ("baseline_windows", "12; drop"),
        ("incident_day_percent", 101),
        ("usage_smoothing", 100_000),
    ],
)
@pytest.mark.fault(33)
def test_a_variable_of_the_wrong_form_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(HealthError, match=f"variable customer_health__{name} is"):
        validate_vars({name: value})


def test_every_declared_variable_has_a_form_and_every_form_a_variable() -> None:
    project = Path(cli.__file__).parents[1] / "dbt_project.yml"
    declared = yaml.safe_load(project.read_text(encoding="utf-8"))["vars"]
    names = {name.removeprefix(places.PREFIX) for name in declared}
    assert names == places.known_vars()
    hostile = {name: "'); drop table x; --" for name in names}
    for name, value in hostile.items():
        with pytest.raises(HealthError, match=f"variable customer_health__{name} is"):
            validate_vars({name: value})


def test_a_misspelt_variable_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(HealthError, match="nearest is customer_health__lookback_days"):
        validate_vars({"lookback_day": 3})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CUSTOMER_HEALTH_MEMORY_LIMIT", "8GB'; attach 'x"),
        ("CUSTOMER_HEALTH_MEMORY_LIMIT", "lots"),
        ("CUSTOMER_HEALTH_THREADS", "2; drop"),
        ("CUSTOMER_HEALTH_THREADS", "0"),
        ("CUSTOMER_HEALTH_THREADS", "-1"),
        ("CUSTOMER_HEALTH_KEEP_BYTES", "-5"),
        ("CUSTOMER_HEALTH_HOME", "ware'house"),
        ("CUSTOMER_HEALTH_HOME", "{{ env_var('HOME') }}"),
        ("CUSTOMER_HEALTH_HOME", "ware\nhouse"),
        ("CUSTOMER_HEALTH_TARGET", "prod'; x"),
    ],
)
def test_hostile_environment_variables_are_refused_by_name(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    arguments = ["--project-dir", str(settings.project_dir), "status"]
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == 2, result.output
    where = "--target" if name.endswith("TARGET") else name
    assert f"error: {where}: " in result.output
    assert sum(line.startswith("error:") for line in result.output.splitlines()) == 1


@pytest.mark.parametrize("value", ["8GB", "500 MB", "80%", "1.5GiB"])
def test_memory_limits_that_are_fine(settings: Settings, value: str) -> None:
    environ = {"CUSTOMER_HEALTH_MEMORY_LIMIT": value, "CUSTOMER_HEALTH_THREADS": "16"}
    assert Settings.resolve(settings.project_dir, environ=environ).project_dir


def test_variables_of_the_package_section_count_and_the_top_level_wins(tmp_path: Path) -> None:
    (tmp_path / "dbt_project.yml").write_text(
        "name: mine\nvars:\n"
        "  customer_health__using_crm_contacts: true\n"
        "  customer_health:\n"
        "    customer_health__using_crm_contacts: false\n"
        "    customer_health__using_product_usage_daily: true\n",
        encoding="utf-8",
    )
    using = Settings.resolve(tmp_path, environ={}).using()
    assert using["crm_contacts"] is True
    assert using["product_usage_daily"] is True
    assert using["support_tickets"] is True


def test_dates_are_iso_only() -> None:
    assert parse_date("2026-06-30", "x") == AS_OF
    for text in ("20260630", "2026-06-30 ", "２０２６-06-30", "2026-W26-2", ""):
        with pytest.raises(UsageError):
            parse_date(text, "x")


# -- status ------------------------------------------------------------------------------------
def test_status_with_nothing_published_says_what_to_do(settings: Settings) -> None:
    result = call(settings, "status")
    assert result.exit_code == 0
    assert "Nothing is published." in result.output
    assert "customer-health demo" in result.output
    content = json.loads(call(settings, "status", "--json").stdout)
    assert content["is_published"] is False
    assert content["problems"] == []


def test_status_says_what_readers_have(published: Settings) -> None:
    result = call(published, "status")
    assert result.exit_code == 0
    for text in ("2026-06-30T", "version v1, hash h1", "12 of 12 passed", "Insufficient data"):
        assert text in result.output
    content = json.loads(call(published, "status", "--json").stdout)
    assert content["publication"]["policy_hashes"] == {"v1": "h1"}
    assert content["publication"]["account_count"] == 5
    bands = {band["band"]: band["accounts"] for band in content["bands"]}
    assert bands == {"healthy": 2, "at_risk": 1, "critical": 1, "insufficient_data": 1}
    assert content["run_in_progress"] is None
    assert content["age_hours"] > 0


@pytest.mark.parametrize("size", [0, 100, 8192])
def test_status_notices_a_truncated_copy(published: Settings, size: int) -> None:
    published.published.chmod(0o644)
    published.published.write_bytes(published.published.read_bytes()[:size])
    result = call(published, "status")
    assert result.exit_code == 1
    assert "the published copy is damaged" in result.output
    assert "`customer-health rollback` puts the last whole publication back" in result.output
    json_result = call(published, "status", "--json")
    assert json_result.exit_code == 1
    assert len(json.loads(json_result.stdout)["problems"]) == 1


def test_status_notices_a_copy_cut_in_the_middle(published: Settings) -> None:
    """The header is whole, but data are gone: it must not pass for a good copy."""
    published.published.chmod(0o644)
    content = published.published.read_bytes()
    published.published.write_bytes(content[: len(content) // 2])
    assert call(published, "status").exit_code == 1


def test_status_notices_a_missing_copy(published: Settings) -> None:
    published.published.unlink()
    result = call(published, "status")
    assert result.exit_code == 1
    assert "published.duckdb is missing" in result.output


def test_status_shows_a_run_that_is_going_on(published: Settings) -> None:
    from customer_health.lock import run_lock

    with run_lock(published.lock, run_id="r1", command="run", warn=print):
        assert "run r1 (run, process" in call(published, "status").output
        content = json.loads(call(published, "status", "--json").stdout)
        assert content["run_in_progress"]["pid"] == os.getpid()


def test_status_shows_the_last_refusal(published: Settings) -> None:
    folder = published.runs_dir / "20260701T000000Z-aaaaaa"
    folder.mkdir()
    publication.write_json(
        folder / "result.json",
        {"run_id": folder.name, "command": "run", "result": "refused", "error": "[bad] weights"},
    )
    assert "was refused: [bad] weights" in call(published, "status").output
    later = published.runs_dir / "20260702T000000Z-aaaaaa"
    later.mkdir()
    publication.write_json(
        later / "result.json", {"run_id": later.name, "command": "run", "result": "ok"}
    )
    wrong = published.runs_dir / "20260703T000000Z-aaaaaa"
    wrong.mkdir()
    publication.write_json(
        wrong / "result.json",
        {"run_id": wrong.name, "command": "rollback", "result": "refused", "exit_code": 2},
    )
    assert "before that, run (20260701T000000Z-aaaaaa) was refused: [bad] weights" in " ".join(
        call(published, "status").output.split()
    )
    content = json.loads(call(published, "status", "--json").stdout)
    assert content["last_run"]["result"] == "ok"
    assert content["last_refusal"]["error"] == "[bad] weights"


def test_status_tells_which_checks_only_warned(settings: Settings) -> None:
    check = publication.GateCheck(
        "landing", "same_weekday", "product_events", None, "warning", False, "10 rows", "50", None
    )
    held = publication.GateCheck(
        "candidate", "row_count", "scores", None, "critical", True, "5 rows", "at least 1", 0
    )
    small_project_candidate(settings)
    one = a_publication()
    assert publication.publish(settings, one, [check, held]) == []
    output = " ".join(call(settings, "status").output.split())
    assert "warned: landing gate, product_events (same_weekday): 10 rows; expected 50" in output
    content = json.loads(call(settings, "status", "--json").stdout)["checks"]
    assert [each["rule"] for each in content["warned"]] == ["same_weekday"]
    assert (content["run"], content["passed"]) == (12, 12)


def small_project_candidate(settings: Settings) -> None:
    """The example candidate."""
    from small_marts import write_candidate

    write_candidate(settings.candidate)


def test_status_counts_the_queue_and_who_is_over_capacity(published: Settings) -> None:
    words = " ".join(call(published, "status").output.split())
    assert (
        "10 wait, 1 of them overdue; 1 of 2 CSMs were over capacity in the week of 2026-06-22"
        in words
    )
    assert json.loads(call(published, "status", "--json").stdout)["actions"] == {
        "open": 10,
        "overdue": 1,
        "week": "2026-06-22",
        "csms": 2,
        "csms_over_capacity": 1,
    }


def test_status_says_from_when_on_a_publication_is_old(published: Settings) -> None:
    assert "more than 2 days are old" in call(published, "status").output
    (published.project_dir / "dbt_project.yml").write_text(
        "name: small\nvars: {customer_health__old_after_days: 99999}\n", encoding="utf-8"
    )
    content = json.loads(call(published, "status", "--json").stdout)
    assert content["is_old"] is False
    assert not any("is the daily run on" in each for each in content["remarks"])


def test_status_shows_what_was_rolled_back_and_what_is_kept(published: Settings) -> None:
    second = publish_example(published, 2)
    assert "2 publications back to 2026-06-30" in call(published, "status").output
    assert call(published, "rollback", "--yes").exit_code == 0
    assert f"rolled back from {second.publication_id}" in call(published, "status").output
    content = json.loads(call(published, "status", "--json").stdout)
    assert [each["state"] for each in content["kept_publications"]] == ["withdrawn", "current"]


# -- explain -----------------------------------------------------------------------------------
def test_explain_prints_text_or_json(published: Settings) -> None:
    assert "Sum of points" in call(published, "explain", "A1").output
    content = json.loads(call(published, "explain", "A1", "--json").stdout)
    assert content["score"]["health_score"] == 64


def test_errors_are_json_where_json_was_asked_for(published: Settings) -> None:
    result = call(published, "explain", "nobody", "--json")
    assert result.exit_code == 2
    content = json.loads(result.stdout)
    assert content["exit_code"] == 2
    assert "no account has the id or name nobody" in content["error"]
    assert "error:" in result.stderr


# -- the order of a run ------------------------------------------------------------------------
class FakeRun:
    """Stands in for policy, gates and dbt; remembers the order of the calls."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.calls: list[str] = []
        self.refuse_at: str | None = None
        self.status = "failed"
        self.variables: dict[str, dict[str, Any]] = {}
        self.as_of = AS_OF
        self.scores = {"A1": 64}

    def policy(self, settings: Settings, as_of: date) -> dict[str, str]:
        """Policy check."""
        self.calls.append("policy")
        if self.refuse_at == "policy":
            raise HealthError("policy refused: seeds/metric_weights.csv, row 4: no")
        return {"v1": "h1"}

    def judge(self, settings: Settings, name: str, as_of: date, last: Any, *_: Any) -> Any:
        """Gates."""
        self.calls.append(name)
        return report(
            name,
            self.status if self.refuse_at == name else "passed",
            reason="it broke" if self.status == "could_not_check" else None,
        )

    def run_dbt(self, settings: Settings, command: str, **options: Any) -> dbt.Outcome:
        """`dbt build`, also of the snapshots."""
        name = options.get("name") or command
        self.calls.append(name)
        self.variables[name] = options["variables"]
        status = "error" if self.refuse_at == name else "success"
        if name == "build" and status == "success":
            shutil.copyfile(self.settings.home / "example.duckdb", settings.candidate)
            with duckdb.connect(str(settings.candidate)) as connection:
                days = (self.as_of - AS_OF).days
                connection.execute(
                    "update customer_health.fct_health__account_scores "
                    "set as_of_date = as_of_date + ?::integer",
                    [days],
                )
                if settings.published.exists():
                    connection.execute(f"attach '{settings.published}' as kept (read_only)")
                    connection.execute(
                        "insert into customer_health.fct_health__publications "
                        "from kept.customer_health.fct_health__publications"
                    )
                    connection.execute(
                        "insert into customer_health.fct_health__publication_checks "
                        "from kept.customer_health.fct_health__publication_checks"
                    )
        node = dbt.Node("model.x.m", "m", "model", status, "Boom: it broke", "")
        test = dbt.Node("test.x.t", "t", "test", "pass", "", "error")
        return dbt.Outcome(name, (node, test))


@pytest.fixture
def fake(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> FakeRun:
    """A run whose steps are fakes; publishing is real."""
    from small_marts import write_candidate

    stand_in = FakeRun(settings)
    write_candidate(settings.home / "example.duckdb")
    settings.landing.write_bytes(b"")
    monkeypatch.setattr(pipeline, "check_policy", stand_in.policy)
    monkeypatch.setattr(pipeline, "judge", stand_in.judge)
    monkeypatch.setattr(dbt, "run_dbt", stand_in.run_dbt)
    monkeypatch.setattr(places, "today", lambda: date(2026, 7, 31))
    monkeypatch.setattr(pipeline, "today", lambda: date(2026, 7, 31))
    return stand_in


def test_a_run_goes_the_whole_way_in_order(settings: Settings, fake: FakeRun) -> None:
    result = call(settings, "run", "--as-of", "2026-06-30", "--json")
    assert result.exit_code == 0, result.output
    assert fake.calls == ["policy", "landing", "build", "candidate", "snapshot"]
    content = json.loads(result.stdout)
    assert fake.variables["build"] == {"as_of_date": "2026-06-30", "run_id": content["run_id"]}
    assert content["result"] == "ok"
    published = publications_in(settings.published)[0]
    assert content["publication"]["publication_id"] == published.publication_id
    assert fake.variables["snapshot"] == {
        "as_of_date": "2026-06-30",
        "publishing": True,
        "publication_id": published.publication_id,
    }
    assert (published.checks_run, published.checks_passed) == (3, 3)
    assert content["publication"]["row_counts"] == {"crm_accounts": 3, "scored_accounts": 3}
    assert not settings.lock.exists()
    results = list(settings.runs_dir.glob("*/result.json"))
    assert read_json(results[0])["result"] == "ok"


def test_plain_output_has_one_line_a_step(settings: Settings, fake: FakeRun) -> None:
    result = call(settings, "run", "--as-of", "2026-06-30")
    steps = [line for line in result.stderr.splitlines() if line.startswith("✓")]
    assert [step.split()[1].rstrip(":") for step in steps] == [
        "policy", "landing", "dbt", "candidate", "snapshot", "publish",
    ]  # fmt: skip
    assert result.stdout.startswith("Published 2026-06-30T")


@pytest.mark.parametrize(
    ("step", "status", "message"),
    [
        ("policy", "", "policy refused: seeds/metric_weights.csv, row 4"),
        ("landing", "failed", "0 rows, 5,000 last time"),
        ("landing", "could_not_check", "it broke; this says nothing about the data"),
        ("build", "", "dbt build: 1 of 2 nodes failed, first model m: Boom: it broke (log:"),
        ("candidate", "failed", "nothing was published; see all with `customer-health check cand"),
        ("candidate", "could_not_check", "could not check"),
        ("snapshot", "", "dbt snapshot: 1 of 2 nodes failed"),
    ],
)
def test_a_refusal_at_any_step_leaves_the_published_copy_alone(
    settings: Settings, fake: FakeRun, step: str, status: str, message: str
) -> None:
    assert call(settings, "run", "--as-of", "2026-06-30").exit_code == 0
    before = settings.published.read_bytes()
    manifest = settings.manifest.read_bytes()
    fake.calls.clear()
    fake.refuse_at, fake.status, fake.as_of = step, status, AS_OF + timedelta(days=1)

    result = call(settings, "run", "--as-of", "2026-07-01")

    assert result.exit_code == 1
    assert fake.calls[-1] == step, "nothing runs after the refusal"
    assert message in result.stderr
    assert sum(line.startswith("error:") for line in result.stderr.splitlines()) == 1
    assert "Traceback" not in result.output
    assert settings.published.read_bytes() == before
    assert settings.manifest.read_bytes() == manifest
    assert not settings.lock.exists()
    # The next run goes through by itself.
    fake.refuse_at = None
    assert call(settings, "run", "--as-of", "2026-07-01").exit_code == 0
    assert publications_in(settings.published)[0].as_of_date == date(2026, 7, 1)


def test_an_older_date_is_published_on_purpose_only(settings: Settings, fake: FakeRun) -> None:
    assert call(settings, "run", "--as-of", "2026-06-30").exit_code == 0
    before = settings.published.read_bytes()
    refused = call(settings, "run", "--as-of", "2026-06-29")
    assert refused.exit_code == 1
    assert "as_of 2026-06-29 is older than the published 2026-06-30" in refused.output
    assert settings.published.read_bytes() == before
    fake.as_of = AS_OF - timedelta(days=1)
    done = call(settings, "run", "--as-of", "2026-06-29", "--backfill", "2026-06-01", "2026-06-29")
    assert done.exit_code == 0, done.output
    given = {"as_of_date": "2026-06-29", "backfill_from": "2026-06-01"}
    assert given.items() <= fake.variables["build"].items()
    newest = publications_in(settings.published)[0]
    assert (newest.as_of_date, newest.is_backfill) == (date(2026, 6, 29), True)


def test_a_full_rebuild_says_so_to_dbt(
    settings: Settings, fake: FakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    real = fake.run_dbt

    def spy(settings: Settings, command: str, **options: Any) -> dbt.Outcome:
        seen.append(options["arguments"])
        return real(settings, command, **options)

    monkeypatch.setattr(dbt, "run_dbt", spy)
    assert call(settings, "run", "--as-of", "2026-06-30", "--full-rebuild").exit_code == 0
    assert "--full-refresh" in seen[0]
    assert fake.variables["build"]["allow_full_refresh"] is True


def test_a_candidate_of_another_date_is_not_published(settings: Settings, fake: FakeRun) -> None:
    fake.as_of = AS_OF - timedelta(days=3)
    result = call(settings, "run", "--as-of", "2026-06-30")
    assert result.exit_code == 1
    assert "nobody was scored for 2026-06-30, the newest scores are of 2026-06-27" in result.output
    assert not settings.published.exists()


def test_the_date_is_today_or_that_of_the_demo(settings: Settings, fake: FakeRun) -> None:
    fake.as_of = date(2026, 7, 31)
    result = call(settings, "run")
    assert result.exit_code == 0, result.output
    assert "as_of 2026-07-31: today in UTC" in result.stderr
    other = make_project(settings.project_dir.parent / "demo")
    publication.write_json(other.demo_file, {"as_of": "2026-06-30", "parameters": {}})
    assert pipeline.resolve_dates(other, pipeline.RunOptions(), cli.State().reporter()) == (
        AS_OF,
        None,
    )


def test_a_published_version_whose_seeds_changed_is_refused(
    published: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from customer_health import policy

    monkeypatch.setattr(policy, "find_seed_files", lambda _: {})
    monkeypatch.setattr(policy, "find_known_metrics", lambda *_: {})
    monkeypatch.setattr(policy, "check_policy", lambda *_, **__: [])
    monkeypatch.setattr(policy, "policy_hashes", lambda _: {"v1": "h1", "v2": "new"})
    assert pipeline.check_policy(published, AS_OF) == {"v1": "h1", "v2": "new"}
    monkeypatch.setattr(policy, "policy_hashes", lambda _: {"v1": "other"})
    with pytest.raises(HealthError, match=r"version v1 was published.*policy new-version v1 NAME"):
        pipeline.check_policy(published, AS_OF)


def test_every_policy_problem_is_one_line(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from customer_health import policy

    problems = [
        policy.PolicyProblem("seeds/bands.csv", 3, "lower_bound", "first band is not 0"),
        policy.PolicyProblem("seeds/metrics.csv", 0, "", "the seed is missing"),
    ]
    monkeypatch.setattr(policy, "find_seed_files", lambda _: {})
    monkeypatch.setattr(policy, "find_known_metrics", lambda *_: {})
    monkeypatch.setattr(policy, "check_policy", lambda *_, **__: problems)
    result = call(settings, "check", "policy", "--as-of", "2026-06-30")
    assert result.exit_code == 1
    assert "seeds/bands.csv, row 3, column lower_bound: first band is not 0" in result.output
    assert "seeds/metrics.csv: the seed is missing" in result.output


# -- publish -----------------------------------------------------------------------------------
def test_publish_takes_the_candidate_as_it_stands(settings: Settings, fake: FakeRun) -> None:
    fake.refuse_at = "candidate"
    assert call(settings, "run", "--as-of", "2026-06-30").exit_code == 1
    fake.refuse_at = None
    fake.calls.clear()
    result = call(settings, "publish")
    assert result.exit_code == 0, result.output
    assert fake.calls == ["candidate", "snapshot"]
    published = publications_in(settings.published)[0]
    # Two of the run (landing gate, dbt test), one of the candidate gate.
    assert (published.checks_run, published.checks_passed) == (3, 3)


def test_publish_refuses_a_candidate_that_a_dead_run_left(
    settings: Settings, fake: FakeRun
) -> None:
    assert call(settings, "run", "--as-of", "2026-06-30").exit_code == 0
    state = read_json(settings.candidate_state)
    publication.write_json(settings.candidate_state, {**state, "state": "building"})
    result = call(settings, "publish")
    assert result.exit_code == 1
    assert "the candidate may be half old and half new" in result.output


def test_publish_without_any_candidate_says_what_to_do(settings: Settings) -> None:
    result = call(settings, "publish")
    assert result.exit_code == 1
    assert "there is no candidate to publish" in result.output


# -- what dbt answers ---------------------------------------------------------------------------
def outcome(*nodes: tuple[str, str, str]) -> dbt.Outcome:
    """An outcome of (resource type, status, severity)."""
    return dbt.Outcome(
        "build",
        tuple(
            dbt.Node(f"{kind}.x.{place}", f"n{place}", kind, status, "", severity)
            for place, (kind, status, severity) in enumerate(nodes)
        ),
    )


@pytest.mark.parametrize(
    ("nodes", "is_good"),
    [
        ((("model", "success", ""), ("test", "pass", "error")), True),
        ((("model", "success", ""), ("test", "warn", "warn")), True),
        ((("model", "success", ""), ("test", "warn", "error")), False),
        ((("model", "success", ""), ("test", "fail", "error")), False),
        ((("model", "error", ""),), False),
        ((("model", "success", ""), ("model", "skipped", "")), False),
        ((("model", "partial success", ""),), False),
        ((("test", "runtime error", "error"),), False),
        ((), False),
    ],
)
@pytest.mark.fault(57)
def test_every_node_of_dbt_must_end_well(
    nodes: tuple[tuple[str, str, str], ...], is_good: bool
) -> None:
    if is_good:
        outcome(*nodes).require_success(Path("dbt.log"))
    else:
        with pytest.raises(HealthError):
            outcome(*nodes).require_success(Path("dbt.log"))


def test_causes_are_named_before_what_was_skipped_after_them() -> None:
    with pytest.raises(HealthError, match="1 of 2 nodes failed, 1 skipped after them, first mod"):
        outcome(("model", "skipped", ""), ("model", "error", "")).require_success(Path("x"))


# -- errors ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("error", "message", "code"),
    [
        (OSError(28, "No space left on device", "/x/published.tmp"), "no space left", 1),
        (PermissionError(13, "Permission denied", "/x/run.lock"), "not allowed to write", 1),
        (duckdb.IOException('IO Error: Could not set lock on file "/x/build.duckdb": Conflicting'),
         "another process has /x/build.duckdb open", 3),
        (duckdb.OutOfMemoryException("Out of Memory Error: failed to allocate"),
         "CUSTOMER_HEALTH_MEMORY_LIMIT", 1),
        (KeyError("surprise"), "unexpected KeyError: 'surprise'", 1),
        (KeyboardInterrupt(), "interrupted; the published copy is whole", 130),
        (errors.Terminated(), "terminated; the published copy is whole", 143),
    ],
)  # fmt: skip
def test_whatever_happens_is_one_line_and_an_exit_code(
    settings: Settings,
    fake: FakeRun,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    message: str,
    code: int,
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(pipeline, "check_policy", fail)
    result = call(settings, "run", "--as-of", "2026-06-30")
    assert result.exit_code == code
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert not settings.lock.exists()


def test_a_signal_that_comes_out_of_a_query_as_an_error_is_still_a_signal(
    settings: Settings, fake: FakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DuckDB looks for signals, and says RuntimeError."""

    def interrupted(*_: Any) -> None:
        monkeypatch.setattr(cli, "_signals", [signal.SIGTERM])
        raise RuntimeError("Query interrupted")

    monkeypatch.setattr(pipeline, "check_policy", interrupted)
    result = call(settings, "run", "--as-of", "2026-06-30")
    assert result.exit_code == 143
    assert "error:" not in result.stderr


def test_debug_shows_where(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise KeyError("surprise")

    monkeypatch.setattr(pipeline, "resolve_dates", fail)
    result = call(settings, "--debug", "run")
    assert result.exit_code == 1
    assert "Traceback" in result.stderr
    assert "KeyError" in result.stderr


def test_a_folder_that_cannot_be_written_is_one_line(settings: Settings) -> None:
    blocked = settings.home / "file"
    blocked.write_text("", encoding="utf-8")
    where = ["--project-dir", str(settings.project_dir), "--home", str(blocked / "home")]
    result = CliRunner().invoke(cli.app, [*where, "run"])
    assert result.exit_code == 1
    assert sum(line.startswith("error:") for line in result.stderr.splitlines()) == 1


def test_run_without_raw_tables_says_how_to_get_some(settings: Settings, fake: FakeRun) -> None:
    settings.landing.unlink()
    with pytest.raises(HealthError, match="customer-health demo"):
        pipeline_judge(settings, "landing", AS_OF, None)


@pytest.mark.parametrize(
    "arguments",
    [
        ("demo",),
        ("export", "--list"),
        ("forget", "--account", "A1"),
        ("validate",),
        ("anchors", "--from", "2026-01-01", "--to", "2026-06-01"),
        ("base-rates", "--from", "2026-01-01", "--to", "2026-06-01"),
        ("train",),
        ("tune",),
        ("what-if", "--set", "logins=0.5"),
    ],
)
def test_what_works_on_files_only_is_refused_where_the_marts_are_on_a_server(
    settings: Settings, arguments: tuple[str, ...]
) -> None:
    output = {"type": "postgres", "host": "127.0.0.1", "port": 1, "user": "u", "dbname": "d"}
    profile = {"p": {"target": "server", "outputs": {"server": output}}}
    (settings.project_dir / "profiles.yml").write_text(json.dumps(profile), encoding="utf-8")
    with (settings.project_dir / "dbt_project.yml").open("a", encoding="utf-8") as project:
        project.write("\nprofile: p\n")
    result = call(settings, *arguments)
    assert result.exit_code == 2, result.output
    assert "works on DuckDB files only" in result.output
    assert "type postgres" in " ".join(result.output.split())


# The real one, before the fixture replaces it.
pipeline_judge: Callable[..., Any] = pipeline.judge


# -- demo --------------------------------------------------------------------------------------
def test_the_demo_does_not_touch_other_data(settings: Settings) -> None:
    settings.landing.write_bytes(b"precious")
    result = call(settings, "demo")
    assert result.exit_code == 2
    assert "holds data that are no demo data" in result.output
    assert settings.landing.read_bytes() == b"precious"
    assert not settings.demo_file.exists()


def test_another_demo_starts_from_nothing(published: Settings) -> None:
    reporter = cli.State().reporter()
    parameters = {"accounts": 50}
    content = {"as_of": AS_OF.isoformat(), "parameters": parameters}
    publication.write_json(published.demo_file, content)
    pipeline.make_demo(published, parameters, AS_OF, reporter, lambda: None)
    assert published.published.exists(), "the same demo again is only a run"
    pipeline.make_demo(published, {"accounts": 60}, AS_OF, reporter, lambda: None)
    assert not published.published.exists()
    assert not list(published.publications_dir.iterdir())
    assert published.demo_as_of() == AS_OF


# -- policy by command -------------------------------------------------------------------------
def test_a_published_version_is_not_written_by_anchors(
    published: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"scoring_version": "v1", "status": "champion", "valid_from": "2020-01-01"}]
    monkeypatch.setattr(pipeline, "_version_rows", lambda _: rows)
    with pytest.raises(HealthError, match="version v1 was published and is not changed any more"):
        pipeline.version_to_write(published, None)
    rows.append({"scoring_version": "v2", "status": "challenger", "valid_from": "2026-07-01"})
    assert pipeline.version_to_write(published, None)[0] == "v2"
    with pytest.raises(UsageError, match="there is no version 'v3', only v1, v2"):
        pipeline.version_to_write(published, "v3")


# -- with the real dbt -------------------------------------------------------------------------
@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A small project that was run once for real, in this process."""
    folder = tmp_path_factory.mktemp("small")
    settings = write_project(folder / "project", folder / "home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "check_policy", lambda *_: {"v1": "hash-of-v1"})
        patch.setattr(pipeline, "judge", lambda _, name, *__: report(name))
        result = call(settings, "run", "--as-of", "2026-06-28", "--json")
        assert result.exit_code == 0, result.output
        # the marts, and three of its own: a view, what the snapshot reads, and the slow one
        assert json.loads(result.stdout)["dbt"]["models"] == len(TABLES) + 3
        assert "warning: test assert_scores_are_at_most_99: Got 1 result" in result.stderr
        yield settings


def open_files(folder: Path) -> list[str]:
    """Files below a folder that this process holds open."""
    here = Path("/proc/self/fd")
    if not here.exists():
        pytest.skip("needs /proc")
    links = [os.readlink(link) for link in here.iterdir() if link.is_symlink() and link.exists()]
    return [link for link in links if link.startswith(str(folder)) and ".duckdb" in link]


def test_dbt_lets_go_of_every_database(built: Settings) -> None:
    assert open_files(built.home) == []
    assert not list(built.home.glob("*.wal"))
    other = subprocess.run(
        [sys.executable, "-c", "import duckdb, sys; duckdb.connect(sys.argv[1]).execute('from "
         "customer_health.bi_health__account_360')", str(built.candidate)],
        check=False,
    )  # fmt: skip
    assert other.returncode == 0, "another process can write to the candidate"


def test_a_real_run_publishes_scores_snapshot_and_manifest(built: Settings) -> None:
    assert scores_in(built.published) == {"A1": 64, "A2": 30, "A3": 100}
    published = publications_in(built.published)[0]
    assert {row[2] for row in snapshot_rows(built.published)} == {published.publication_id}
    assert read_json(built.manifest)["publication_id"] == published.publication_id
    with publication.open_published(built.published) as connection:
        rows = connection.execute(
            "from customer_health.fct_health__account_scores_current"
        ).fetchall()
        checks = connection.execute(
            "select publication_id, gate, rule, is_passed, bad_row_count "
            "from customer_health.fct_health__publication_checks order by gate"
        ).fetchall()
    assert len(rows) == 3
    assert checks == [
        (published.publication_id, gate, "row_count", True, None)
        for gate in ("candidate", "landing")
    ]
    assert "Acme A1 (A1)" in call(built, "explain", "acme a1").output


def test_after_a_rollback_the_same_date_is_run_again(built: Settings, tmp_path: Path) -> None:
    """Real dbt, real snapshots: the withdrawn publication leaves no trace in the next one."""
    home = tmp_path / "home"
    shutil.copytree(built.home, home)
    settings = Settings.resolve(built.project_dir, home, environ={})
    first = publications_in(settings.published)[0]
    write_scores(settings, {"A1": 10, "A2": 30, "A3": 90})
    assert call(settings, "run", "--as-of", "2026-06-29").exit_code == 0
    second = publications_in(settings.published)[0]
    result = call(settings, "rollback", "--yes")
    assert result.exit_code == 0, result.output
    assert scores_in(settings.published) == {"A1": 64, "A2": 30, "A3": 100}
    write_scores(settings, {"A1": 70, "A2": 30, "A3": 90})
    again = call(settings, "run", "--as-of", "2026-06-29")
    assert again.exit_code == 0, again.output
    assert scores_in(settings.published)["A1"] == 70
    third = publications_in(settings.published)[0]
    ids = [each.publication_id for each in publications_in(settings.published)]
    assert ids == [third.publication_id, first.publication_id]
    assert second.publication_id not in str(snapshot_rows(settings.published))
    with publication.open_published(settings.published) as connection:
        checked = connection.execute(
            "select distinct publication_id from customer_health.fct_health__publication_checks"
        ).fetchall()
    assert {each for (each,) in checked} == set(ids)
    assert not (settings.publications_dir / f"{second.publication_id}.duckdb").exists()


def test_a_failed_dbt_test_refuses_the_run(built: Settings) -> None:
    before = built.published.read_bytes()
    write_scores(built, {"A1": 64, "A2": 130})
    refused = call(built, "run", "--as-of", "2026-06-29")
    assert refused.exit_code == 1
    assert "test assert_scores_are_at_most_100: Got 1 result" in refused.output
    assert built.published.read_bytes() == before
    assert open_files(built.home) == []
    # What failed cannot be published by hand either.
    by_hand = call(built, "publish")
    assert by_hand.exit_code == 1
    assert "may be half old and half new" in by_hand.output


def test_a_run_stopped_inside_dbt(built: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM while DuckDB works for dbt: its query is cancelled, its files are let go."""
    before = built.published.read_bytes()
    # Long enough to be caught; it also ends by itself, for dbt cannot cancel in the instant
    # between its announcement and the query (where the command line ends the process in time).
    monkeypatch.setenv("SLOW_ROWS", "3000000000")
    monkeypatch.setattr(cli, "STOP_GRACE_SECONDS", 600)  # here it would end the tests, too
    old_logs = set(built.runs_dir.glob("*/dbt.log"))
    ended = threading.Event()

    def stop_in_slow_model() -> None:
        while not ended.wait(0.05):
            logs = set(built.runs_dir.glob("*/dbt.log")) - old_logs
            if any("START sql table model customer_health.slow" in log.read_text() for log in logs):
                time.sleep(0.3)
                os.kill(os.getpid(), signal.SIGTERM)
                return

    with cli._stoppable():
        threading.Thread(target=stop_in_slow_model, daemon=True).start()
        result = call(built, "run", "--as-of", "2026-06-30")
        ended.set()
    assert result.exit_code == 143, result.output
    assert "terminated; the published copy is whole" in result.stderr
    assert "Traceback" not in result.output
    assert built.published.read_bytes() == before
    assert not built.lock.exists()
    assert open_files(built.home) == []
    assert read_json(built.candidate_state)["state"] == "failed"


def test_a_build_by_hand_can_be_published(built: Settings) -> None:
    """A whole `dbt build` is published; one with a selection, or cut short, is not."""
    from dbt.cli.main import dbtRunner

    write_scores(built, {"A1": 50, "A2": 99})
    here = Path.cwd()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUSTOMER_HEALTH_HOME", str(built.home))
        try:
            answer = dbtRunner().invoke(
                ["build", "--project-dir", str(built.project_dir), "--quiet",
                 "--profiles-dir", str(built.project_dir),
                 "--vars", json.dumps({"customer_health__as_of_date": "2026-07-01"})]
            )  # fmt: skip
        finally:
            os.chdir(here)
            dbt.release_connections()
    assert answer.success, answer.exception
    results = built.project_dir / "target" / "run_results.json"
    whole = read_json(results)

    selected = {**whole, "args": {**whole["args"], "select": ["bi_health__account_360"]}}
    results.write_text(json.dumps(selected), encoding="utf-8")
    refused = call(built, "publish")
    assert refused.exit_code == 1
    assert "was no full build (`dbt build` with a selection)" in refused.output

    kept = [
        each for each in whole["results"] if "fct_health__score_changes" not in each["unique_id"]
    ]
    results.write_text(json.dumps({**whole, "results": kept}), encoding="utf-8")
    refused = call(built, "publish")
    assert refused.exit_code == 1
    assert "1 nodes did not run, first model.customer_health.fct_health__score" in refused.output

    failed = [dict(each, status="error", message="Boom") for each in whole["results"]]
    results.write_text(json.dumps({**whole, "results": failed}), encoding="utf-8")
    assert "nodes failed" in call(built, "publish").output

    results.write_text(json.dumps(whole), encoding="utf-8")
    done = call(built, "publish")
    assert done.exit_code == 0, done.output
    assert publications_in(built.published)[0].as_of_date == date(2026, 7, 1)
    assert scores_in(built.published) == {"A1": 50, "A2": 99}


def test_a_missing_profile_is_one_line(built: Settings, tmp_path: Path) -> None:
    project = tmp_path / "broken"
    shutil.copytree(built.project_dir, project, ignore=shutil.ignore_patterns("target", "logs"))
    (project / "profiles.yml").write_text("other: {}\n", encoding="utf-8")
    settings = Settings.resolve(project, tmp_path / "home", environ={})
    settings.prepare()
    write_scores(settings, {"A1": 1})
    result = call(settings, "run", "--as-of", "2026-06-30")
    assert result.exit_code == 1
    assert "dbt build could not run" in result.output
    assert "Could not find profile named 'customer_health'" in result.output
    assert sum(line.startswith("error:") for line in result.stderr.splitlines()) == 1


# -- in processes of their own -------------------------------------------------------------------
def start(settings: Settings, *arguments: str) -> subprocess.Popen[str]:
    """The command line in a process of its own, with a `dbt build` that never ends."""
    where = ["--project-dir", str(settings.project_dir), "--home", str(settings.home)]
    return subprocess.Popen(
        [sys.executable, small_project.__file__, *where, *arguments],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)]
)
@pytest.mark.fault(47)
def test_a_run_that_is_stopped_in_the_middle(
    settings: Settings, fake: FakeRun, number: int, code: int
) -> None:
    """The lock goes, readers keep what they have, and the next run goes through by itself."""
    if sys.platform != "linux":
        pytest.skip("the process to be stopped waits on a mutex of glibc")
    assert call(settings, "run", "--as-of", "2026-06-30").exit_code == 0
    before = settings.published.read_bytes()
    process = start(settings, "run", "--as-of", "2026-07-01")
    try:
        for _ in range(1_200):
            if (settings.home / "querying").exists():
                break
            time.sleep(0.05)
        # A second one is told to wait, also when it only publishes.
        busy = call(settings, "publish")
        assert busy.exit_code == 3, busy.output
        assert re.search(r"run \S+ \(run, process \d+ on .*\) in progress since \d", busy.output)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code, stderr
    assert "Traceback" not in stderr
    assert settings.published.read_bytes() == before
    assert settings.lock.exists() is (number == signal.SIGKILL)
    assert call(settings, "status").exit_code == 0
    fake.as_of = date(2026, 7, 1)
    done = call(settings, "run", "--as-of", "2026-07-01")
    assert done.exit_code == 0, done.output
    assert ("took over the lock" in done.stderr) is (number == signal.SIGKILL)
    assert publications_in(settings.published)[0].as_of_date == date(2026, 7, 1)


def test_a_publication_counts_only_what_is_in_its_copy(settings: Settings) -> None:
    """The hand-made publication of the other tests agrees with the facts that publishing reads."""
    publish_example(settings)
    facts = publication.read_candidate(settings)
    expected = a_publication()
    assert facts.account_count == expected.account_count
    assert facts.scored_account_count == expected.scored_account_count
    assert facts.newest_input_at == expected.newest_input_at
    assert facts.scoring_version == "v1"
