"""Demo data: a seeded company whose customers' health moves before they churn, renew or grow.

`generate` writes every raw table of the input contract as Parquet, `create_landing` puts a DuckDB
file with one view per table beside it.
"""

from customer_health.demo.files import create_landing
from customer_health.demo.generator import DemoSummary, generate
from customer_health.demo.schema import TABLES

__all__ = ["TABLES", "DemoSummary", "create_landing", "generate"]
