"""Where dbt puts the marts: a project that installs the package has rules of its own for names.

dbt builds and tests the marts under any names. The command line reads them by name, in one place
per engine; where a project's rules lead elsewhere, this says so before anything is built.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from customer_health.errors import HealthError
from customer_health.publication import CANDIDATE_CATALOG
from customer_health.targets import DUCKDB

PACKAGE = "customer_health"


def refuse_other_places(
    nodes: Mapping[str, Any],
    engine: str,
    marts_schema: str | None = None,
    snapshots_schema: str | None = None,
) -> None:
    """Refuse a project in which the command line would not find marts and snapshots.

    Args:
        nodes: nodes of the parsed project by unique id.
        engine: type of the dbt target.
        marts_schema: the only schema where this engine's publications look; None: any one.
        snapshots_schema: likewise for the snapshots.

    Raises:
        HealthError: naming the first node that is elsewhere, and what to write in the project.
    """
    schemas: dict[str, dict[str, str]] = {"marts": {}, "snapshots": {}}
    for kind, node in _read_by_name(nodes):
        if node.alias != node.name:
            raise HealthError(
                f"this project builds {node.name} as {node.alias}, and customer-health reads it by "
                "its name: let generate_alias_name return the name where node.package_name is "
                f"'{PACKAGE}' (`dbt build` needs no change)"
            )
        if engine == DUCKDB and node.database != CANDIDATE_CATALOG:
            raise HealthError(
                f"{node.name} would be built into the database {node.database}: on DuckDB attach "
                f"candidate.duckdb as {CANDIDATE_CATALOG} in profiles.yml, and set +database: "
                f"{CANDIDATE_CATALOG} for models: {PACKAGE}: marts and for snapshots: {PACKAGE} in "
                "dbt_project.yml"
            )
        schemas[kind].setdefault(str(node.schema), str(node.name))
    for kind, expected in (("marts", marts_schema), ("snapshots", snapshots_schema)):
        found = schemas[kind]
        if len(found) > 1:
            raise HealthError(
                f"the {kind} of {PACKAGE} would be built into {len(found)} schemas "
                f"({', '.join(f'{name} into {schema}' for schema, name in found.items())}): "
                "customer-health reads them from one; set one +schema for all of them"
            )
        if expected is not None and found and expected not in found:
            schema, name = next(iter(found.items()))
            raise HealthError(
                f"{name} would be built into the schema {schema}, and on {engine} customer-health "
                f"reads the {kind} from {expected}: let generate_schema_name keep dbt's own rule "
                f"where node.package_name is '{PACKAGE}', and set no +schema for them"
            )


def _read_by_name(nodes: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What the command line reads by name: marts and snapshots of the package."""
    for node in nodes.values():
        if node.package_name != PACKAGE:
            continue
        if str(node.resource_type) == "snapshot":
            yield "snapshots", node
        elif str(node.resource_type) == "model" and "marts" in node.fqn[1:2]:
            yield "marts", node
