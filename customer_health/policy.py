"""The policy in the seeds: read it, judge it before dbt does, hash it, copy a version of it.

dbt loads a seed by dropping its table first, so a malformed file costs the table that was there.
Everything here therefore reads the files alone, touches no database, and reports each fault with
its file, row and column, and what to write instead. The meaning of every column stands in
`seeds/_seeds.yml`; the arithmetic that uses it is described in docs/scoring-model.md.
"""

from __future__ import annotations

import csv
import difflib
import hashlib
import io
import json
import os
import re
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import yaml

from customer_health.errors import HealthError
from customer_health.settings import PROJECT_FILE, RAW_TABLES, VENDORS

PACKAGE_NAME = "customer_health"
PACKAGE_DIR = Path(__file__).resolve().parent.parent
ANY = "*"
NO_SCORE_BAND = "insufficient_data"
INTERCEPT = "intercept"
CHURN_PROBABILITY = "churn_probability"
# Beside the raw tables: what stands for product_events or product_usage_daily, whichever is
# declared, and for CSAT answers of surveys and of tickets.
SOURCES = ("product_usage", "csat_answers", *RAW_TABLES)
# Computed between two scorings, not by a signal model.
SCORED_METRICS = {CHURN_PROBABILITY: "int_health__churn_probability"}
SUM_TOLERANCE = Decimal("0.000001")
MOST_NAMES_SHOWN = 12
HEAVY_TAIL_RATIO = 10
HEAVY_TAIL_POINTS = 5

# What an action text of a playbook may name.
PLACEHOLDERS = (
    "account_name", "segment", "plan", "csm_id", "health_score", "band_label", "days_in_band",
    "score_change", "top_negative_driver", "top_positive_driver", "missing_metrics",
    "renewal_date", "days_to_renewal", "arr_amount", "mrr_amount", "currency_code",
    "onboarding_score", "expansion_score", "conversion_score", "metric_label", "metric_value",
    "feature_key",
)  # fmt: skip
# Those that only one kind of trigger can fill in.
_PLACEHOLDER_OF_TRIGGER = {
    "metric_label": "metric_below",
    "metric_value": "metric_below",
    "feature_key": "feature_unused",
}

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}", re.ASCII)
Kind = Literal["key", "name", "text", "number", "integer", "date"]


@dataclass(frozen=True)
class Column:
    """One column of a seed: how a cell is written and within which bounds.

    `key` is a name of ours (letters, digits, `_`), `name` is text of the user's own systems
    (segments, plans, event names). `least` and `most` are inclusive; `above` is exclusive.
    """

    name: str
    kind: Kind = "text"
    required: bool = True
    allowed: tuple[str, ...] = ()
    least: int | None = None
    most: int | None = None
    above: int | None = None
    is_any_allowed: bool = False


@dataclass(frozen=True)
class SeedSpec:
    """One seed: its columns, the columns that identify a row, and whether it may be empty."""

    columns: tuple[Column, ...]
    key: tuple[str, ...]
    is_versioned: bool = True
    is_required: bool = False  # every version needs at least one row

    def column(self, name: str) -> Column:
        """The column of that name."""
        return next(column for column in self.columns if column.name == name)


def _key(name: str, **more: Any) -> Column:
    return Column(name, "key", **more)


def _number(name: str, **more: Any) -> Column:
    return Column(name, "number", **more)


def _integer(name: str, **more: Any) -> Column:
    return Column(name, "integer", **more)


def _date(name: str) -> Column:
    return Column(name, "date")


def _optional(name: str, kind: Kind = "name", **more: Any) -> Column:
    return Column(name, kind, required=False, **more)


_VERSION = _key("scoring_version")
_SCORECARD = _key("scorecard_key")
_ANY_SCORECARD = _key("scorecard_key", is_any_allowed=True)
_METRIC = _key("metric_key")
_ANY_SEGMENT = Column("segment", "name")
_STAGES = ("trial", "onboarding", "active", "renewal_window")
_PER_METRIC = ("scoring_version", "metric_key")
_PER_SCORECARD_METRIC = ("scoring_version", "scorecard_key", "metric_key")

SEEDS: dict[str, SeedSpec] = {
    "scoring_versions": SeedSpec(
        (
            _VERSION,
            Column("status", allowed=("champion", "challenger", "retired")),
            _date("valid_from"),
            _optional("fitted_to", "date"),
            _optional("churn_model_version", "key"),
            Column("author"),
            Column("reason"),
        ),
        ("scoring_version",),
    ),
    "scorecards": SeedSpec(
        (
            _VERSION,
            _SCORECARD,
            Column("label"),
            Column("purpose", allowed=("health", "onboarding", "expansion", "conversion")),
            _number("min_coverage", least=0, most=1),
            _number("hysteresis_points", least=0, most=50),
            _integer("confirm_days", least=0, most=365),
            _optional("fall_points", "number", above=0, most=100),
            _optional("fall_days", "integer", least=1, most=365),
            _date("review_by"),
        ),
        ("scoring_version", "scorecard_key"),
        is_required=True,
    ),
    "scorecard_rules": SeedSpec(
        (
            _VERSION,
            _integer("priority", least=1),
            _SCORECARD,
            _optional("segment"),
            _optional("plan"),
            _optional("lifecycle_stage", allowed=_STAGES),
            _optional("tenure_days_from", "integer", least=0),
        ),
        ("scoring_version", "priority"),
        is_required=True,
    ),
    "metrics": SeedSpec(
        (
            _VERSION,
            _METRIC,
            _key("category_key"),
            Column("label"),
            Column("unit"),
            Column("source_key", allowed=SOURCES),
            _optional("window_days", "integer", least=1, most=3660),
            Column("absence", allowed=("zero", "unknown", "not_applicable")),
            _optional("stale_after_days", "integer", least=0),
            _optional("due_after_tenure_days", "integer", least=0),
            _optional("half_life_days", "number", above=0),
            _optional("prior_value", "number"),
            _optional("prior_strength", "number", least=0),
            Column("interpolation", allowed=("linear", "step")),
            Column("owner"),
            Column("rationale"),
        ),
        _PER_METRIC,
        is_required=True,
    ),
    "event_metrics": SeedSpec(
        (
            _VERSION,
            _METRIC,
            Column(
                "aggregation",
                allowed=(
                    "events",
                    "active_days",
                    "active_users",
                    "distinct_features",
                    "duration_hours",
                ),
            ),
            Column(
                "basis",
                allowed=(
                    "account",
                    "per_seat",
                    "per_plan_feature",
                    "previous_window",
                    "own_baseline",
                ),
            ),
        ),
        _PER_METRIC,
    ),
    "event_metric_events": SeedSpec(
        (_VERSION, _METRIC, Column("event_name", "name")),
        ("scoring_version", "metric_key", "event_name"),
    ),
    "metric_anchors": SeedSpec(
        (
            _VERSION,
            _ANY_SCORECARD,
            _METRIC,
            _integer("tenure_days_from", least=0),
            _number("value"),
            _number("score", least=0, most=10),
        ),
        (*_PER_SCORECARD_METRIC, "tenure_days_from", "value"),
        is_required=True,
    ),
    "category_weights": SeedSpec(
        (_VERSION, _SCORECARD, _key("category_key"), _number("weight", least=0, most=1)),
        ("scoring_version", "scorecard_key", "category_key"),
        is_required=True,
    ),
    "metric_weights": SeedSpec(
        (_VERSION, _SCORECARD, _METRIC, _number("weight", least=0, most=1)),
        _PER_SCORECARD_METRIC,
        is_required=True,
    ),
    "bands": SeedSpec(
        (
            _VERSION,
            _ANY_SCORECARD,
            _key("band_key"),
            _integer("band_rank", least=1),
            _integer("lower_bound", least=0, most=100),
            Column("traffic_light", allowed=("red", "yellow", "green")),
            Column("label"),
            Column("meaning"),
        ),
        ("scoring_version", "scorecard_key", "band_key"),
        is_required=True,
    ),
    "knockouts": SeedSpec(
        (
            _VERSION,
            _ANY_SCORECARD,
            _METRIC,
            Column("operator", allowed=(">", ">=", "<", "<=", "=")),
            _number("value"),
            _key("worst_band_key"),
            Column("reason"),
        ),
        (*_PER_SCORECARD_METRIC, "operator", "value"),
    ),
    "usage_calendar": SeedSpec(
        (
            _VERSION,
            _ANY_SEGMENT,
            _date("from_date"),
            _date("to_date"),
            _number("expected_usage_ratio", above=0, most=100),
            Column("reason"),
        ),
        ("scoring_version", "segment", "from_date"),
    ),
    "churn_base_rates": SeedSpec(
        (
            _VERSION,
            _ANY_SEGMENT,
            _integer("tenure_days_from", least=0),
            _number("churn_rate", least=0, most=1),
            _integer("account_count", least=0),
        ),
        ("scoring_version", "segment", "tenure_days_from"),
    ),
    "churn_model": SeedSpec(
        (
            _VERSION,
            _key("churn_model_version"),
            _key("feature"),
            _number("coefficient"),
            _optional("mean", "number", least=0, most=10),
            _optional("standard_deviation", "number", above=0),
            _date("trained_from"),
            _date("trained_to"),
            _integer("churner_count", least=0),
            _number("auc", least=0, most=1),
        ),
        ("scoring_version", "churn_model_version", "feature"),
    ),
    "playbooks": SeedSpec(
        (
            _key("playbook_key"),
            Column("status", allowed=("active", "draft")),
            Column(
                "trigger_type",
                allowed=(
                    "band_entered",
                    "band_held",
                    "score_fell",
                    "metric_below",
                    "category_below",
                    "feature_unused",
                    "champion_gone",
                    "champion_silent",
                    "renewal_not_healthy",
                    "expansion_above",
                    "conversion_above",
                    "checkin_overdue",
                    "sentiment_gap",
                    "payment_overdue",
                ),
            ),
            _optional("trigger_value"),
            _optional("condition_segment"),
            _optional("condition_plan"),
            _optional("condition_lifecycle_stage", allowed=_STAGES),
            _optional("min_arr_amount", "number", least=0),
            _optional("moves_key", "key"),
            Column("action_text"),
            Column(
                "owner_role",
                allowed=("csm", "support", "sales", "product", "marketing", "finance"),
            ),
            Column("channel", allowed=("csm_task", "campaign", "product_tip", "call_list")),
            _integer("priority", least=1, most=5),
            _integer("due_days", least=0, most=365),
            _integer("cooldown_days", least=0, most=365),
        ),
        ("playbook_key",),
        is_versioned=False,
    ),
    "validation_windows": SeedSpec(
        (
            _integer("lead_days", least=0, most=1000),
            _integer("horizon_days", least=1, most=1000),
            Column("is_headline", allowed=("true", "false")),
        ),
        ("lead_days", "horizon_days"),
        is_versioned=False,
    ),
    "validation_limits": SeedSpec(
        (_key("limit_key"), _number("value", least=0), Column("meaning")),
        ("limit_key",),
        is_versioned=False,
    ),
    "account_map": SeedSpec(
        (
            Column("source_system", allowed=("crm", *sorted(VENDORS))),
            Column("source_account_id", "name"),
            Column("account_id", "name"),
        ),
        ("source_system", "source_account_id"),
        is_versioned=False,
    ),
    "account_link_methods": SeedSpec(
        (
            Column("link_method", allowed=("map", "external_id", "domain")),
            _integer("method_rank", least=1),
            _number("confidence", above=0, most=1),
        ),
        ("link_method",),
        is_versioned=False,
    ),
    "free_mail_domains": SeedSpec(
        (Column("domain", "name"),),
        ("domain",),
        is_versioned=False,
    ),
    "currency_minor_units": SeedSpec(
        (
            _key("currency_code"),
            _integer("minor_units", least=0, most=4),
            _integer("stripe_minor_units", least=0, most=4),
        ),
        ("currency_code",),
        is_versioned=False,
    ),
}

# Who may change without changing a score: administration, not policy. Promoting a challenger and
# putting off a review must be possible on a published version.
_NOT_HASHED = {
    "scoring_versions": {"status", "valid_from", "fitted_to", "author", "reason"},
    "scorecards": {"review_by"},
}

# seed, column -> seed and column where the name must stand (within the same version).
_REFERENCES: tuple[tuple[str, str, str, str], ...] = (
    ("scorecard_rules", "scorecard_key", "scorecards", "scorecard_key"),
    ("category_weights", "scorecard_key", "scorecards", "scorecard_key"),
    ("metric_weights", "scorecard_key", "scorecards", "scorecard_key"),
    ("metric_anchors", "scorecard_key", "scorecards", "scorecard_key"),
    ("bands", "scorecard_key", "scorecards", "scorecard_key"),
    ("knockouts", "scorecard_key", "scorecards", "scorecard_key"),
    ("category_weights", "category_key", "metrics", "category_key"),
    ("metric_weights", "metric_key", "metrics", "metric_key"),
    ("metric_anchors", "metric_key", "metrics", "metric_key"),
    ("event_metrics", "metric_key", "metrics", "metric_key"),
    ("event_metric_events", "metric_key", "event_metrics", "metric_key"),
    ("knockouts", "metric_key", "metrics", "metric_key"),
)


@dataclass(frozen=True, order=True)
class PolicyProblem:
    """One fault of the policy.

    `file` is folder and name of the seed; `row` is the line as an editor numbers it (the header
    is 1), 0 for the file as a whole; `column` is empty where the whole row is meant.
    """

    file: str
    row: int
    column: str
    message: str

    def __str__(self) -> str:
        row = f", row {self.row}" if self.row else ""
        column = f", column {self.column}" if self.column else ""
        return f"{self.file}{row}{column}: {self.message}"


@dataclass(frozen=True)
class Row:
    """One row of a seed.

    `cells` is what is written (without spaces around it), `values` holds the numbers and dates
    that could be read, `refused` names the cells that are reported.
    """

    line: int
    cells: Mapping[str, str]
    values: Mapping[str, int | Decimal | date]
    refused: frozenset[str] = frozenset()

    def text(self, column: str) -> str:
        """The cell as written; empty where there is none."""
        return self.cells.get(column, "")

    def number(self, column: str) -> Decimal | None:
        """The number in the cell; None where there is none or it could not be read."""
        value = self.values.get(column)
        if isinstance(value, int):
            return Decimal(value)
        return value if isinstance(value, Decimal) else None

    def day(self, column: str) -> date | None:
        """The date in the cell; None where there is none or it could not be read."""
        value = self.values.get(column)
        return value if isinstance(value, date) else None


@dataclass
class Seed:
    """A seed file as read.

    `is_readable` is false where its shape is broken or rows are lost: then nothing is said about
    what it lacks, which would repeat one fault in other words.
    """

    name: str
    file: str
    rows: list[Row] = field(default_factory=list)
    problems: list[PolicyProblem] = field(default_factory=list)
    is_readable: bool = True

    def blame(self, row: Row | int, column: str, message: str) -> None:
        """Note a fault of a row (or of a line number, 0 for the file)."""
        line = row.line if isinstance(row, Row) else row
        self.problems.append(PolicyProblem(self.file, line, column, message))

    def of_version(self, version: str) -> list[Row]:
        """The rows of a version, in the order of the file."""
        return [row for row in self.rows if row.text("scoring_version") == version]


# ---- files --------------------------------------------------------------------------------------


def find_seed_files(project_dir: Path) -> dict[str, Path]:
    """The file of each policy seed, as dbt will load it.

    A file in the project's own seed folders wins over one of the installed package
    (`dbt_packages/customer_health`), which wins over the seeds beside this module. A seed that
    is nowhere is left out; `check_policy` reports it.

    Raises:
        HealthError: for a project file that cannot be read, or one seed twice in one project.
    """
    project = project_dir.resolve()
    found: dict[str, Path] = {}
    for folder in _package_dirs(project):
        for name, path in _seeds_of(folder).items():
            found.setdefault(name, path)
    return {name: found[name] for name in SEEDS if name in found}


def is_own_seed(project_dir: Path, path: Path) -> bool:
    """Whether a seed file is the project's own, and not one of an installed package.

    Packages lie in a folder of the project (`dbt_packages`), and the next `dbt deps` would undo
    what is written there.
    """
    project, where = project_dir.resolve(), path.resolve()
    installed = [each for each in _package_dirs(project)[1:] if each.is_relative_to(project)]
    return where.is_relative_to(project) and not any(
        where.is_relative_to(folder) for folder in installed
    )


def find_known_metrics(*project_dirs: Path) -> dict[str, str]:
    """Metrics that the models of the projects and of the package produce, with the model.

    Read from `config: meta: metric_keys:` of property YAML, in the same folders as
    `find_seed_files`; without an argument, of the models beside this module. Metrics of the
    `event_metrics` seed are not among them; `check_policy` adds those of each version.

    Raises:
        HealthError: for property YAML that cannot be read.
    """
    known = dict(SCORED_METRICS)
    projects = [found for start in project_dirs for found in _package_dirs(start.resolve())]
    for project in dict.fromkeys(projects or [PACKAGE_DIR]):
        for folder in _folders(project, "model-paths", "models"):
            for path in sorted((*folder.rglob("*.yml"), *folder.rglob("*.yaml"))):
                for key, model in _declared_metrics(path):
                    known.setdefault(key, model)
    return known


def _declared_metrics(path: Path) -> Iterator[tuple[str, str]]:
    if b"metric_keys" not in path.read_bytes():
        return  # parsing every property file would take seconds
    for entry in _mapping(_load_yaml(path)).get("models") or []:
        model = _mapping(entry)
        meta = _mapping(_mapping(model.get("config")).get("meta"))
        for key in meta.get("metric_keys") or []:
            yield str(key), str(model.get("name"))


def _package_dirs(project: Path) -> list[Path]:
    """The project, the package installed in it, and the one beside this module, each once."""
    config = _mapping(_load_yaml(project / PROJECT_FILE))
    installed = project / str(config.get("packages-install-path") or "dbt_packages")
    folders = [project, installed / PACKAGE_NAME, PACKAGE_DIR]
    return list(dict.fromkeys(folder.resolve() for folder in folders if folder.is_dir()))


def _folders(project: Path, setting: str, default: str) -> list[Path]:
    config = _mapping(_load_yaml(project / PROJECT_FILE))
    names = config.get(setting) or default
    return [project / str(name) for name in (names if isinstance(names, list) else [names])]


def _seeds_of(project: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder in _folders(project, "seed-paths", "seeds"):
        for path in sorted(folder.rglob("*.csv")):
            if path.stem in found and path.stem in SEEDS:
                raise HealthError(
                    f"{_shown(path)}: the seed {path.stem} is there twice, also as "
                    f"{_shown(found[path.stem])}; delete one"
                )
            found[path.stem] = path
    return found


def _load_yaml(path: Path) -> Any:
    if not path.is_file():
        return None
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        row = f", row {mark.line + 1}" if mark else ""
        raise HealthError(f"{_shown(path)}{row}: this is no YAML that can be read") from error


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _shown(path: Path) -> str:
    """Folder and name: enough to find the file, and the same on every machine."""
    return f"{path.parent.name}/{path.name}" if path.parent.name else path.name


# ---- one file -----------------------------------------------------------------------------------


def read_seed(name: str, path: Path) -> Seed:
    """Read and judge one seed file by itself: encoding, shape, cells, and its key.

    Never raises for what is in the file: every fault stands in `problems` of the result.
    """
    spec = SEEDS[name]
    seed = Seed(name, _shown(path))
    text = _decode(seed, path)
    if text is None:
        return seed
    records = _records(seed, text)
    header = _header(seed, spec, records)
    if header is None:
        seed.is_readable = False
        return seed
    for line, record in records[1:]:
        if _is_record_whole(seed, header, line, record):
            seed.rows.append(_read_row(seed, spec, line, dict(zip(header, record, strict=True))))
    _check_key(seed, spec)
    return seed


def _decode(seed: Seed, path: Path) -> str | None:
    seed.is_readable = False
    try:
        raw = path.read_bytes()
    except OSError as error:
        seed.blame(0, "", f"the file cannot be read ({error.strerror})")
        return None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        seed.blame(line, "", "this is not UTF-8; save the file as CSV UTF-8")
        return None
    if "\x00" in text:
        line = text.count("\n", 0, text.index("\x00")) + 1
        seed.blame(line, "", "there is a NUL character here; save the file as CSV UTF-8")
        return None
    seed.is_readable = True
    return text


def _records(seed: Seed, text: str) -> list[tuple[int, list[str]]]:
    """Each record with the line on which it begins (a quoted cell may hold line ends)."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    records: list[tuple[int, list[str]]] = []
    line = 1
    try:
        for record in reader:
            records.append((line, record))
            line = reader.line_num + 1
    except csv.Error as error:
        seed.is_readable = False
        seed.blame(line, "", f"a quote is not closed or stands inside a cell here ({error})")
    return records


def _header(
    seed: Seed, spec: SeedSpec, records: Sequence[tuple[int, list[str]]]
) -> list[str] | None:
    """The header if it has exactly the columns of the seed (in any order), else None."""
    names = [column.name for column in spec.columns]
    wanted = ",".join(names)
    if not records:
        if seed.is_readable:
            seed.blame(1, "", f"the file is empty; its first row must be {wanted}")
        return None
    if not seed.is_readable:
        return None
    header = records[0][1]
    for separator, word in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if len(header) == 1 and separator in header[0]:
            seed.blame(1, "", f"columns are separated by {word}; save the file separated by commas")
            return None
    if not any(header):
        seed.blame(1, "", f"the first row is blank; it must be {wanted}")
        return None
    before = len(seed.problems)
    _blame_columns(seed, names, header)
    return header if len(seed.problems) == before else None


def _blame_columns(seed: Seed, names: Sequence[str], header: Sequence[str]) -> None:
    extra = [cell for cell in header if cell not in names]
    for name in names:
        if name in header:
            continue
        near = _nearest(name, extra)
        hint = f'; rename "{near}"' if near is not None else "; add it"
        seed.blame(1, name, f"the column is missing{hint}")
    for cell in dict.fromkeys(extra):
        near = _nearest(cell, [name for name in names if name not in header])
        hint = f'; rename it to "{near}"' if near is not None else "; delete it"
        seed.blame(1, cell, f'the seed has no column "{cell}"{hint}')
    for name in dict.fromkeys(cell for cell in header if header.count(cell) > 1):
        seed.blame(1, name, f"the column is there {header.count(name)} times; keep one")


def _is_record_whole(seed: Seed, header: list[str], line: int, record: list[str]) -> bool:
    if not any(cell.strip() for cell in record):
        seed.blame(line, "", "the row is blank; delete it")
    elif record == header:
        seed.blame(line, "", "the header is repeated here; delete the row")
    elif len(record) != len(header):
        seed.is_readable = False
        hint = ""
        pairs = pairwise(record)
        has_numbers = any(column.kind == "number" for column in SEEDS[seed.name].columns)
        if (
            len(record) > len(header)
            and has_numbers
            and any(
                re.fullmatch(r"-?\d+", left) and re.fullmatch(r"\d+", right)
                for left, right in pairs
            )
        ):
            hint = " (a decimal comma? write 0.25, not 0,25)"
        elif len(record) > len(header):
            hint = " (text with a comma must stand in double quotes)"
        seed.blame(line, "", f"the row has {len(record)} cells and the header {len(header)}{hint}")
    else:
        return True
    return False


def _read_row(seed: Seed, spec: SeedSpec, line: int, cells: dict[str, str]) -> Row:
    values: dict[str, int | Decimal | date] = {}
    refused = set()
    for column in spec.columns:
        try:
            value = _read_cell(column, cells[column.name])
        except ValueError as error:
            seed.blame(line, column.name, str(error))
            refused.add(column.name)
        else:
            if value is not None:
                values[column.name] = value
    trimmed = {name: cell.strip() for name, cell in cells.items()}
    return Row(line, trimmed, values, frozenset(refused))


def _read_cell(column: Column, cell: str) -> int | Decimal | date | None:
    """The value of a cell; None for text (which stays as written) and for an empty cell.

    Raises:
        ValueError: with what is wrong and what to write.
    """
    if not cell.strip():
        if column.required:
            raise ValueError("the cell is blank; " + _expected(column))
        if cell:
            raise ValueError("there are only spaces in the cell; leave it empty")
        return None
    if cell != cell.strip():
        raise ValueError(f'there are spaces around "{cell.strip()}"; remove them')
    if cell.lower() == "null":
        raise ValueError(f'dbt reads "{cell}" as an empty cell; leave it empty or write a word')
    if column.kind == "number":
        return _bounded(column, _read_number(cell))
    if column.kind == "integer":
        return int(_bounded(column, _read_integer(cell)))
    if column.kind == "date":
        return _read_date(cell)
    _check_text(column, cell)
    return None


def _expected(column: Column) -> str:
    if column.kind in ("number", "integer"):
        bounds = _bounds(column)
        word = "whole number" if column.kind == "integer" else "number"
        return f"write a {word}{' ' + bounds if bounds else ''}"
    if column.kind == "date":
        return "write a date like 2026-06-30"
    if column.allowed:
        return "write " + _one_of(column.allowed)
    return "write a name" if column.kind in ("key", "name") else "write a text"


def _bounds(column: Column) -> str:
    if column.least is not None and column.most is not None:
        return f"from {column.least} to {column.most}"
    if column.least is not None:
        return f"of {column.least} or more"
    if column.above is not None and column.most is not None:
        return f"above {column.above}, at most {column.most}"
    return f"above {column.above}" if column.above is not None else ""


def _bounded(column: Column, value: Decimal) -> Decimal:
    if (
        (column.least is not None and value < column.least)
        or (column.most is not None and value > column.most)
        or (column.above is not None and value <= column.above)
    ):
        raise ValueError(f"{plain_number(value)} is not allowed; {_expected(column)}")
    return value


def _read_number(cell: str) -> Decimal:
    if re.fullmatch(r"-?\d+(\.\d+)?([eE][+-]?\d{1,4})?", cell, re.ASCII):
        if abs(float(cell)) == float("inf"):
            raise ValueError(f"{cell} is too large to be a number")
        return Decimal(cell)
    if re.fullmatch(r"[+-]?(nan|inf|infinity)", cell, re.IGNORECASE):
        raise ValueError(f"{cell} is not a finite number")
    if re.fullmatch(r"-?\d+([.,]\d+)?\s*%", cell):
        share = Decimal(cell.rstrip("% ").replace(",", ".")) / 100
        raise ValueError(f"a share is written as a number; write {plain_number(share)}, not {cell}")
    if re.fullmatch(r"-?\d+,\d+", cell):
        raise ValueError(f"the decimal mark is a point; write {cell.replace(',', '.')}, not {cell}")
    raise ValueError(f'"{cell}" is not a number; write it like 0.25')


def _read_integer(cell: str) -> Decimal:
    if re.fullmatch(r"-?\d{1,9}", cell, re.ASCII):
        return Decimal(cell)
    value = _read_number(cell)
    if value == value.to_integral_value():
        raise ValueError(f"write a plain whole number below 1000000000, not {cell}")
    raise ValueError(f"{cell} is not a whole number")


def _read_date(cell: str) -> date:
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", cell, re.ASCII):
            return date.fromisoformat(cell)
    except ValueError:
        pass
    raise ValueError(f'"{cell}" is not a date; write it like 2026-06-30')


def _check_text(column: Column, cell: str) -> None:
    if column.allowed and cell not in column.allowed:
        raise ValueError(f'"{cell}" is not allowed; {_did_you_mean(cell, column.allowed)}')
    is_any = column.is_any_allowed and cell == ANY
    if column.kind == "key" and not is_any and not _KEY.fullmatch(cell):
        raise ValueError(
            f'"{cell}" is not a name; use letters, digits, "_", "-" and "." (at most 64)'
        )
    if column.kind in ("key", "name") and any(ord(char) < 32 for char in cell):
        raise ValueError("there is a line end or control character in the name")


def _check_key(seed: Seed, spec: SeedSpec) -> None:
    first: dict[tuple[Hashable, ...], Row] = {}
    for row in seed.rows:
        # Numbers by their value: 1 and 1.0 are one anchor.
        key = tuple(row.values.get(name, row.text(name)) for name in spec.key)
        if key in first:
            named = ", ".join(f"{name} {row.text(name)}" for name in spec.key)
            seed.blame(
                row,
                spec.key[-1],
                f"{named} stands in row {first[key].line} already; keep one of the two rows",
            )
        first.setdefault(key, row)


# ---- all files together -------------------------------------------------------------------------


def check_policy(
    seed_files: Mapping[str, Path],
    *,
    known_metrics: Mapping[str, str] | None,
    today: date,
) -> list[PolicyProblem]:
    """Every fault of the policy, in the order of files and rows; an empty list is good policy.

    Args:
        seed_files: name of the seed to its file (see `find_seed_files`).
        known_metrics: metric to the model that produces it (see `find_known_metrics`); None
            reads the models beside this module. Event metrics of the seeds are added.
        today: date on which the champion must be in force: the as_of_date of the run.
    """
    policy = _Policy.read(seed_files)
    if known_metrics is None:
        known_metrics = find_known_metrics()
    _check_versions(policy, today)
    _check_references(policy)
    for version in policy.versions():
        _check_complete(policy, version)
        _check_scorecards(policy, version)
        _check_weights(policy, version)
        _check_metrics(policy, version, known_metrics)
        _check_event_metrics(policy, version)
        _check_anchors(policy, version)
        _check_bands(policy, version)
        _check_knockouts(policy, version)
        _check_calendar(policy, version)
        _check_churn(policy, version)
    _check_playbooks(policy)
    _check_headline(policy)
    return policy.problems()


def lint_policy(seed_files: Mapping[str, Path], *, today: date) -> list[PolicyProblem]:
    """Name what is allowed but deserves a look.

    Overdue reviews, rules that never match, heavy-tailed metrics with few anchors, and playbooks
    that no score can fire. Call it on policy that `check_policy` accepts.
    """
    policy = _Policy.read(seed_files)
    found: list[PolicyProblem] = []
    for version in policy.versions():
        found += _overdue_reviews(policy, version, today)
        found += _idle_rules(policy, version)
        found += _coarse_anchors(policy, version)
        found += _idle_playbooks(policy, version)
    return sorted(found)


@dataclass
class _Policy:
    """All seeds as read, and what has been found wrong with them."""

    seeds: dict[str, Seed]

    @classmethod
    def read(cls, seed_files: Mapping[str, Path]) -> _Policy:
        seeds = {}
        for name in SEEDS:
            if name in seed_files:
                seeds[name] = read_seed(name, seed_files[name])
            else:
                seeds[name] = Seed(name, f"seeds/{name}.csv", is_readable=False)
                seeds[name].blame(0, "", "the seed is missing; every version needs it")
        return cls(seeds)

    def __getitem__(self, name: str) -> Seed:
        return self.seeds[name]

    def versions(self) -> list[str]:
        names = {row.text("scoring_version") for row in self["scoring_versions"].rows}
        return sorted(name for name in names if name)

    def rows(self, name: str, version: str) -> list[Row]:
        return self[name].of_version(version)

    def are_readable(self, *names: str) -> bool:
        """Whether these files could be read, so that what they lack is a fault of its own."""
        return all(self[name].is_readable for name in names)

    def problems(self) -> list[PolicyProblem]:
        return sorted({found for seed in self.seeds.values() for found in seed.problems})


def _check_versions(policy: _Policy, today: date) -> None:
    seed = policy["scoring_versions"]
    if not seed.is_readable:
        return
    champions = [row for row in seed.rows if row.text("status") == "champion"]
    dated = [row for row in seed.rows if row.text("status") != "challenger"]
    if not champions:
        seed.blame(1, "status", "no version is champion; set one to champion")
        return
    for row in champions[1:]:
        seed.blame(
            row,
            "status",
            f"rows {champions[0].line} and {row.line} are both champion; set the older one to "
            "retired",
        )
    _check_same_dates(seed, dated)
    if len(champions) == 1:
        _check_champion(seed, champions[0], today)


def _check_same_dates(seed: Seed, dated: Sequence[Row]) -> None:
    first: dict[date, Row] = {}
    for row in dated:
        day = row.day("valid_from")
        if day is None:
            continue
        if day in first:
            seed.blame(
                row,
                "valid_from",
                f"rows {first[day].line} and {row.line} both begin on {day}; only one version "
                "can be in force on a date",
            )
        first.setdefault(day, row)


def _check_champion(seed: Seed, champion: Row, today: date) -> None:
    begins = champion.day("valid_from")
    if begins is None:
        return
    if begins > today:
        seed.blame(
            champion,
            "valid_from",
            f"the champion begins on {begins}, after {today}; leave it challenger until then",
        )
        return
    for row in seed.rows:
        day = row.day("valid_from")
        if row is champion or day is None:
            continue
        name = row.text("scoring_version")
        if row.text("status") == "retired" and day > begins:
            seed.blame(
                row,
                "valid_from",
                f"{name} is retired but begins on {day}, after the champion in row "
                f"{champion.line} ({begins}); it would be in force in the champion's place",
            )
        if row.text("status") == "challenger" and day <= begins:
            seed.blame(
                row,
                "valid_from",
                f"the challenger {name} begins on {day}, not after the champion in row "
                f"{champion.line} ({begins}); promoted, it would rewrite history or never be in "
                "force",
            )


def _check_references(policy: _Policy) -> None:
    versions = policy.versions()
    for name, spec in SEEDS.items():
        if not spec.is_versioned or not policy.are_readable("scoring_versions"):
            continue
        for row in policy[name].rows:
            written = row.text("scoring_version")
            if written not in versions and "scoring_version" not in row.refused:
                message = f'"{written}" is no version of scoring_versions; '
                policy[name].blame(row, "scoring_version", message + _known(written, versions))
    for reference in _REFERENCES:
        if policy.are_readable(reference[2]):
            for version in versions:
                _check_reference(policy, version, reference)


def _check_reference(policy: _Policy, version: str, reference: tuple[str, str, str, str]) -> None:
    name, column, target, target_column = reference
    known = {row.text(target_column) for row in policy.rows(target, version)}
    if not known and SEEDS[target].is_required:
        return  # the seed has no row of the version, which is reported once
    is_any_allowed = SEEDS[name].column(column).is_any_allowed
    word = target_column.removesuffix("_key")
    for row in policy.rows(name, version):
        written = row.text(column)
        if column in row.refused or written in known or (is_any_allowed and written == ANY):
            continue
        message = f'"{written}" is no {word} of {target} in version {version}; '
        policy[name].blame(row, column, message + _known(written, known))


def _check_complete(policy: _Policy, version: str) -> None:
    for name, spec in SEEDS.items():
        if spec.is_required and policy.are_readable(name) and not policy.rows(name, version):
            policy[name].blame(
                0,
                "scoring_version",
                f"there is no row of version {version}; a version is complete in itself "
                "(customer-health policy new-version copies one)",
            )


def _check_scorecards(policy: _Policy, version: str) -> None:
    seed = policy["scorecards"]
    for row in policy.rows("scorecards", version):
        if bool(row.text("fall_points")) != bool(row.text("fall_days")):
            missing = "fall_days" if row.text("fall_points") else "fall_points"
            seed.blame(row, missing, "fall_points and fall_days go together; write both or none")
    health = {
        row.text("scorecard_key")
        for row in policy.rows("scorecards", version)
        if row.text("purpose") == "health"
    }
    rules = policy.rows("scorecard_rules", version)
    if (
        policy.are_readable("scorecards", "scorecard_rules")
        and rules
        and not any(rule.text("scorecard_key") in health for rule in rules)
    ):
        policy["scorecard_rules"].blame(
            rules[0],
            "scorecard_key",
            f"no rule of version {version} gives a scorecard of purpose health, so no account "
            f"would have a score; {_known('', health)}",
        )


def _check_weights(policy: _Policy, version: str) -> None:
    categories = {
        row.text("metric_key"): row.text("category_key") for row in policy.rows("metrics", version)
    }
    by_card = _grouped(policy.rows("category_weights", version), "scorecard_key")
    metrics_by_card = _grouped(policy.rows("metric_weights", version), "scorecard_key")
    for row in policy.rows("scorecards", version):
        key = row.text("scorecard_key")
        if policy.are_readable("category_weights") and by_card and key not in by_card:
            policy["scorecards"].blame(
                row, "scorecard_key", f"scorecard {key} has no row in category_weights; add them"
            )
    for card, rows in by_card.items():
        _check_sum(policy["category_weights"], rows, f"category weights of scorecard {card}")
        if policy.are_readable("metric_weights", "metrics") and metrics_by_card and categories:
            weighted = {
                categories.get(row.text("metric_key")) for row in metrics_by_card.get(card, [])
            }
            for row in rows:
                category = row.text("category_key")
                if category in categories.values() and category not in weighted:
                    policy["category_weights"].blame(
                        row,
                        "category_key",
                        f"category {category} of scorecard {card} has no metric in "
                        "metric_weights; add one or delete the row",
                    )
    for card, rows in metrics_by_card.items():
        _check_metric_sums(policy, card, rows, categories, by_card.get(card, []))


def _check_metric_sums(
    policy: _Policy,
    card: str,
    rows: Sequence[Row],
    categories: Mapping[str, str],
    category_rows: Sequence[Row],
) -> None:
    seed = policy["metric_weights"]
    version = rows[0].text("scoring_version")
    weighted = {row.text("category_key") for row in category_rows}
    by_category: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        category = categories.get(row.text("metric_key"))
        if category is None:
            return  # an unknown metric is reported by the references; the sums would follow it
        by_category[category].append(row)
        if policy.are_readable("category_weights") and weighted and category not in weighted:
            seed.blame(
                row,
                "metric_key",
                f"{row.text('metric_key')} belongs to category {category}, which has no weight "
                f"in scorecard {card} (version {version}); add it to category_weights",
            )
    for category, members in by_category.items():
        _check_sum(seed, members, f"metric weights of category {category} in scorecard {card}")


def _check_sum(seed: Seed, rows: Sequence[Row], what: str) -> None:
    weights = [row.number("weight") for row in rows]
    known = [weight for weight in weights if weight is not None]
    if len(known) < len(weights) or not seed.is_readable:
        return  # a weight that cannot be read is reported by itself
    total = sum(known, Decimal(0))
    version = rows[0].text("scoring_version")
    where = "row" if len(rows) == 1 else "rows"
    where = f"{where} {_ranges([row.line for row in rows])}"
    if total == 0:
        seed.blame(
            rows[0],
            "weight",
            f"all {what} are 0 (version {version}, {where}); give at least one a weight",
        )
    elif abs(total - 1) > SUM_TOLERANCE:
        gap = 1 - total
        fix = f"add {plain_number(gap)}" if gap > 0 else f"take {plain_number(-gap)} away"
        seed.blame(
            rows[0],
            "weight",
            f"the {what} sum to {plain_number(total)}, not 1 (version {version}, {where}); {fix}",
        )


def _check_metrics(policy: _Policy, version: str, known_metrics: Mapping[str, str]) -> None:
    seed = policy["metrics"]
    known = set(known_metrics) | {
        row.text("metric_key") for row in policy.rows("event_metrics", version)
    }
    weighted = policy.rows("metric_weights", version)
    named = {row.text("metric_key") for row in weighted}
    for row in policy.rows("metrics", version):
        key = row.text("metric_key")
        if bool(row.text("prior_value")) != bool(row.text("prior_strength")):
            missing = "prior_strength" if row.text("prior_value") else "prior_value"
            seed.blame(
                row, missing, "prior_value and prior_strength go together; write both or none"
            )
        if key not in known and key not in named and policy.are_readable("event_metrics"):
            seed.blame(row, "metric_key", _unproduced(key, known))
    listed = {row.text("metric_key") for row in policy.rows("metrics", version)}
    for row in weighted:
        key = row.text("metric_key")
        if key in listed and key not in known and policy.are_readable("event_metrics"):
            policy["metric_weights"].blame(row, "metric_key", _unproduced(key, known))


def _unproduced(key: str, known: Iterable[str]) -> str:
    return (
        f"no signal produces the metric {key}: add it to event_metrics, or to the metric_keys of "
        f"the signal model that does; {_known(key, known)}"
    )


def _check_event_metrics(policy: _Policy, version: str) -> None:
    metrics = {row.text("metric_key"): row for row in policy.rows("metrics", version)}
    events = _grouped(policy.rows("event_metric_events", version), "metric_key")
    for row in policy.rows("event_metrics", version):
        key = row.text("metric_key")
        metric = metrics.get(key)
        if metric is not None:
            _check_event_metric(policy, metric)
        names = events.get(key, [])
        if not names and policy.are_readable("event_metric_events"):
            policy["event_metrics"].blame(
                row,
                "metric_key",
                f"{key} counts no event; add its events (or *) to event_metric_events",
            )
        anything = [name for name in names if name.text("event_name") == ANY]
        if anything and len(names) > 1:
            policy["event_metric_events"].blame(
                anything[0],
                "event_name",
                f"* stands for every event, and {key} names others too (rows "
                f"{_ranges([name.line for name in names])}); keep * alone or delete it",
            )


def _check_event_metric(policy: _Policy, metric: Row) -> None:
    key = metric.text("metric_key")
    if not metric.text("window_days"):
        policy["metrics"].blame(
            metric, "window_days", f"{key} counts events, so it needs a window; write its days"
        )
    source = metric.text("source_key")
    if source in SOURCES and not source.startswith("product_"):
        policy["metrics"].blame(
            metric,
            "source_key",
            f"{key} counts product events; write product_usage or product_events, not {source}",
        )


def _check_anchors(policy: _Policy, version: str) -> None:
    seed = policy["metric_anchors"]
    rows = policy.rows("metric_anchors", version)
    if not rows or not seed.is_readable:
        return  # that there are none at all is reported once
    sets: dict[tuple[str, str], dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        days = row.number("tenure_days_from")
        place = plain_number(days) if days is not None else row.text("tenure_days_from")
        sets[row.text("scorecard_key"), row.text("metric_key")][place].append(row)
    for (card, metric), by_tenure in sets.items():
        first = next(iter(by_tenure.values()))[0]
        named = f"metric {metric}, scorecard {card}, version {version}"
        if "0" not in by_tenure:
            seed.blame(
                first,
                "tenure_days_from",
                f"there is no anchor set for tenure 0 ({named}); new accounts need one",
            )
        for tenure, points in by_tenure.items():
            if len(points) == 1:
                seed.blame(
                    points[0],
                    "value",
                    f"the anchor set has one point ({named}, tenure {tenure}); write two or more "
                    "(the same score twice for a constant)",
                )
    listed = {row.text("metric_key") for row in policy.rows("metrics", version)}
    for row in policy.rows("metric_weights", version):
        card, metric = row.text("scorecard_key"), row.text("metric_key")
        if metric in listed and (card, metric) not in sets and (ANY, metric) not in sets:
            policy["metric_weights"].blame(
                row,
                "metric_key",
                f"{metric} has a weight and no anchors (version {version}); add a set for "
                f"scorecard {card} or *, tenure 0, to metric_anchors",
            )


def _check_bands(policy: _Policy, version: str) -> None:
    seed = policy["bands"]
    by_card = _grouped(policy.rows("bands", version), "scorecard_key")
    for card, rows in by_card.items():
        _check_band_set(seed, rows, f"scorecard {card}, version {version}")
    if not by_card or ANY in by_card or not policy.are_readable("bands"):
        return
    for row in policy.rows("scorecards", version):
        if row.text("scorecard_key") not in by_card:
            policy["scorecards"].blame(
                row,
                "scorecard_key",
                f"scorecard {row.text('scorecard_key')} has no bands (version {version}); add "
                "them, or bands for scorecard *",
            )


def _check_band_set(seed: Seed, rows: Sequence[Row], named: str) -> None:
    for row in rows:
        if row.text("band_key") == NO_SCORE_BAND:
            seed.blame(row, "band_key", f"{NO_SCORE_BAND} is the band of accounts without a score")
    cells = [(row.number("lower_bound"), row.number("band_rank"), row) for row in rows]
    known = sorted(
        ((bound, rank, row) for bound, rank, row in cells if bound is not None and rank),
        key=lambda item: (item[0], item[2].line),
    )
    if len(known) < len(rows) or not seed.is_readable:
        return  # a cell that cannot be read is reported by itself
    first = known[0]
    if first[0] != 0:
        seed.blame(
            first[2],
            "lower_bound",
            f"the first band begins at {plain_number(first[0])} ({named}); scores below it would "
            "have no band: write 0",
        )
    if len(known) == 1:
        seed.blame(first[2], "band_key", f"there is only one band ({named}); write two or more")
    for (low, _, before), (high, _, row) in pairwise(known):
        if low == high:
            seed.blame(
                row,
                "lower_bound",
                f"rows {before.line} and {row.line} both begin at {plain_number(high)} ({named}); "
                "give one another lower bound",
            )
    for place, (_, rank, row) in enumerate(known, start=1):
        if rank != place:
            seed.blame(
                row,
                "band_rank",
                f"band {row.text('band_key')} has rank {plain_number(rank)} and is number {place} "
                f"by its lower bound ({named}); write {place}",
            )


def _check_knockouts(policy: _Policy, version: str) -> None:
    bands = _grouped(policy.rows("bands", version), "scorecard_key")
    if not bands or not policy.are_readable("bands", "scorecards"):
        return
    cards = [row.text("scorecard_key") for row in policy.rows("scorecards", version)]
    for row in policy.rows("knockouts", version):
        card = row.text("scorecard_key")
        for one in cards if card == ANY else [card]:
            known = {band.text("band_key") for band in bands.get(one) or bands.get(ANY, [])}
            written = row.text("worst_band_key")
            if known and written not in known:
                policy["knockouts"].blame(
                    row,
                    "worst_band_key",
                    f'"{written}" is no band of scorecard {one} in version {version}; '
                    + _known(written, known),
                )
                break


def _check_calendar(policy: _Policy, version: str) -> None:
    seed = policy["usage_calendar"]
    for segment, rows in _grouped(policy.rows("usage_calendar", version), "segment").items():
        windows: list[tuple[date, date, Row]] = []
        for row in rows:
            begins, ends = row.day("from_date"), row.day("to_date")
            if begins is None or ends is None:
                continue
            if ends < begins:
                seed.blame(row, "to_date", f"the window ends on {ends}, before it begins")
            else:
                windows.append((begins, ends, row))
        windows.sort(key=lambda window: (window[0], window[2].line))
        for (_, ends, before), (begins, _, row) in pairwise(windows):
            if begins <= ends:
                seed.blame(
                    row,
                    "from_date",
                    f"the window begins on {begins}, while the one in row {before.line} of "
                    f"segment {segment} still runs (to {ends}); windows must not overlap",
                )


def _check_churn(policy: _Policy, version: str) -> None:
    weights = policy.rows("metric_weights", version)
    is_used = any(row.text("metric_key") == CHURN_PROBABILITY for row in weights)
    rates = _grouped(policy.rows("churn_base_rates", version), "segment")
    seed = policy["churn_base_rates"]
    if is_used and seed.is_readable and ANY not in rates:
        seed.blame(
            0,
            "segment",
            f"version {version} weighs {CHURN_PROBABILITY} and has no base rate for segment *; "
            "add one (customer-health base-rates writes them)",
        )
    for segment, rows in rates.items():
        tenures = [row.number("tenure_days_from") for row in rows]
        if seed.is_readable and None not in tenures and 0 not in tenures:
            seed.blame(
                rows[0],
                "tenure_days_from",
                f"segment {segment} has no rate for tenure 0 (version {version}); add one",
            )
    _check_churn_model(policy, version)


def _check_churn_model(policy: _Policy, version: str) -> None:
    seed = policy["churn_model"]
    models = _grouped(policy.rows("churn_model", version), "churn_model_version")
    for row in policy.rows("scoring_versions", version):
        chosen = row.text("churn_model_version")
        if chosen and chosen not in models and seed.is_readable:
            policy["scoring_versions"].blame(
                row,
                "churn_model_version",
                f'"{chosen}" is no model of churn_model in version {version}; '
                + _known(chosen, models),
            )
    metrics = {row.text("metric_key") for row in policy.rows("metrics", version)}
    for model, rows in models.items():
        if not any(row.text("feature") == INTERCEPT for row in rows):
            seed.blame(rows[0], "feature", f"the model {model} has no {INTERCEPT}; add its row")
        for row in rows:
            _check_feature(policy, row, metrics, version)


def _check_feature(policy: _Policy, row: Row, metrics: set[str], version: str) -> None:
    seed, feature = policy["churn_model"], row.text("feature")
    begins, ends = row.day("trained_from"), row.day("trained_to")
    if begins is not None and ends is not None and ends < begins:
        seed.blame(row, "trained_to", f"the training window ends on {ends}, before it begins")
    if feature == INTERCEPT:
        return
    if feature == CHURN_PROBABILITY:
        seed.blame(row, "feature", f"{CHURN_PROBABILITY} cannot be a feature of itself")
    elif metrics and feature not in metrics:
        message = f'"{feature}" is no metric of version {version}; '
        seed.blame(row, "feature", message + _known(feature, metrics | {INTERCEPT}))
    for column in ("mean", "standard_deviation"):
        if not row.text(column):
            seed.blame(row, column, f"feature {feature} needs a {column}; it stands in for gaps")


# ---- validation ---------------------------------------------------------------------------------


def _check_headline(policy: _Policy) -> None:
    """The verdict is taken in one window: with none there is no verdict, with two there are two."""
    seed = policy["validation_windows"]
    if not seed.is_readable or not seed.rows:
        return
    headlines = [row for row in seed.rows if row.text("is_headline") == "true"]
    if not headlines:
        seed.blame(seed.rows[0], "is_headline", "no window is the headline; write true in one row")
    for row in headlines[1:]:
        seed.blame(
            row,
            "is_headline",
            f"row {headlines[0].line} is the headline already; write false in all rows but one",
        )


# ---- playbooks ----------------------------------------------------------------------------------


def _check_playbooks(policy: _Policy) -> None:
    seed = policy["playbooks"]
    names = {
        "band": _names(policy, "bands", "band_key"),
        "metric": _names(policy, "metrics", "metric_key"),
        "category": _names(policy, "metrics", "category_key"),
    }
    for row in seed.rows:
        read = _TRIGGERS.get(row.text("trigger_type"))
        fault = read(row.text("trigger_value"), names) if read else None
        if fault:
            seed.blame(row, "trigger_value", fault)
        fault = _placeholder_fault(row.text("action_text"), row.text("trigger_type"))
        if fault:
            seed.blame(row, "action_text", fault)
        moved, metrics, categories = row.text("moves_key"), names["metric"], names["category"]
        if moved and metrics is not None and categories is not None:
            known = metrics | categories
            if moved not in known:
                fault = f'"{moved}" is neither a metric nor a category; {_known(moved, known)}'
                seed.blame(row, "moves_key", fault)


def _names(policy: _Policy, seed: str, column: str) -> set[str] | None:
    """The names that a playbook may use; None where the seed cannot be read."""
    return {row.text(column) for row in policy[seed].rows} if policy.are_readable(seed) else None


_Names = Mapping[str, set[str] | None]
_Trigger = Callable[[str, _Names], str | None]


def _of_number(what: str, least: int, most: int) -> _Trigger:
    def read(value: str, _: _Names) -> str | None:
        return _number_fault(value, what, least, most)

    return read


def _number_fault(value: str, what: str, least: int, most: int) -> str | None:
    if re.fullmatch(r"\d{1,9}(\.\d+)?", value, re.ASCII) and least <= Decimal(value) <= most:
        return None
    return f'"{value}" is not allowed; write {what} from {least} to {most}'


def _of_name(what: str) -> _Trigger:
    def read(value: str, names: _Names) -> str | None:
        known = names[what]
        if known is None or value in known:
            return None
        return f'"{value}" is no {what}; {_known(value, known)}'

    return read


def _of_pair(left: _Trigger, right: _Trigger, example: str) -> _Trigger:
    def read(value: str, names: _Names) -> str | None:
        first, mark, second = value.partition(":")
        if not mark:
            return f'"{value}" is not allowed; write it like {example}'
        return left(first, names) or right(second, names)

    return read


def _of_feature(value: str, _: _Names) -> str | None:
    return None if value else "there is no feature; write its key and days, like automations:30"


def _of_nothing(value: str, _: _Names) -> str | None:
    return f'this trigger takes no value; delete "{value}"' if value else None


def _of_days(least: int, most: int) -> _Trigger:
    """Whole days: the SQL that reads them knows no half ones."""

    def read(value: str, _: _Names) -> str | None:
        if re.fullmatch(r"\d{1,4}", value, re.ASCII) and least <= int(value) <= most:
            return None
        return f'"{value}" is not allowed; write whole days from {least} to {most}'

    return read


_DAYS = _of_days(0, 3660)
_TRIGGERS: dict[str, _Trigger] = {
    "band_entered": _of_name("band"),
    "band_held": _of_pair(_of_name("band"), _DAYS, "at_risk:30"),
    "score_fell": _of_pair(_of_number("points", 1, 100), _of_days(1, 365), "12:28"),
    "metric_below": _of_pair(_of_name("metric"), _of_number("a score", 0, 10), "csat:4"),
    "category_below": _of_pair(_of_name("category"), _of_number("a score", 0, 10), "support:4"),
    "feature_unused": _of_pair(_of_feature, _of_days(1, 365), "automations:30"),
    "champion_gone": _of_nothing,
    "champion_silent": _DAYS,
    "renewal_not_healthy": _DAYS,
    "expansion_above": _of_number("a score", 0, 100),
    "conversion_above": _of_number("a score", 0, 100),
    "checkin_overdue": _DAYS,
    "sentiment_gap": _of_number("bands", 1, 10),
    "payment_overdue": _DAYS,
}


def _placeholder_fault(text: str, trigger_type: str) -> str | None:
    """What is wrong with the braces of an action text.

    They only ever stand for a placeholder: the SQL that fills them in knows no escape.
    """
    for name in re.findall(r"\{([^{}]*)\}", text):
        if name not in PLACEHOLDERS:
            return f"{{{name}}} is no placeholder; {_known(name, PLACEHOLDERS)}"
        trigger = _PLACEHOLDER_OF_TRIGGER.get(name, trigger_type)
        if trigger != trigger_type:
            return f"{{{name}}} is known to playbooks with the trigger {trigger} only"
    if re.search(r"[{}]", re.sub(r"\{[^{}]*\}", "", text)):
        return "a brace is not closed; write {account_name}, and no other braces"
    return None


# ---- advice -------------------------------------------------------------------------------------


def _overdue_reviews(policy: _Policy, version: str, today: date) -> Iterator[PolicyProblem]:
    seed = policy["scorecards"]
    for row in policy.rows("scorecards", version):
        due = row.day("review_by")
        if due is not None and due < today:
            message = f"the review of scorecard {row.text('scorecard_key')} was due on {due}"
            yield PolicyProblem(seed.file, row.line, "review_by", message)


def _idle_rules(policy: _Policy, version: str) -> Iterator[PolicyProblem]:
    """Rules that an earlier one of the same purpose covers wholly."""
    seed = policy["scorecard_rules"]
    purposes = {
        row.text("scorecard_key"): row.text("purpose") for row in policy.rows("scorecards", version)
    }
    rules = sorted(
        policy.rows("scorecard_rules", version),
        key=lambda rule: rule.number("priority") or Decimal(0),
    )
    for place, rule in enumerate(rules):
        for earlier in rules[:place]:
            if purposes.get(rule.text("scorecard_key")) == purposes.get(
                earlier.text("scorecard_key")
            ) and _covers(earlier, rule):
                message = f"the rule never matches: the one in row {earlier.line} comes first"
                yield PolicyProblem(seed.file, rule.line, "priority", message)
                break


def _idle_playbooks(policy: _Policy, version: str) -> Iterator[PolicyProblem]:
    """Playbooks on a score that no health scorecard has: they never fire."""
    seed = policy["playbooks"]
    health = {
        row.text("scorecard_key")
        for row in policy.rows("scorecards", version)
        if row.text("purpose") == "health"
    }
    for trigger, weights, column in (
        ("metric_below", "metric_weights", "metric_key"),
        ("category_below", "category_weights", "category_key"),
    ):
        weighed = {
            row.text(column)
            for row in policy.rows(weights, version)
            if row.text("scorecard_key") in health
        }
        for row in seed.rows:
            name = row.text("trigger_value").partition(":")[0]
            if row.text("trigger_type") == trigger and name not in weighed:
                message = f"no health scorecard gives {name} a weight: the playbook never fires"
                yield PolicyProblem(seed.file, row.line, "trigger_value", message)


def _covers(wide: Row, narrow: Row) -> bool:
    if any(
        wide.text(column) not in ("", narrow.text(column))
        for column in ("segment", "plan", "lifecycle_stage")
    ):
        return False
    zero = Decimal(0)
    begins = wide.number("tenure_days_from") or zero
    return begins <= (narrow.number("tenure_days_from") or zero)


def _coarse_anchors(policy: _Policy, version: str) -> Iterator[PolicyProblem]:
    """A span of a power of ten or more above the middle point needs five points."""
    seed = policy["metric_anchors"]
    sets: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in policy.rows("metric_anchors", version):
        columns = ("scorecard_key", "metric_key", "tenure_days_from")
        sets[tuple(row.text(column) for column in columns)].append(row)
    for (_, metric, _), rows in sets.items():
        values = sorted(row.number("value") or Decimal(0) for row in rows)
        middle = values[len(values) // 2]
        if len(rows) < HEAVY_TAIL_POINTS and 0 < middle * HEAVY_TAIL_RATIO <= values[-1]:
            message = (
                f"{metric} spans {plain_number(middle)} to {plain_number(values[-1])} in "
                f"{len(rows)} points; heavy-tailed metrics need {HEAVY_TAIL_POINTS}"
            )
            yield PolicyProblem(seed.file, rows[0].line, "value", message)


# ---- hashes -------------------------------------------------------------------------------------


def policy_hashes(seed_files: Mapping[str, Path]) -> dict[str, str]:
    """SHA-256 (hex) of each version over all its rows, however they are ordered or written.

    Row order, column order, a BOM, line ends and the spelling of a number (0.5, 0.50) do not
    matter. What is administration and changes no score is left out: status, valid_from, author
    and reason of the version, review_by of its scorecards.

    Raises:
        HealthError: for a file that cannot be read.
    """
    rows: dict[str, list[str]] = defaultdict(list)
    for name, spec in SEEDS.items():
        if not spec.is_versioned:
            continue
        if name not in seed_files:
            raise HealthError(f"seeds/{name}.csv: the seed is missing; every version needs it")
        seed = read_seed(name, seed_files[name])
        if not seed.is_readable:
            raise HealthError(str(seed.problems[0]))
        for row in seed.rows:
            rows[row.text("scoring_version")].append(_canonical(name, spec, row))
    return {
        version: hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
        for version, lines in sorted(rows.items())
    }


def _canonical(name: str, spec: SeedSpec, row: Row) -> str:
    cells = [name]
    for column in spec.columns:
        if column.name in _NOT_HASHED.get(name, ()):
            continue
        number = row.number(column.name)
        cells.append(row.text(column.name) if number is None else plain_number(number))
    return json.dumps(cells, ensure_ascii=True)


def changed_versions(current: Mapping[str, str], published: Mapping[str, str]) -> list[str]:
    """Published versions whose hash is another one now, or that are gone, sorted by name."""
    return sorted(version for version in published if current.get(version) != published[version])


# ---- a new version ------------------------------------------------------------------------------


def new_version(
    seed_files: Mapping[str, Path],
    source: str,
    target: str,
    *,
    valid_from: date,
    author: str,
    reason: str,
    into: Path | None = None,
) -> list[Path]:
    """Copy version `source` in every seed as `target`, a challenger.

    Rows are appended, nothing else in the files changes. All new files are written beside the
    old ones first and then moved over them, `scoring_versions` last: if anything fails, every
    file is put back, and what a killed process leaves is refused by `check_policy` as rows of an
    unknown version.

    Args:
        seed_files: name of the seed to its file (see `find_seed_files`).
        source: version to copy.
        target: name of the new version.
        valid_from: date written to the new version; after the champion's.
        author: who makes it, for scoring_versions.
        reason: why, for scoring_versions.
        into: folder for the files, where the seeds belong to an installed package that must not
            be edited; None changes them in place.

    Returns:
        The files that were written.

    Raises:
        HealthError: if the source is missing, the target is there already, its name, author or
            reason cannot be written, or a file cannot be read or written.
    """
    policy = _Policy.read(seed_files)
    problem = next(
        (one for seed in policy.seeds.values() if not seed.is_readable for one in seed.problems),
        None,
    )
    if problem is not None:
        raise HealthError(str(problem))
    _refuse_target(policy, source, target)
    administration = {
        "scoring_version": target,
        "status": "challenger",
        "valid_from": valid_from.isoformat(),
        "author": author,
        "reason": reason,
    }
    _refuse_cells(administration)
    contents: dict[Path, bytes] = {}
    for name in sorted(SEEDS, key=lambda one: one == "scoring_versions"):
        path = seed_files[name]
        destination = path if into is None else into / path.name
        changes = administration if name == "scoring_versions" else {"scoring_version": target}
        added = [{**row.cells, **changes} for row in policy.rows(name, source)]
        contents[destination] = append_rows(path.read_bytes(), added)
    changed = {
        path: content
        for path, content in contents.items()
        if not path.exists() or path.read_bytes() != content
    }
    replace_files(changed)
    return list(changed)


def _refuse_target(policy: _Policy, source: str, target: str) -> None:
    versions = policy.versions()
    if source not in versions:
        raise HealthError(
            f'there is no version "{source}" in {policy["scoring_versions"].file}; '
            + _known(source, versions)
        )
    for name, spec in SEEDS.items():
        rows = policy.rows(name, target) if spec.is_versioned else []
        if rows:
            raise HealthError(
                f"{policy[name].file}, row {rows[0].line}: version {target} is there already; "
                "choose another name or delete its rows"
            )


def _refuse_cells(cells: Mapping[str, str]) -> None:
    for name, cell in cells.items():
        try:
            _read_cell(SEEDS["scoring_versions"].column(name), cell)
        except ValueError as error:
            raise HealthError(f"{name} of the new version: {error}") from error


def append_rows(content: bytes, rows: Sequence[Mapping[str, str]]) -> bytes:
    """The CSV file with rows added at its end; its header says in which order the cells go."""
    if not rows:
        return content
    text = content.decode("utf-8-sig")
    line_end = "\r\n" if "\r\n" in text else "\n"
    header = next(csv.reader(io.StringIO(text, newline="")))
    if not text.endswith(("\n", "\r")):
        text += line_end
    return (text + csv_text([], [[row[name] for name in header] for row in rows], line_end)).encode(
        "utf-8"
    )


def csv_text(header: Sequence[str], rows: Iterable[Sequence[str]], line_end: str = "\n") -> str:
    """Rows as CSV text, quoted only where needed; no header line if `header` is empty."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator=line_end)
    if header:
        writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue()


def replace_files(contents: Mapping[Path, bytes]) -> None:
    """Write files so that each is all old or all new, and on failure all are the old ones.

    Every new file is complete on disk before the first one is moved over the old one, and the
    old ones stay reachable until the last is moved, so that going back needs no space.

    Raises:
        HealthError: if a file cannot be written; the files are then as they were.
    """
    staged: dict[Path, Path] = {}
    kept: dict[Path, Path | None] = {}
    try:
        for path, content in contents.items():
            staged[path] = _staged(path.resolve(), content)
        for path, temporary in staged.items():
            kept[path] = _kept(path.resolve())
            temporary.replace(path.resolve())
    except BaseException as error:
        _put_back(kept)
        if isinstance(error, OSError):
            name = Path(str(error.filename)).name if error.filename else "a file"
            raise HealthError(
                f"{name} cannot be written ({error.strerror}); the seeds are as they were"
            ) from error
        raise
    finally:
        for leftover in (*staged.values(), *kept.values()):
            if leftover is not None:
                leftover.unlink(missing_ok=True)


def _put_back(kept: Mapping[Path, Path | None]) -> None:
    for path, old in kept.items():
        if old is None:
            path.resolve().unlink(missing_ok=True)
        else:
            old.replace(path.resolve())


def _kept(path: Path) -> Path | None:
    """A second name for the file as it is now, or None if there is no file yet."""
    if not path.exists():
        return None
    second = path.with_name(f".{path.name}.{os.getpid()}.old")
    second.unlink(missing_ok=True)
    try:
        os.link(path, second)
    except OSError:  # a file system without hard links
        shutil.copy2(path, second)
    return second


def _staged(path: Path, content: bytes) -> Path:
    """A temporary file beside `path` that is complete and on disk, with its permissions."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


# ---- words --------------------------------------------------------------------------------------


def _grouped(rows: Iterable[Row], column: str) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.text(column)].append(row)
    return dict(groups)


def _nearest(name: str, names: Iterable[str]) -> str | None:
    """The name that was probably meant, or None if nothing is near."""
    by_lower = {other.lower().strip(): other for other in names}
    near = difflib.get_close_matches(name.lower().strip(), by_lower, n=1, cutoff=0.6)
    return by_lower[near[0]] if near else None


def nearest_first(name: str, names: Iterable[str]) -> list[str]:
    """The names, the most similar first."""

    def distance(other: str) -> tuple[float, str]:
        return -difflib.SequenceMatcher(None, name.lower(), other.lower()).ratio(), other

    return sorted(set(names), key=distance)


def _known(name: str, names: Iterable[str]) -> str:
    """'did you mean x? Known: …', nearest first, so that the fix can be copied."""
    ordered = nearest_first(name, names)
    if not ordered:
        return "there is none"
    shown = ", ".join(ordered[:MOST_NAMES_SHOWN])
    more = len(ordered) - MOST_NAMES_SHOWN
    near = _nearest(name, ordered)
    question = f'did you mean "{near}"? ' if near is not None else ""
    return f"{question}Known: {shown}" + (f" and {more} more" if more > 0 else "")


def _did_you_mean(name: str, allowed: Sequence[str]) -> str:
    near = _nearest(name, allowed)
    return (f'did you mean "{near}"? ' if near else "") + "Write " + _one_of(allowed)


def _one_of(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def plain_number(value: Decimal) -> str:
    """A number without exponent and trailing zeros: 0.98, not 0.980 or 9.8E-1."""
    text = f"{value:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def _ranges(lines: Sequence[int]) -> str:
    """Line numbers as an editor's user would say them: 2-8, 11."""
    parts: list[list[int]] = []
    for line in sorted(lines):
        if parts and line == parts[-1][-1] + 1:
            parts[-1].append(line)
        else:
            parts.append([line])
    return ", ".join(str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts)
