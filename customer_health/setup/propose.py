"""What to write into a project for the tables of a warehouse, and what the score will not know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from customer_health.errors import HealthError
from customer_health.gate_engines import quoted
from customer_health.policy import PACKAGE_DIR, find_seed_files, read_seed
from customer_health.settings import CONNECTORS, PREFIX, RAW_TABLES, is_identifier, today
from customer_health.setup.catalogue import connectors, domains_of
from customer_health.setup.recognise import (
    LOADED,
    PRINCIPAL,
    Link,
    Place,
    Recognised,
    Schemas,
    candidates,
    look_at_link,
    measure,
    newest_of,
    raw_schema,
    recognise,
)

# source_key of the seed metrics to the raw tables that feed it, where it is not the table itself;
# the model int_health__source_coverage says the same.
_FED_BY = {
    "product_usage": ("product_events", "product_usage_daily"),
    "csat_answers": ("survey_responses", "support_tickets"),
}
# A year of Sundays, and four weeks of every day: enough for trends, and built in minutes.
_HISTORY = timedelta(weeks=52)
_DAILY = timedelta(weeks=4)
_CURRENCY = "USD"  # the default of customer_health__reporting_currency
PASSWORD_VARIABLE = "DBT_ENV_SECRET_POSTGRES_PASSWORD"
_DOMAIN_OF = {
    table: domain
    for domain, vendors in CONNECTORS.items()
    for tables in vendors.values()
    for table in tables
}


@dataclass(frozen=True)
class Weight:
    """A metric of the default scorecard.

    Attributes:
        label: for people.
        tables: raw tables of which any one feeds it.
        share: of the score, 0 to 1.
        also: raw tables that it needs besides.
    """

    label: str
    tables: tuple[str, ...]
    share: float
    also: tuple[str, ...] = ()


@dataclass
class Proposal:
    """What `init` proposes.

    Attributes:
        place: the warehouse.
        chosen: domain to the vendor that fills it.
        others: domain to vendors that could fill it as well.
        raw_schema: schema of raw tables of the input contract, if any.
        using: raw table to whether there is something to fill it.
        weights: metrics of the default scorecard.
        newest: day on which the newest accounts were loaded, or today.
        links: vendor to where it carries the CRM's id.
        currencies: of the invoices or subscriptions, the most frequent first.
        warnings: what a person has to decide or mend, one line each.
    """

    place: Place
    chosen: dict[str, Recognised]
    others: dict[str, list[Recognised]]
    raw_schema: str | None
    using: dict[str, bool]
    weights: list[Weight]
    newest: date
    links: dict[str, Link] = field(default_factory=dict)
    currencies: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def connected_weight(self) -> float:
        """The share of the default scorecard that has something to feed it."""
        return sum(weight.share for weight in self.weights if self._is_fed(weight))

    @property
    def unknown(self) -> list[Weight]:
        """Metrics that will be not connected, the heaviest first."""
        lost = [weight for weight in self.weights if not self._is_fed(weight)]
        return sorted(lost, key=lambda weight: -weight.share)

    @property
    def unrated(self) -> list[str]:
        """Currencies that no exchange rate converts."""
        return [] if self.using["billing_exchange_rates"] else self.currencies[1:]

    @property
    def filler(self) -> dict[str, str]:
        """Raw table to what fills it."""
        found = {}
        for table, is_used in self.using.items():
            domain = _DOMAIN_OF.get(table)
            vendor = self.chosen.get(domain) if domain else None
            if is_used and vendor is not None and domain and table in vendor.usable(domain):
                found[table] = vendor.vendor
            elif is_used:
                found[table] = f"{self.raw_schema}.{table}"
        return found

    def variables(self) -> dict[str, Any]:
        """The vars of the project, with prefix."""
        daily = self.newest - _DAILY
        first = self.newest - _HISTORY
        found: dict[str, Any] = {
            "history_from": (first - timedelta(days=(first.weekday() + 1) % 7)).isoformat(),
            "daily_from": daily.isoformat(),
        }
        for domain, vendor in self.chosen.items():
            found[f"{domain}_connector"] = vendor.vendor
        if self.currencies and self.currencies[0] != _CURRENCY:
            found["reporting_currency"] = self.currencies[0]
        schemas = {
            vendor.vendor: vendor.schema
            for vendor in self.chosen.values()
            if vendor.schema != vendor.vendor
        }
        if schemas:
            found["connector_schemas"] = schemas
        if self.raw_schema not in (None, "raw"):
            found["raw_schema"] = self.raw_schema
        for table, is_used in self.using.items():
            if table != "crm_accounts" and is_used != RAW_TABLES[table]:
                found[f"using_{table}"] = is_used
        return {PREFIX + name: value for name, value in found.items()}

    def _is_fed(self, weight: Weight) -> bool:
        return any(self.using.get(table) for table in weight.tables) and all(
            self.using.get(table) for table in weight.also
        )


def propose(place: Place, schemas: Schemas) -> Proposal:
    """Choose a vendor per domain, and say what is left unknown.

    A domain whose raw tables are there keeps them: who made them knows better. The raw table that
    matters most in the domain has to be among them: touchpoints alone make no CRM.

    Raises:
        HealthError: when there are no accounts at all.
    """
    every = candidates(schemas)
    seen = [each for each in every if is_identifier(each.schema)]
    measure(place, seen)
    schema, raw_tables = raw_schema(schemas)
    chosen: dict[str, Recognised] = {}
    others: dict[str, list[Recognised]] = {}
    warnings = _of_candidates(every, seen)
    raw_tables, empty = _with_rows(place, schema, raw_tables)
    if "crm_accounts" in empty:
        warnings.append(f"{schema}.crm_accounts has no rows: load it before a run")
        empty.remove("crm_accounts")
    if empty:
        warnings.append(f"{', '.join(empty)} in {schema}: no rows, so not read")
    for domain, vendors in recognise(seen).items():
        own = [table for table in raw_tables if _DOMAIN_OF.get(table) == domain]
        if not vendors:
            continue
        has_daily = domain == "product" and "product_usage_daily" in raw_tables
        if has_daily or (own and PRINCIPAL.get(domain, own[0]) in own):
            names = ", ".join(each.vendor for each in vendors)
            own = [*own, *(["product_usage_daily"] if has_daily else [])]
            warnings.append(
                f"{domain}: {', '.join(own)} in {schema} are read, not {names}; for the connector "
                f"set {PREFIX}{domain}_connector: {vendors[0].vendor}"
            )
            continue
        chosen[domain] = vendors[0]
        others[domain] = vendors[1:]
        filled = CONNECTORS[domain][vendors[0].vendor]
        unread = [table for table in own if table in filled]
        if unread:
            warnings.append(
                f"{domain}: {', '.join(unread)} in {schema} will not be read, as the connector of "
                f"{vendors[0].vendor} fills it"
            )
        if others[domain]:
            warnings.append(_choice(domain, vendors))
    connected = {
        table: table in vendor.usable(domain)
        for domain, vendor in chosen.items()
        for table in CONNECTORS[domain][vendor.vendor]
    }
    using = {table: connected.get(table, table in raw_tables) for table in RAW_TABLES}
    if not using["crm_accounts"]:
        raise HealthError(
            f"{place.label} has no accounts: neither a raw table crm_accounts nor the tables of "
            "HubSpot or Salesforce were recognised (docs/connectors.md says which those are)",
            lines=warnings,
        )
    accounts = _accounts(chosen, schema)
    proposal = Proposal(
        place,
        chosen,
        others,
        schema,
        using,
        default_weights(),
        _newest(place, chosen, schemas, schema),
        warnings=warnings,
    )
    for vendor in {each.vendor: each for each in chosen.values()}.values():
        if vendor.vendor not in CONNECTORS["crm"]:
            proposal.links[vendor.vendor] = look_at_link(place, vendor, accounts)
    warnings += _of_links(proposal)
    proposal.currencies = _currencies(proposal)
    if proposal.unrated:
        warnings.append(
            f"Amounts in {', '.join(proposal.unrated)} beside {proposal.currencies[0]}: load a raw "
            "table billing_exchange_rates, or their rows are set aside and a run may be refused"
        )
    return proposal


def _with_rows(place: Place, schema: str | None, tables: list[str]) -> tuple[list[str], list[str]]:
    """Raw tables that have rows, and those that have none; accounts stay, whatever they have."""
    empty = [
        table
        for table in tables
        if place.try_ask(f"select 1 from {quoted(str(schema))}.{quoted(table)} limit 1") == []
    ]
    return [table for table in tables if table not in empty or table == "crm_accounts"], empty


def _of_candidates(found: list[Recognised], seen: list[Recognised]) -> list[str]:
    """What to say about vendors that were not taken, or not whole."""
    said = []
    for each in found:
        there, known = each.known
        if each not in seen:
            said.append(
                f"{each.schema!r} looks like {each.vendor}, but such a name cannot be set: make "
                "views in a schema of letters, digits and _"
            )
        elif not each.is_sure:
            said.append(
                f"{each.schema} has tables named like those of {each.vendor}, but only {there} of "
                f"the {known} columns it should have: not proposed"
            )
        else:
            said += [
                f"{domain}: {each.vendor} (schema {each.schema}) cannot fill it: {why}"
                for domain in domains_of(each.vendor)
                if (why := _why_not(each, domain))
            ]
        if each.elsewhere:
            said.append(
                f"{each.vendor} is in {each.schema} and in {', '.join(each.elsewhere)}: "
                f"{each.schema} is proposed; if another one is right, set it in "
                f"{PREFIX}connector_schemas"
            )
    return said


def _why_not(found: Recognised, domain: str) -> str:
    """Why a vendor cannot fill a domain; empty where it can."""
    if found.usable(domain):
        return ""
    first = PRINCIPAL.get(domain)
    stopped = [each for each in found.of_domain(domain) if first in (None, each.raw_table)]
    gaps = [f"it lacks {gap}" for each in stopped for gap in each.missing]
    gaps += [f"{name} has no rows" for each in stopped for name in each.empty]
    return ", ".join(dict.fromkeys(gaps))


def _choice(domain: str, vendors: list[Recognised]) -> str:
    """Which vendors could fill a domain, and what speaks for the first."""

    def facts(each: Recognised) -> str:
        said = each.in_words(domain)
        return f"{each.vendor} ({said})" if said else each.vendor

    return (
        f"{domain}: {' or '.join(facts(each) for each in vendors)}? {vendors[0].vendor} is "
        f"proposed; change {PREFIX}{domain}_connector if another one is in use"
    )


def _of_links(proposal: Proposal) -> list[str]:
    """Vendors whose rows will find few accounts by an id."""
    said = []
    for vendor, link in proposal.links.items():
        if link.column is not None and link.known_share is not None and link.known_share < 0.5:
            said.append(
                f"{vendor}: only {link.known_share:.0%} of the values of {link.column} are ids of "
                "accounts; the rest go by web domain. Is the id elsewhere, name it in "
                f"{PREFIX}connector_columns: {{account_links: {{{vendor}: …}}}}"
            )
    return said


def _accounts(chosen: Mapping[str, Recognised], schema: str | None) -> tuple[str, str, str] | None:
    """Schema, table and column of the ids of accounts; None where they are no plain column."""
    vendor = chosen.get("crm")
    if vendor is None:
        return (str(schema), "crm_accounts", "account_id")
    for table in connectors()[vendor.vendor].tables["crm_accounts"]:
        for column in table.columns:
            if table.fills == "crm_accounts" and column.name == "account_id":
                found = column.found_in(list(vendor.columns.get(table.name, {})))
                return (vendor.schema, table.name, found) if found else None
    return None


def _newest(
    place: Place, chosen: Mapping[str, Recognised], schemas: Schemas, schema: str | None
) -> date:
    """The day on which accounts were last loaded; today where that is not known."""
    newest: datetime | None = None
    if "crm" in chosen:
        newest = chosen["crm"].newest("crm")
    else:
        columns = schemas.get(str(schema), {}).get("crm_accounts", {})
        loaded = next((name for name in (*LOADED, "updated_at") if name in columns), None)
        if loaded:
            moment = f"cast({quoted(loaded)} as timestamp)"
            newest = newest_of(place, str(schema), "crm_accounts", moment)
    return min(newest.date(), today()) if newest else today()


def _currencies(proposal: Proposal) -> list[str]:
    """Currencies of what is billed, the most frequent first; empty where nobody can say."""
    vendor = proposal.chosen.get("billing")
    if vendor is None:
        if not proposal.using["billing_subscriptions"]:
            return []
        schema, table, column = proposal.raw_schema, "billing_subscriptions", "currency_code"
    else:
        schema = vendor.schema
        named = [
            (table.name, found)
            for read in connectors()[vendor.vendor].tables.values()
            for table in read
            for column in table.columns
            if column.name in {"currency", "currency_code"}
            and (found := column.found_in(list(vendor.columns.get(table.name, {}))))
        ]
        if not named:
            return []
        table, column = next((each for each in named if each[0] == "invoice"), named[0])
    rows = proposal.place.try_ask(
        f"select upper({quoted(column)}), count(*) from {quoted(str(schema))}.{quoted(table)} "
        "group by 1 order by 2 desc, 1"
    )
    return [str(currency) for currency, _ in rows or [] if currency]


def default_weights() -> list[Weight]:
    """Metrics of the first health scorecard of the shipped policy, with their share of it."""
    files = find_seed_files(PACKAGE_DIR)
    seeds = {
        name: [row.cells for row in read_seed(name, files[name]).rows]
        for name in (
            "scoring_versions",
            "metrics",
            "category_weights",
            "metric_weights",
            "scorecards",
            "event_metrics",
        )
    }
    version = next(
        row["scoring_version"] for row in seeds["scoring_versions"] if row["status"] == "champion"
    )
    scorecard = next(
        row["scorecard_key"]
        for row in seeds["scorecards"]
        if row["scoring_version"] == version and row["purpose"] == "health"
    )

    def of_scorecard(name: str) -> list[Mapping[str, Any]]:
        return [
            row
            for row in seeds[name]
            if row["scoring_version"] == version
            and row.get("scorecard_key", scorecard) == scorecard
        ]

    categories = {
        row["category_key"]: float(row["weight"]) for row in of_scorecard("category_weights")
    }
    metrics = {row["metric_key"]: row for row in of_scorecard("metrics")}
    of_features = {
        row["metric_key"]
        for row in of_scorecard("event_metrics")
        if "feature" in row["aggregation"] + row["basis"]
    }
    found = []
    for row in of_scorecard("metric_weights"):
        metric = metrics[row["metric_key"]]
        source = str(metric["source_key"])
        found.append(
            Weight(
                str(metric["label"]),
                _FED_BY.get(source, (source,)),
                float(row["weight"]) * categories.get(metric["category_key"], 0.0),
                ("product_features",) if row["metric_key"] in of_features else (),
            )
        )
    return [weight for weight in found if weight.share > 0]


# -- files -----------------------------------------------------------------------------------------
_WHY = {
    "history_from": "one score for each Sunday from here on; earlier: more to validate, slower",
    "daily_from": "and one for every day from here on",
}


def vars_block(proposal: Proposal) -> str:
    """The vars as YAML, with fields to map as comments."""
    lines = ["vars:"]
    if proposal.place.engine == "duckdb":
        lines.append(f"  {PREFIX}raw_database: landing")
    for name, value in proposal.variables().items():
        written = yaml.safe_dump(value, default_flow_style=True, width=10_000)
        why = _WHY.get(name.removeprefix(PREFIX))
        remark = f"  # {why}" if why else ""
        lines.append(f"  {name}: {written.removesuffix('...' + chr(10)).strip()}{remark}")
    crm = proposal.chosen.get("crm")
    if crm and crm.suggestions:
        lines.append("  # Fields of your own that may be what a score needs; take the right ones:")
        lines.append(f"  # {PREFIX}connector_columns:")
        lines.append("  #   crm_accounts:")
        for column, names in crm.suggestions.items():
            more = f"  # or {', '.join(names[1:])}" if names[1:] else ""
            lines.append(f"  #     {column}: {names[0]}{more}")
    return "\n".join(lines)


def places_block(proposal: Proposal) -> str:
    """Where marts and snapshots go, for dbt_project.yml; empty where the target decides."""
    if proposal.place.engine != "duckdb":
        return ""
    return (
        "models:\n"
        "  customer_health:\n"
        "    # On DuckDB marts and snapshots get a file of their own, copied for readers.\n"
        "    marts:\n"
        "      +database: marts\n"
        "\n"
        "snapshots:\n"
        "  customer_health:\n"
        "    +database: marts"
    )


def project_files(proposal: Proposal, name: str, package: Path) -> dict[str, str]:
    """The files of a project: name to text.

    Args:
        proposal: what was found.
        name: of the project, an identifier.
        package: folder of customer_health, for packages.yml.
    """
    project = f"""# Customer health scores of {name}: everything but these vars is in the package.
name: {name}
version: "1.0.0"
config-version: 2
profile: {name}

model-paths: [models]
seed-paths: [seeds]
clean-targets: [target, logs, dbt_packages]

flags:
  send_anonymous_usage_stats: false
  use_colors: false

{vars_block(proposal)}

{places_block(proposal)}"""
    return {
        "dbt_project.yml": project.rstrip() + "\n",
        "packages.yml": packages_block(package),
        "profiles.yml": profile_block(proposal, name),
        ".gitignore": "target/\nlogs/\ndbt_packages/\nwarehouse/\n",
    }


def blocks(proposal: Proposal, name: str, package: Path) -> dict[str, str]:
    """What belongs into which file, for a project that is there already."""
    places = places_block(proposal)
    return {
        "dbt_project.yml": f"{vars_block(proposal)}\n\n{places}",
        "packages.yml (then `dbt deps`)": packages_block(package),
        "profiles.yml": profile_block(proposal, name),
    }


def packages_block(package: Path) -> str:
    """packages.yml."""
    return yaml.safe_dump({"packages": [{"local": str(package)}]}, width=10_000)


def profile_block(proposal: Proposal, name: str) -> str:
    """profiles.yml for the warehouse that was looked at."""
    if proposal.place.engine == "duckdb":
        home = "{{ env_var('CUSTOMER_HEALTH_HOME', 'warehouse') }}"
        return f"""{name}:
  target: dev
  outputs:
    dev:
      type: duckdb
      path: "{home}/build.duckdb"
      schema: customer_health
      threads: 2
      attach:
        - path: "{home}/landing.duckdb"  # your loader's file, only read
          alias: landing
          read_only: true
        - path: "{home}/candidate.duckdb"
          alias: marts
      config_options:
        temp_directory: "{home}/tmp"
        memory_limit: "{{{{ env_var('CUSTOMER_HEALTH_MEMORY_LIMIT', '8GB') }}}}"
      settings:
        TimeZone: UTC
        preserve_insertion_order: false
"""
    known = proposal.place.connection
    output: dict[str, Any] = {
        "type": "postgres",
        "host": known.get("host", "localhost"),
        "port": int(known.get("port", 5432)),
        "user": known.get("user", "{{ env_var('CUSTOMER_HEALTH_POSTGRES_USER') }}"),
        "password": f"{{{{ env_var('{PASSWORD_VARIABLE}', '') }}}}",
        "dbname": known.get("dbname", "{{ env_var('CUSTOMER_HEALTH_POSTGRES_DATABASE') }}"),
        **{key: value for key, value in known.items() if key.startswith("ssl")},
        "schema": "customer_health",
        "threads": 2,
    }
    profile = {name: {"target": "dev", "outputs": {"dev": output}}}
    return yaml.safe_dump(profile, sort_keys=False, width=10_000)


def write_project(files: Mapping[str, str], folder: Path) -> list[Path]:
    """Write the files of a new project.

    Returns:
        The files.

    Raises:
        HealthError: when one of them is there already; then nothing is written.
    """
    there = [name for name in files if (folder / name).exists()]
    if there:
        raise HealthError(
            f"{folder / there[0]} exists and is not overwritten: choose another --dir, or "
            "paste the vars by hand (leave --write out to see them)"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("models", "seeds"):
        (folder / name).mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in files]


def link_landing(file: Path, home: Path) -> Path:
    """Let the profile of a new project find a DuckDB file, without copying it.

    The link goes to the path as it was given: where that is a link itself, which a loader turns to
    a newer file each day, ours follows.

    Args:
        file: the loader's.
        home: folder of the databases of the new project.

    Returns:
        The link.

    Raises:
        HealthError: when another file is there already.
    """
    landing = home / "landing.duckdb"
    home.mkdir(parents=True, exist_ok=True)
    if landing.is_symlink() or landing.exists():
        if landing.resolve() != file.resolve():
            raise HealthError(f"{landing} exists and is not overwritten: choose another --dir")
        return landing
    landing.symlink_to(file.absolute())
    return landing
