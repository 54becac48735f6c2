"""Where things are, and what may be typed in: paths, project variables, validated input.

Nothing that a person types reaches dbt's `--vars` or a query before it has passed a function of
this module; values for queries are bound as parameters besides.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from customer_health.errors import HealthError, UsageError

PROJECT_FILE = "dbt_project.yml"
PREFIX = "customer_health__"

# Raw tables of the input contract and whether a deployment has them unless it says otherwise.
RAW_TABLES: dict[str, bool] = {
    "crm_accounts": True,
    "crm_contacts": True,
    "crm_opportunities": True,
    "crm_touchpoints": True,
    "crm_csm_sentiments": True,
    "crm_health_overrides": True,
    "crm_action_updates": True,
    "product_users": True,
    "product_events": True,
    "product_usage_daily": False,
    "product_features": True,
    "support_tickets": True,
    "survey_responses": True,
    "billing_subscriptions": True,
    "billing_invoices": True,
    "billing_exchange_rates": True,
    "onboarding_milestones": True,
    "marketing_engagements": True,
    "success_goals": True,
}

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TARGET = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,3})?)\s*([KMGT]?)(i?)B", re.IGNORECASE)
# Characters of a path that would mean something to SQL, to a template or to a terminal.
_UNSAFE_IN_PATHS = re.compile(r"[\x00-\x1f\x7f-\x9f'\"`{}\\\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_DATE_VARS = ("as_of_date", "history_from", "daily_from", "backfill_from")
# Whole numbers and what they count; the macro integer_var takes the same range.
_NUMBER_VARS = {
    "lookback_days": "days",
    "renewal_grace_days": "days",
    "renewal_window_days": "days",
    "onboarding_days": "days",
    "component_history_days": "days",
    "change_history_days": "days",
    "incident_hold_days": "days",
    "incident_day_percent": "percent",
    "incident_dropped_percent": "percent",
    "incident_drop_points": "points",
    "incident_least_accounts": "accounts",
    "baseline_windows": "windows",
    "baseline_min_windows": "windows",
    "usage_smoothing": "events",
    "old_after_days": "days",
    "csm_weekly_actions": "actions",
    "single_thread_percent": "percent",
}
_MOST = {"percent": 100}
_NAME_VARS = ("raw_database", "raw_schema", "connector_database")
_CODE_VARS = ("publication_id", "run_id")
_SWITCH_VARS = ("publishing", "allow_full_refresh", "time_spine")
_OTHER_VARS = {
    "reporting_currency": "currency",
    "naive_timezone": "zone",
    "connector_schemas": "map of schemas",
    "connector_columns": "map of columns",
    "customer_stages": "list of stages",
}
# Domains that a connector can fill, and the raw tables that each vendor's connector fills there;
# the macro connectors() says the same to dbt.
_CRM_TABLES = ("crm_accounts", "crm_contacts", "crm_opportunities", "crm_touchpoints")
_BILLING_TABLES = ("billing_subscriptions", "billing_invoices")
_PRODUCT_TABLES = ("product_users", "product_events")
CONNECTORS: dict[str, dict[str, tuple[str, ...]]] = {
    "crm": dict.fromkeys(("hubspot", "salesforce"), _CRM_TABLES),
    "support": dict.fromkeys(("zendesk", "intercom"), ("support_tickets",)),
    "billing": dict.fromkeys(("stripe", "chargebee"), _BILLING_TABLES),
    "product": {
        **dict.fromkeys(("segment", "mixpanel", "pendo", "posthog"), _PRODUCT_TABLES),
        "amplitude": ("product_events",),  # it has no table of users
    },
    "surveys": dict.fromkeys(("pendo", "delighted", "qualtrics", "zendesk"), ("survey_responses",)),
}
_CONNECTOR_VARS = {f"{domain}_connector": tuple(found) for domain, found in CONNECTORS.items()}
VENDORS = frozenset(vendor for found in CONNECTORS.values() for vendor in found)
_STAGE = re.compile(r"[A-Za-z0-9 _.&/()-]{1,100}")
_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_$. ]{0,199}")


def today() -> date:
    """The date of today in UTC, the clock of every as_of_date."""
    return datetime.now(UTC).date()


def parse_date(text: str, name: str) -> date:
    """A date written as YYYY-MM-DD.

    Raises:
        UsageError: naming the option, what was written and the form that is expected.
    """
    if _DATE.fullmatch(text):
        try:
            return date.fromisoformat(text)
        except ValueError:
            pass
    raise UsageError(f"{name}: {text!r} is no date; write it as YYYY-MM-DD, like 2026-06-30")


def is_identifier(text: str) -> bool:
    """Whether a text may be written as the name of a schema in a variable."""
    return _IDENTIFIER.fullmatch(text) is not None


def parse_version(text: str, name: str) -> str:
    """The name of a scoring version: letters, digits, `.`, `_` and `-`, at most 64 characters.

    Raises:
        UsageError: naming the argument and what is allowed.
    """
    if not _VERSION.fullmatch(text):
        raise UsageError(
            f"{name}: {text!r} is no name of a scoring version; use letters, digits, '.', '_' "
            "and '-', like v2"
        )
    return text


def find_project(start: Path) -> Path:
    """The folder with dbt_project.yml: `start`, a folder above it, or beside this package.

    Raises:
        UsageError: if there is none.
    """
    for folder in (start, *start.parents):
        if (folder / PROJECT_FILE).is_file():
            return folder
    beside = Path(__file__).resolve().parent.parent
    if (beside / PROJECT_FILE).is_file():
        return beside
    raise UsageError(
        f"no {PROJECT_FILE} in {start} or above it: go to the dbt project or name it with "
        "--project-dir"
    )


@dataclass(frozen=True)
class Settings:
    """The dbt project, the folder of the databases, and the dbt target.

    `home` is absolute. Nothing is created here; `prepare` makes the folders before a run.
    """

    project_dir: Path
    home: Path
    target: str | None = None
    debug: bool = False
    extra_vars: dict[str, Any] = field(default_factory=dict)
    keep_bytes: int | None = None

    @classmethod
    def resolve(
        cls,
        project_dir: Path | None = None,
        home: Path | None = None,
        target: str | None = None,
        *,
        debug: bool = False,
        environ: Mapping[str, str] = os.environ,
    ) -> Settings:
        """Options first, then CUSTOMER_HEALTH_* variables, then the defaults.

        A relative `home` option is relative to the working folder, as one expects of an option;
        a relative CUSTOMER_HEALTH_HOME is relative to the dbt project, as the profile reads it.

        Raises:
            UsageError: for a project folder, a target name or a CUSTOMER_HEALTH_* variable that
                cannot be used.
        """
        validate_environment(environ)
        named = project_dir or _path_from(environ, "CUSTOMER_HEALTH_PROJECT_DIR")
        if named is None:
            project = find_project(Path.cwd())
        else:
            project = named.expanduser().resolve()
            if not (project / PROJECT_FILE).is_file():
                raise UsageError(
                    f"--project-dir: there is no {PROJECT_FILE} in {project}; name the folder "
                    "of the dbt project"
                )
        if home is not None:
            folder = home.expanduser().resolve()
        else:
            from_environment = _path_from(environ, "CUSTOMER_HEALTH_HOME") or Path("warehouse")
            folder = (project / from_environment.expanduser()).resolve()
        chosen = target or environ.get("CUSTOMER_HEALTH_TARGET") or None
        if chosen is not None and not _TARGET.fullmatch(chosen):
            raise UsageError(
                f"--target: {chosen!r} is no name of a dbt target; profiles.yml lists them"
            )
        _refuse_unsafe_path(folder, "CUSTOMER_HEALTH_HOME" if home is None else "--home")
        return cls(
            project_dir=project,
            home=folder,
            target=chosen,
            debug=debug,
            keep_bytes=_keep_bytes(environ),
        )

    # -- paths ---------------------------------------------------------------------------------
    @property
    def raw_dir(self) -> Path:
        """Parquet files of the demo data, one folder a table."""
        return self.home / "raw"

    @property
    def landing(self) -> Path:
        """Database with the raw tables; dbt attaches it read-only."""
        return self.home / "landing.duckdb"

    @property
    def build(self) -> Path:
        """Database that dbt writes: seeds, staging, intermediate."""
        return self.home / "build.duckdb"

    @property
    def candidate(self) -> Path:
        """Database with the marts and snapshots before they are published."""
        return self.home / "candidate.duckdb"

    @property
    def candidate_state(self) -> Path:
        """What is known about the candidate: whether its build is complete, and its tests."""
        return self.home / "candidate.json"

    @property
    def published(self) -> Path:
        """The readers' copy."""
        return self.home / "published.duckdb"

    @property
    def manifest(self) -> Path:
        """Manifest of the publication, beside the readers' copy."""
        return self.home / "published.json"

    @property
    def publications_dir(self) -> Path:
        """The last publications, with their manifests."""
        return self.home / "publications"

    @property
    def withdrawal(self) -> Path:
        """What `rollback` took from the readers, until the next publication."""
        return self.home / "withdrawn.json"

    @property
    def lock(self) -> Path:
        """Lock of the run."""
        return self.home / "run.lock"

    @property
    def runs_dir(self) -> Path:
        """Logs, gate results and dbt artefacts, one folder a run."""
        return self.home / "runs"

    @property
    def dbt_target(self) -> Path:
        """Target folder of dbt, kept between runs so that parsing is quick."""
        return self.home / "target"

    @property
    def demo_file(self) -> Path:
        """Marks a folder that holds demo data, and its as_of date."""
        return self.home / "demo.json"

    def prepare(self) -> None:
        """Create the folders that a run writes to."""
        for folder in (self.home, self.publications_dir, self.runs_dir):
            folder.mkdir(parents=True, exist_ok=True)

    # -- project variables ---------------------------------------------------------------------
    @cached_property
    def project_vars(self) -> dict[str, Any]:
        """`vars:` of dbt_project.yml that are ours, without the prefix `customer_health__`.

        Values under `vars: customer_health:` and at the top level are both read; the top level
        of the project that runs wins, as in dbt. `extra_vars` win over both.

        Raises:
            HealthError: when the file cannot be read, or a value is not of its form.
        """
        path = self.project_dir / PROJECT_FILE
        try:
            document = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise HealthError(f"{path.name} cannot be read: {' '.join(str(error).split())}") from (
                error
            )
        written = document.get("vars") if isinstance(document, dict) else None
        levels = [written or {}]
        if isinstance(levels[0].get("customer_health"), dict):
            levels.insert(0, levels[0]["customer_health"])
        found: dict[str, Any] = {}
        for level in levels:
            found.update(
                (key.removeprefix(PREFIX), value)
                for key, value in level.items()
                if isinstance(key, str) and key.startswith(PREFIX)
            )
        found.update(self.extra_vars)
        validate_vars(found)
        return found

    def using(self) -> dict[str, bool]:
        """Raw tables of the input contract and whether this deployment declares them."""
        return {
            table: bool(self.project_vars.get(f"using_{table}", default))
            for table, default in RAW_TABLES.items()
        }

    def connected(self) -> dict[str, str]:
        """Raw tables that a connector fills in this deployment, and the vendor of each."""
        chosen = {domain: self.project_vars.get(f"{domain}_connector") for domain in CONNECTORS}
        return {
            table: vendor
            for domain, vendor in chosen.items()
            if vendor is not None
            for table in CONNECTORS[domain][vendor]
        }

    def own_staging(self) -> set[str]:
        """Raw tables whose staging model this project replaces by one of its own.

        Their raw form is the project's own, so the landing gate, which knows the input contract,
        has no rule for them. The package itself replaces none.
        """
        document = yaml.safe_load((self.project_dir / PROJECT_FILE).read_text(encoding="utf-8"))
        if document.get("name") == "customer_health":
            return set()
        folders = document.get("model-paths") or ["models"]
        found = {
            path.stem.removeprefix("stg_health__")
            for folder in folders
            for path in (self.project_dir / folder).rglob("stg_health__*.sql")
        }
        return found & set(RAW_TABLES)

    def history_from(self) -> date | None:
        """First date of the spine, if the project names one."""
        value = self.project_vars.get("history_from")
        return None if value is None else date.fromisoformat(str(value))

    def demo_as_of(self) -> date | None:
        """The as_of date of the demo data in this folder; None when it holds none.

        Raises:
            HealthError: when demo.json was damaged.
        """
        if not self.demo_file.is_file():
            return None
        try:
            written = json.loads(self.demo_file.read_text(encoding="utf-8"))
            return date.fromisoformat(written["as_of"])
        except (ValueError, KeyError, TypeError) as error:
            raise HealthError(
                f"{self.demo_file}: no date under 'as_of'; run `customer-health demo` again"
            ) from error


def validate_environment(environ: Mapping[str, str]) -> None:
    """Check what the profile and the gates read from the environment besides paths.

    dbt hands these to DuckDB as text, so anything but a size or a count is refused here.

    Raises:
        UsageError: naming the environment variable and the form that is expected.
    """
    memory = environ.get("CUSTOMER_HEALTH_MEMORY_LIMIT")
    if memory and not (_SIZE.fullmatch(memory) or re.fullmatch(r"[1-9]\d?%|100%", memory)):
        raise UsageError(f"CUSTOMER_HEALTH_MEMORY_LIMIT: {memory!r} is no size; write it as 8GB")
    threads = environ.get("CUSTOMER_HEALTH_THREADS")
    if threads and not re.fullmatch(r"[1-9]\d{0,2}", threads):
        raise UsageError(
            f"CUSTOMER_HEALTH_THREADS: {threads!r} is no number of threads from 1 to 999"
        )


def _keep_bytes(environ: Mapping[str, str]) -> int | None:
    """The limit of CUSTOMER_HEALTH_KEEP_BYTES in bytes; None without one.

    Raises:
        UsageError: when it is no size.
    """
    text = environ.get("CUSTOMER_HEALTH_KEEP_BYTES")
    if not text:
        return None
    if re.fullmatch(r"\d{1,18}", text):
        return int(text)
    size = size_in_bytes(text)
    if size is None:
        raise UsageError(
            f"CUSTOMER_HEALTH_KEEP_BYTES: {text!r} is no size; write it as 20GB, or as bytes"
        )
    return size


def size_in_bytes(text: str) -> int | None:
    """A size written like 8GB or 1.5 GiB; None where it is written otherwise."""
    size = _SIZE.fullmatch(text)
    if size is None:
        return None
    number, unit, binary = size.groups()
    return int(float(number) * (1024 if binary else 1000) ** " KMGT".index(unit.upper() or " "))


def _refuse_unsafe_path(folder: Path, name: str) -> None:
    """Refuse a folder whose name would not stay a name in SQL text, a template or a message.

    Raises:
        UsageError: naming the option or variable, and the characters.
    """
    found = _UNSAFE_IN_PATHS.findall(str(folder))
    if found:
        raise UsageError(
            f"{name}: {str(folder)!r} holds {', '.join(map(repr, dict.fromkeys(found)))}; choose a "
            "folder without quotes, braces, backslashes and control characters"
        )


def var_types() -> dict[str, str]:
    """The type of each of our variables, by its name without the prefix.

    This is where a type is declared: `validate_vars` goes by it, and docs/configuring.md shows it.
    """
    switches = (f"using_{table}" for table in RAW_TABLES if table != "crm_accounts")
    return {
        **dict.fromkeys(_DATE_VARS, "date"),
        **dict.fromkeys(_NUMBER_VARS, "integer"),
        **dict.fromkeys(_NAME_VARS, "identifier"),
        **dict.fromkeys(_CODE_VARS, "code"),
        **dict.fromkeys((*_SWITCH_VARS, *switches), "boolean"),
        **dict.fromkeys(_CONNECTOR_VARS, "vendor"),
        **_OTHER_VARS,
    }


def known_vars() -> set[str]:
    """Names of all our variables, without the prefix."""
    return set(var_types())


def validate_vars(found: Mapping[str, Any]) -> None:
    """Check name and form of our variables before dbt turns them into SQL text.

    Args:
        found: variables without the prefix.

    Raises:
        HealthError: naming the variable, its value and the form that is expected, or the nearest
            name there is.
    """
    known = known_vars()
    for name, value in found.items():
        if name not in known:
            near = get_close_matches(name, sorted(known), n=1, cutoff=0)[0]
            raise HealthError(
                f"{PROJECT_FILE}: there is no variable {PREFIX}{name}; the nearest is "
                f"{PREFIX}{near}"
            )
        if value is None:
            continue
        expected = _expected_form(name, value)
        if expected is not None:
            raise HealthError(
                f"{PROJECT_FILE}: variable {PREFIX}{name} is {value!r}; expected {expected}"
            )


def _expected_form(name: str, value: Any) -> str | None:
    """The form that the variable should have had; None when it has it."""
    text = str(value)
    match var_types()[name]:
        case "date":
            return None if _is_date(text) else "a date like 2026-06-30"
        case "integer":
            unit = _NUMBER_VARS[name]
            most = _MOST.get(unit, 99_999)
            is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most
            return None if is_count else f"a whole number of {unit}, 0 to {most}"
        case "boolean":
            return None if isinstance(value, bool) else "true or false"
        case "identifier":
            return None if _IDENTIFIER.fullmatch(text) else "a plain identifier"
        case "code":
            has_form = isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_:.-]{1,64}", value)
            return None if has_form else "letters, digits and -_:. only, at most 64"
        case "currency":
            return None if re.fullmatch(r"[A-Z]{3}", text) else "a currency code like USD"
        case "zone":
            return None if re.fullmatch(r"[A-Za-z0-9_+/-]{1,64}", text) else "a time zone name"
        case "vendor":
            vendors = _CONNECTOR_VARS[name]
            return None if value in vendors else " or ".join(vendors)
        case "map of schemas":
            return None if _are_schemas(value) else "vendors and their schemas, like {hubspot: crm}"
        case "map of columns":
            return None if _are_columns(value) else "like {crm_accounts: {plan: property_plan}}"
        case "list of stages":
            return None if _are_stages(value) else "a list of stages, like [customer, evangelist]"
        case other:
            raise ValueError(f"no form is known for the type {other} of {PREFIX}{name}")


def _is_date(text: str) -> bool:
    """Whether a text is a date written as YYYY-MM-DD."""
    try:
        return bool(_DATE.fullmatch(text)) and bool(date.fromisoformat(text))
    except ValueError:
        return False


def _are_schemas(value: Any) -> bool:
    """Whether a value names schemas of vendors."""
    return isinstance(value, Mapping) and all(
        vendor in VENDORS and isinstance(schema, str) and _IDENTIFIER.fullmatch(schema)
        for vendor, schema in value.items()
    )


def _are_columns(value: Any) -> bool:
    """Whether a value names columns of vendors' tables for columns of raw tables."""
    return isinstance(value, Mapping) and all(
        (table in RAW_TABLES or table == "account_links")
        and isinstance(columns, Mapping)
        and all(
            isinstance(name, str) and isinstance(own, str) and _COLUMN.fullmatch(own)
            for name, own in columns.items()
        )
        and (table != "account_links" or columns.keys() <= VENDORS)
        for table, columns in value.items()
    )


def _are_stages(value: Any) -> bool:
    """Whether a value lists stages or types of a CRM's accounts."""
    return isinstance(value, list) and all(
        isinstance(stage, str | int) and _STAGE.fullmatch(str(stage)) for stage in value
    )


def _path_from(environ: Mapping[str, str], name: str) -> Path | None:
    """A path from an environment variable; None when it is unset or empty."""
    value = environ.get(name)
    return Path(value) if value else None
