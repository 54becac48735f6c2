"""Which database the dbt target is: what dbt builds in, and gates and publications with it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from customer_health.errors import HealthError, first_line
from customer_health.gate_engines import URL_VARIABLE, Postgres
from customer_health.settings import PROJECT_FILE, Settings

DUCKDB = "duckdb"


def target_type(settings: Settings, environ: Mapping[str, str] = os.environ) -> str:
    """The type of the dbt target: `duckdb`, `postgres`, `spark` …; duckdb where none is found.

    Raises:
        HealthError: when the name of the target comes from a variable that is not set.
    """
    output = target_output(settings, environ)
    return DUCKDB if output is None else str(output.get("type") or DUCKDB)


def target_output(
    settings: Settings, environ: Mapping[str, str] = os.environ
) -> dict[str, Any] | None:
    """The dbt target as the profile writes it; None where there is none, which dbt will tell.

    Values are as written, with their calls of env_var; `rendered_output` carries those out.
    """
    return _output(settings, environ)


def rendered_output(
    settings: Settings, environ: Mapping[str, str] = os.environ
) -> dict[str, Any] | None:
    """The dbt target with its environment variables in place; None where there is none.

    Raises:
        HealthError: naming the environment variable that is not set; never its value.
    """
    output = _output(settings, environ)
    if output is None:
        return None
    return {key: rendered(value, environ) for key, value in output.items()}


def postgres_target(
    settings: Settings, environ: Mapping[str, str] = os.environ
) -> tuple[Postgres, str] | None:
    """The PostgreSQL database of the dbt target and the schema of its marts.

    It is the one that CUSTOMER_HEALTH_POSTGRES_URL names, else that of the profile.

    Returns:
        None when the target is of another type, which is then DuckDB.

    Raises:
        HealthError: when the URL or the target cannot be read.
    """
    if target_type(settings, environ) != "postgres":
        return None
    written = rendered_output(settings, environ) or {}
    schema = str(written.get("schema") or "customer_health")
    url = environ.get(URL_VARIABLE, "").strip()
    return (Postgres.from_url(url) if url else Postgres.from_profile(written)), schema


def _output(settings: Settings, environ: Mapping[str, str]) -> dict[str, Any] | None:
    """The target in profiles.yml as written; None where there is none, which dbt will tell."""
    project = _read(settings.project_dir / PROJECT_FILE)
    own = [environ["DBT_PROFILES_DIR"]] if environ.get("DBT_PROFILES_DIR") else []
    folders = [Path(folder) for folder in own] or [settings.project_dir, Path.home() / ".dbt"]
    for folder in folders:
        profile = _read(folder / "profiles.yml").get(str(project.get("profile")))
        if isinstance(profile, dict):
            name = settings.target or rendered(profile.get("target", "default"), environ)
            output = (profile.get("outputs") or {}).get(name)
            return output if isinstance(output, dict) else None
    return None


def _read(path: Path) -> dict[str, Any]:
    """A YAML file; empty when it is missing or none."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def rendered(value: Any, environ: Mapping[str, str] = os.environ) -> Any:
    """A value of a profile, with its calls of env_var carried out.

    Raises:
        HealthError: naming the environment variable that is not set; never its value.
    """
    if not isinstance(value, str) or "{{" not in value:
        return value
    from jinja2 import TemplateError
    from jinja2.sandbox import SandboxedEnvironment

    def env_var(name: str, default: str | None = None) -> str:
        found = environ.get(name, default)
        if found is None:
            raise HealthError(f"profiles.yml: the environment variable {name} is not set")
        return found

    engine = SandboxedEnvironment()
    for name in ("as_number", "as_native", "as_bool", "as_text"):
        engine.filters[name] = str
    try:
        return engine.from_string(value).render(env_var=env_var)
    except TemplateError as error:
        raise HealthError(f"profiles.yml cannot be read: {first_line(str(error))}") from error
