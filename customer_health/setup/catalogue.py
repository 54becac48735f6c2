"""What each connector reads, taken from the connectors themselves.

The models say it in their calls of the macro `vendor_rows`. They are rendered here with macros that
only note those calls, so that there is no second list to keep.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import ChainableUndefined, Environment

from customer_health.policy import PACKAGE_DIR
from customer_health.settings import CONNECTORS, RAW_TABLES

STAGING = PACKAGE_DIR / "models" / "staging"
MODELS = STAGING / "connectors"
LINKS = "account_links"


@dataclass(frozen=True)
class VendorColumn:
    """A column that a connector reads.

    Attributes:
        name: what the connector calls it; a column of the input contract, or of its own.
        kind: as in the macro input_contract, or json.
        names: what loaders call it, best first; empty where only a deployment can name it.
        is_required: whether the connector stops without it.
    """

    name: str
    kind: str
    names: tuple[str, ...]
    is_required: bool

    def found_in(self, columns: Sequence[str]) -> str | None:
        """The name under which a table has it; None where it has not."""
        for name in self.names:
            lower = name.lower()
            if lower in columns or ("." in lower and lower.split(".")[0] in columns):
                return name
        return None


@dataclass(frozen=True)
class VendorTable:
    """A table of a vendor as one connector model reads it.

    Attributes:
        name: its name at the vendor.
        columns: what is read of it.
        may_be_absent: whether the connector does without it.
        fills: raw table whose columns a deployment may map to columns of this one, or None.
    """

    name: str
    columns: tuple[VendorColumn, ...]
    may_be_absent: bool
    fills: str | None


@dataclass
class Connector:
    """What a vendor's connector reads.

    Attributes:
        vendor: as in CONNECTORS.
        tables: raw table that a model fills, or `account_links`, to the vendor's tables of it.
    """

    vendor: str
    tables: dict[str, list[VendorTable]] = field(default_factory=dict)

    def needed(self, raw_table: str) -> list[VendorTable]:
        """Tables without which a raw table cannot be filled."""
        return [table for table in self._read(raw_table) if not table.may_be_absent]

    def helpful(self, raw_table: str) -> list[VendorTable]:
        """Tables that it does without, and then knows less."""
        return [table for table in self._read(raw_table) if table.may_be_absent]

    def _read(self, raw_table: str) -> list[VendorTable]:
        return self.tables.get(raw_table, [])


class _Calls:
    """Stands for the macros of the package: notes `vendor_rows`, answers everything else.

    Args:
        used: the raw table that is filled; others count as switched off.
    """

    def __init__(self, used: str) -> None:
        self.used = used
        self.noted: list[VendorTable] = []
        self.refs: list[str] = []

    def vendor_rows(
        self,
        _vendor: str,
        table: str,
        columns: list[list[Any]],
        fills: str | None = None,
        may_lack: bool = False,
        keep_deleted: bool = False,
    ) -> str:
        """Note the call."""
        read = tuple(
            VendorColumn(
                column[0],
                column[1],
                tuple(column[3]) if len(column) > 3 else (column[0],),
                column[2] == "required",
            )
            for column in columns
        )
        self.noted.append(VendorTable(table, read, bool(may_lack), fills))
        return ""

    def link_columns(self, _vendor: str, names: list[str]) -> list[str]:
        """The usual names."""
        return names

    def using_table(self, table: str) -> bool:
        """Whether a raw table is the one that is filled."""
        return table == self.used

    def ref(self, name: str) -> str:
        """Note which model is read."""
        self.refs.append(name)
        return ""

    def __getattr__(self, _name: str) -> Any:
        return lambda *_arguments, **_named: ""


class _Nothing(ChainableUndefined):
    """Stands for what dbt knows and this does not, such as `source`: empty, also when called."""

    def __call__(self, *_arguments: Any, **_named: Any) -> str:  # type: ignore[override]
        """Nothing."""
        return ""


def _render(file: Path, used: str) -> _Calls:
    """The calls that a model makes where one raw table is filled."""
    environment = Environment(
        extensions=["jinja2.ext.do"],
        undefined=_Nothing,
        autoescape=False,
    )
    calls = _Calls(used)
    environment.from_string(file.read_text(encoding="utf-8")).render(
        customer_health=calls, dbt=calls, config=lambda **_: "", ref=calls.ref
    )
    return calls


@cache
def connectors() -> dict[str, Connector]:
    """Every vendor's connector."""
    found: dict[str, Connector] = {}
    for folder in sorted(path for path in MODELS.iterdir() if path.is_dir()):
        vendor = folder.name
        files = sorted(folder.glob("con_health__*.sql"))
        connector = Connector(vendor)
        for model in files:
            target = model.stem.split("__")[2]
            if target == LINKS or target in RAW_TABLES:
                calls = {file.stem: _render(file, target) for file in files}
                connector.tables[target] = _with_refs(model.stem, calls)
        found[vendor] = connector
    return found


def _with_refs(name: str, calls: dict[str, _Calls]) -> list[VendorTable]:
    """Tables that a model reads, by itself and through models that it refers to."""
    seen: dict[str, None] = {}
    waiting = [name]
    while waiting:
        model = waiting.pop()
        if model in seen or model not in calls:
            continue
        seen[model] = None
        waiting.extend(calls[model].refs)
    return [table for model in seen for table in calls[model].noted]


def domains_of(vendor: str) -> list[str]:
    """Domains that a vendor can fill."""
    return [domain for domain, vendors in CONNECTORS.items() if vendor in vendors]


@dataclass(frozen=True)
class Freshness:
    """What the sources' YAML says about how old a table may be.

    Attributes:
        loaded: SQL of the moment in which a row came.
        column: the column in it.
        warn_hours: older is worth a look; None where nothing is said.
        error_hours: older is an error; None likewise.
    """

    loaded: str
    column: str
    warn_hours: float | None
    error_hours: float | None


_HOURS = {"minute": 1 / 60, "hour": 1.0, "day": 24.0}


@cache
def freshness(vendor: str | None) -> dict[str, Freshness]:
    """How old the tables of a vendor, or the raw tables of the input contract, may be.

    Args:
        vendor: as in CONNECTORS; None for the raw tables.

    Returns:
        By name of the table; tables of which nothing is asked are left out.
    """
    file = MODELS / vendor / f"_{vendor}.yml" if vendor else STAGING / "_sources.yml"
    source = yaml.safe_load(file.read_text(encoding="utf-8"))["sources"][0]
    found = {}
    for table in source["tables"]:
        config = {**source.get("config", {}), **table.get("config", {})}
        loaded, asked = config.get("loaded_at_field"), config.get("freshness")
        if loaded and asked:
            named = re.search(r"cast\((\w+) as", loaded)
            limits = [
                limit["count"] * _HOURS[limit["period"]] if (limit := asked.get(key)) else None
                for key in ("warn_after", "error_after")
            ]
            column = named.group(1) if named else loaded
            found[str(table["name"])] = Freshness(loaded, column, limits[0], limits[1])
    return found
