"""Where the candidate is built and the readers' copy lies, one module per engine.

`warehouse_of` answers with that of the dbt target. Whatever a run needs of an engine is a method of
`base.Warehouse`; nothing else in the package asks what the engine is.
"""

from __future__ import annotations

from customer_health.errors import UsageError
from customer_health.settings import Settings
from customer_health.targets import DUCKDB, target_type
from customer_health.warehouses.base import Reader, Warehouse

__all__ = ["Reader", "Warehouse", "warehouse_of"]


def warehouse_of(settings: Settings) -> Warehouse:
    """The warehouse of the dbt target; DuckDB where profiles.yml names none.

    Raises:
        HealthError: when the target cannot be read.
        UsageError: for an engine on which nothing can be published.
    """
    engine = target_type(settings)
    if engine == DUCKDB:
        from customer_health.warehouses.duckdb import DuckDBWarehouse

        return DuckDBWarehouse(settings)
    if engine == "postgres":
        from customer_health.warehouses.postgres import PostgresWarehouse

        return PostgresWarehouse(settings)
    if engine == "spark":
        from customer_health.warehouses.spark import SparkWarehouse

        return SparkWarehouse(settings)
    raise UsageError(
        f"the dbt target is of type {engine}: dbt can build there, but runs and publications are "
        "made on duckdb, postgres and spark (docs/engines.md)"
    )
