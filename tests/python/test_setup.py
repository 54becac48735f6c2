"""`init` and `doctor`: from a warehouse that has a vendor's tables to published scores."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import postgres_server
import pytest
import yaml
from forked import run_module
from typer.testing import CliRunner, Result

from customer_health import cli, demo
from customer_health.gate_engines import URL_VARIABLE
from customer_health.lock import run_lock
from customer_health.settings import CONNECTORS, PREFIX, today, validate_vars
from customer_health.setup import doctor
from customer_health.setup.catalogue import connectors, domains_of
from customer_health.setup.recognise import candidates, duckdb_place, read_schemas, recognise

REPO = Path(__file__).resolve().parents[2]
SHAPES = Path(__file__).parent / "vendor_shapes"
SAMPLES = Path(
    os.environ.get("VENDOR_SCHEMAS_DATA", REPO.parent / "shared" / "data" / "vendor_schemas")
)
VENDORS = sorted({vendor for vendors in CONNECTORS.values() for vendor in vendors})


def call(*arguments: str, home: Path | None = None) -> Result:
    """The command line in this process."""
    options = ["--home", str(home)] if home else []
    return CliRunner().invoke(cli.app, [*options, *arguments])


@pytest.fixture(autouse=True)
def _wide(plain_terminal: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    for name in ("CUSTOMER_HEALTH_HOME", "CUSTOMER_HEALTH_PROJECT_DIR", URL_VARIABLE):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DuckDB file with the tables of all vendors, and no raw table of the input contract."""
    home = tmp_path_factory.mktemp("landed")
    demo.generate(home / "raw", accounts=60, days=200, events=8_000)
    demo.create_landing(home)
    file = home / "landing.duckdb"
    with duckdb.connect(str(file)) as connection:
        for name in ("base", *VENDORS):
            connection.execute((SHAPES / f"{name}.ddl").read_text(encoding="utf-8"))
        connection.execute("drop schema base cascade")
        connection.execute("create schema kept")
        for name in ("billing_exchange_rates", "product_features"):
            connection.execute(f"create table kept.{name} as select * from raw.{name}")
        connection.execute("drop schema raw cascade")
    return file


@pytest.fixture
def warehouse(landed: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return Path(shutil.copy(landed, tmp_path / "warehouse.duckdb"))


def change(file: Path, *statements: str) -> None:
    with duckdb.connect(str(file)) as connection:
        for statement in statements:
            connection.execute(statement)


def keep_only(file: Path, *vendors: str) -> None:
    change(file, *(f"drop schema {name} cascade" for name in VENDORS if name not in vendors))


# -- recognising ---------------------------------------------------------------------------------


def test_the_connectors_themselves_say_what_they_read() -> None:
    found = connectors()
    assert set(found) == set(VENDORS)
    for vendor, connector in found.items():
        for domain in domains_of(vendor):
            for raw_table in CONNECTORS[domain][vendor]:
                assert connector.tables[raw_table], (vendor, raw_table)
    tickets = {table.name: table for table in found["zendesk"].tables["support_tickets"]}
    assert set(tickets) == {
        "ticket",
        "ticket_comment",
        "ticket_field_history",
        "ticket_metrics",
        "ticket_tag",
        "user",
    }
    assert [table.name for table in found["zendesk"].needed("support_tickets")] == [
        "ticket",
        "user",
    ]
    required = {column.name for column in tickets["ticket"].columns if column.is_required}
    assert required == {"id", "created_at", "updated_at", "status"}
    # in a loop of the model, and through a model that it refers to
    assert {table.name for table in found["pendo"].needed("product_events")} == {
        "feature_event",
        "page_event",
    }
    assert "deal" in {table.name for table in found["hubspot"].needed("crm_accounts")}


def test_every_vendor_is_recognised_whatever_its_schema_is_called(warehouse: Path) -> None:
    change(warehouse, *(f"create schema loaded_{number}" for number in range(len(VENDORS))))
    with duckdb.connect(str(warehouse)) as connection:
        for number, vendor in enumerate(VENDORS):
            tables = connection.execute(
                "select table_name from duckdb_tables() where schema_name = ?", [vendor]
            ).fetchall()
            for (table,) in tables:
                connection.execute(
                    f'create table loaded_{number}."{table}" as select * from {vendor}."{table}"'
                )
            connection.execute(f"drop schema {vendor} cascade")
    found = recognise(candidates(read_schemas(duckdb_place(warehouse))))
    for domain, vendors in CONNECTORS.items():
        schemas = {each.vendor: each.schema for each in found[domain]}
        assert schemas == {vendor: f"loaded_{VENDORS.index(vendor)}" for vendor in vendors}, domain
        for each in found[domain]:
            assert each.usable(domain) == list(vendors[each.vendor])


def test_tables_that_a_loader_really_landed_are_recognised(tmp_path: Path) -> None:
    vendors = ("hubspot", "zendesk", "stripe", "pendo", "mixpanel")
    if not all((SAMPLES / vendor).is_dir() for vendor in vendors):
        pytest.skip(f"VENDOR_SCHEMAS_DATA: no samples of {', '.join(vendors)} in {SAMPLES}")
    file = tmp_path / "samples.duckdb"
    with duckdb.connect(str(file)) as connection:
        for vendor in vendors:
            connection.execute(f"create schema from_{vendor}")
            for path in sorted((SAMPLES / vendor).glob("*.csv")):
                table = path.stem.removesuffix("_data")
                connection.execute(
                    f'create table from_{vendor}."{table}" as '
                    f"select * from read_csv('{path}', header = true, sample_size = -1)"
                )
    found = recognise(candidates(read_schemas(duckdb_place(file))))
    assert {domain: [each.vendor for each in vendors] for domain, vendors in found.items()} == {
        "crm": ["hubspot"],
        "support": ["zendesk"],
        "billing": ["stripe"],
        "product": ["pendo", "mixpanel"],
        "surveys": ["pendo", "zendesk"],
    }


# -- init ----------------------------------------------------------------------------------------


def asked(file: Path, *arguments: str) -> dict[str, Any]:
    done = call("init", "--duckdb", str(file), "--json", *arguments)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_init_says_what_is_there_what_is_missing_and_what_that_is_worth(warehouse: Path) -> None:
    keep_only(warehouse, "hubspot", "zendesk", "stripe")
    change(
        warehouse,
        "drop table zendesk.ticket_comment",
        "alter table hubspot.contact drop column property_createdate",
        "drop table kept.product_features",
    )
    found = asked(warehouse)
    assert found["filled_by"] == {
        "crm_accounts": "hubspot",
        "crm_opportunities": "hubspot",
        "crm_touchpoints": "hubspot",
        "support_tickets": "zendesk",
        # the same system also has ratings
        "survey_responses": "zendesk",
        "billing_subscriptions": "stripe",
        "billing_invoices": "stripe",
        "billing_exchange_rates": "kept.billing_exchange_rates",
    }
    named = found["vars"]
    assert named["customer_health__using_product_events"] is False
    assert named["customer_health__using_crm_contacts"] is False
    assert named["customer_health__raw_schema"] == "kept"
    assert found["account_links"]["zendesk"] == {
        "column": "organization.external_id",
        "filled_share": 1.0,
        "known_share": 1.0,
    }
    # product usage is a quarter of the score, onboarding a tenth, engagement a twentieth
    assert found["connected_weight"] == pytest.approx(0.60, abs=1e-5)
    lost = {each["label"]: each["weight"] for each in found["unknown_metrics"]}
    assert lost["Share of onboarding milestones completed"] == pytest.approx(0.1)
    assert sum(lost.values()) == pytest.approx(0.40, abs=1e-5)
    told = call("init", "--duckdb", str(warehouse))
    for said in (
        "crm_contacts lacks contact.property_createdate",
        "without ticket_comment",
        "60% of the standard scorecard has data",
        "plan: property_plan_tier",
        "Nothing was written",
    ):
        assert said in " ".join(told.output.split()), told.output


def test_currencies_without_a_rate_are_told(warehouse: Path) -> None:
    keep_only(warehouse, "hubspot", "stripe")
    change(warehouse, "drop table kept.billing_exchange_rates")
    told = " ".join(call("init", "--duckdb", str(warehouse)).output.split())
    assert "! Amounts in EUR" in told and "billing_exchange_rates" in told
    change(warehouse, "update stripe.invoice set currency = 'eur'")
    found = asked(warehouse)
    assert found["currencies_without_rates"] == []
    assert found["vars"]["customer_health__reporting_currency"] == "EUR"


def told(file: Path, *arguments: str) -> str:
    done = call("init", "--duckdb", str(file), *arguments)
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def test_of_two_vendors_the_one_that_is_still_loaded_is_proposed_and_both_are_named(
    warehouse: Path,
) -> None:
    keep_only(warehouse, "hubspot", "salesforce", "zendesk", "delighted")
    asked_for = asked(warehouse)
    assert [each["vendor"] for each in asked_for["candidates"]["crm"]] == ["salesforce", "hubspot"]
    # surveys on the side of a helpdesk come after a system that is meant for them
    assert asked_for["vars"]["customer_health__surveys_connector"] == "delighted"
    change(
        warehouse,
        "update salesforce.account set _fivetran_synced = _fivetran_synced - interval 30 day",
    )
    said = told(warehouse)
    assert asked(warehouse)["vars"]["customer_health__crm_connector"] == "hubspot"
    assert "! crm: hubspot (59 rows, loaded 2026-06-30) or salesforce (60 rows" in said


def test_a_vendor_in_two_schemas_is_said(warehouse: Path) -> None:
    keep_only(warehouse, "hubspot")
    change(
        warehouse,
        "create schema a_hubspot_sandbox",
        *(
            f"create table a_hubspot_sandbox.{table} as select * from hubspot.{table}"
            for table in ("company", "contact", "deal", "deal_company", "engagement_company")
        ),
    )
    assert "hubspot is in hubspot and in a_hubspot_sandbox" in told(warehouse)
    assert "customer_health__connector_schemas" not in asked(warehouse)["vars"]


def test_tables_of_an_application_are_no_vendors(warehouse: Path) -> None:
    keep_only(warehouse, "hubspot")
    change(
        warehouse,
        "create schema app",
        "create table app.users (id int, email text, created_at timestamp, account_id int)",
        "create table app.tracks (id int, user_id int, title text)",
        "create table app.events (id int, event text, user_id int, timestamp timestamp)",
        "create table app.persons (id int, created_at timestamp)",
        "create schema real_segment",
        "insert into app.users values (1, 'jo@acme.com', now(), 1)",
        "create table real_segment.users as select * from app.users",
        "create table real_segment.tracks (id int, user_id int, event text, timestamp timestamp)",
        "insert into real_segment.tracks values (1, 1, 'opened', now())",
    )
    said = told(warehouse)
    assert "app has tables named like those of posthog, but only 5 of the 12 columns" in said
    # a name makes it likely enough
    assert asked(warehouse)["vars"]["customer_health__product_connector"] == "segment"
    change(warehouse, "drop schema real_segment cascade")
    assert asked(warehouse)["filled_by"].keys().isdisjoint({"product_events", "product_users"})


def test_tables_without_rows_are_not_taken_for_data(warehouse: Path) -> None:
    keep_only(warehouse, "hubspot", "zendesk")
    change(warehouse, "delete from zendesk.ticket", "delete from kept.product_features")
    found = asked(warehouse)
    assert found["vars"]["customer_health__using_support_tickets"] is False
    assert found["vars"]["customer_health__using_product_features"] is False
    assert "support: zendesk (schema zendesk) cannot fill it: ticket has no rows" in " ".join(
        found["warnings"]
    )
    assert "product_features in kept: no rows, so not read" in " ".join(found["warnings"])


def test_what_the_links_need_is_needed(warehouse: Path) -> None:
    keep_only(warehouse, "hubspot", "zendesk")
    change(warehouse, "drop table zendesk.organization")
    found = asked(warehouse)
    assert "support: zendesk (schema zendesk) cannot fill it: it lacks organization" in " ".join(
        found["warnings"]
    )
    assert "support_tickets" not in found["filled_by"]


def test_ids_that_the_crm_does_not_know_are_said(warehouse: Path) -> None:
    keep_only(warehouse, "hubspot", "zendesk", "stripe")
    change(
        warehouse,
        "update zendesk.organization set external_id = case when hash(id) % 4 = 0 then external_id "
        "else 'other-' || id end",
        "update stripe.customer set metadata = null",
    )
    links = asked(warehouse)["account_links"]
    assert links["zendesk"]["filled_share"] == 1.0
    assert 0 < links["zendesk"]["known_share"] < 0.5
    # a key of a JSON document is looked into
    assert links["stripe"] == {
        "column": "customer.metadata.account_id",
        "filled_share": 0.0,
        "known_share": None,
    }
    assert "of the values of organization.external_id are ids of accounts" in told(warehouse)


def test_raw_tables_and_a_connector_of_one_domain(warehouse: Path) -> None:
    keep_only(warehouse, "hubspot", "segment")
    change(
        warehouse,
        "create table kept.crm_touchpoints as select 1 as touchpoint_id",
        "create table kept.product_usage_daily as select 1 as account_id",
    )
    found = asked(warehouse)
    assert found["filled_by"]["crm_touchpoints"] == "hubspot"
    assert "crm: crm_touchpoints in kept will not be read" in " ".join(found["warnings"])
    assert "customer_health__product_connector" not in found["vars"]
    assert found["filled_by"]["product_usage_daily"] == "kept.product_usage_daily"


def test_odd_tables_stop_nothing(warehouse: Path) -> None:
    keep_only(warehouse, "hubspot", "stripe", "zendesk")
    change(
        warehouse,
        "alter table stripe.invoice drop column currency",
        "alter table hubspot.company alter _fivetran_synced type text",
        "update hubspot.company set _fivetran_synced = 'yesterday'",
        'create schema "zen-desk"',
        *(
            f'create table "zen-desk"."{table}" as select * from zendesk."{table}"'
            for table in ("ticket", "user", "organization", "ticket_field_history")
        ),
        "drop schema zendesk cascade",
    )
    found = asked(warehouse)
    assert found["filled_by"]["billing_subscriptions"] == "stripe"
    assert "billing_invoices" not in found["filled_by"]
    assert "'zen-desk' looks like zendesk, but such a name cannot be set" in " ".join(
        found["warnings"]
    )
    # nobody knows when accounts came, so history is counted from today
    daily = date.fromisoformat(found["vars"]["customer_health__daily_from"])
    assert timedelta(days=27) <= today() - daily <= timedelta(days=29)


def test_the_proposed_vars_are_valid_and_history_ends_where_the_data_do(warehouse: Path) -> None:
    named = asked(warehouse)["vars"]
    validate_vars({name.removeprefix(PREFIX): value for name, value in named.items()})
    assert named["customer_health__daily_from"] == "2026-06-02"
    first = date.fromisoformat(named["customer_health__history_from"])
    assert first.isoweekday() == 7 and first == date(2025, 6, 29)


def test_a_link_follows_the_loaders_own_link_and_the_home_folder(
    warehouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_only(warehouse, "hubspot")
    current = tmp_path / "current.duckdb"
    current.symlink_to(warehouse)
    monkeypatch.setenv("CUSTOMER_HEALTH_HOME", "data")
    folder = tmp_path / "project"
    done = call("init", "--duckdb", str(current), "--write", "--dir", str(folder))
    assert done.exit_code == 0, done.output
    landing = folder / "data" / "landing.duckdb"
    assert landing.readlink() == current
    assert done.output.rstrip().endswith("customer-health run")


def test_in_a_project_init_looks_at_its_target_and_says_what_to_paste(
    warehouse: Path, tmp_path: Path
) -> None:
    keep_only(warehouse, "hubspot")
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "dbt_project.yml").write_text("name: mine\nprofile: mine\n", encoding="utf-8")
    profile: dict[str, Any] = {
        "mine": {"target": "a", "outputs": {"a": {"type": "duckdb", "path": "../none"}}}
    }
    profile["mine"]["outputs"]["b"] = {"type": "duckdb", "path": str(warehouse)}
    (folder / "profiles.yml").write_text(yaml.safe_dump(profile), encoding="utf-8")
    before = digest(folder)
    done = call("--project-dir", str(folder), "--target", "b", "init")
    said = " ".join(done.output.split())
    assert done.exit_code == 0, said
    assert "has a project. Paste the blocks above into its files" in said
    for line in ("+database: marts", "alias: landing", f"local: {REPO}"):
        assert line in said
    refused = call("--project-dir", str(folder), "--target", "b", "init", "--write")
    assert "dbt_project.yml exists and is not overwritten" in " ".join(refused.output.split())
    assert "there is no DuckDB file" in call("--project-dir", str(folder), "init").output
    assert digest(folder) == before


@pytest.mark.parametrize(
    ("arguments", "says", "code"),
    [
        (("--duckdb", "nowhere.duckdb"), "there is no DuckDB file nowhere.duckdb", 1),
        ((), "say where the tables are", 2),
        (("--postgres",), URL_VARIABLE, 2),
        (("--duckdb", "x", "--postgres"), "say where the tables are", 2),
        (("--duckdb", "x", "--name", "a b"), "no name of a project", 2),
        (("--duckdb", "x", "--name", "customer_health"), "no name of a project", 2),
    ],
)
def test_init_refuses_in_one_line(arguments: tuple[str, ...], says: str, code: int) -> None:
    done = call("init", *arguments)
    assert (done.exit_code, says in done.output) == (code, True), done.output
    assert "Traceback" not in done.output


def test_a_warehouse_without_accounts_is_refused(warehouse: Path) -> None:
    keep_only(warehouse, "zendesk")
    done = call("init", "--duckdb", str(warehouse))
    assert done.exit_code == 1
    assert "has no accounts" in " ".join(done.output.split())


def test_init_overwrites_nothing(warehouse: Path, tmp_path: Path) -> None:
    keep_only(warehouse, "hubspot")
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "profiles.yml").write_text("mine\n", encoding="utf-8")
    done = call("init", "--duckdb", str(warehouse), "--write", "--dir", str(folder))
    assert done.exit_code == 1
    assert "profiles.yml exists and is not overwritten" in " ".join(done.output.split())
    assert [path.name for path in folder.iterdir()] == ["profiles.yml"]


# -- the whole way -------------------------------------------------------------------------------


def in_project(folder: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("CUSTOMER_HEALTH")
    }
    more = {"PYTHONPATH": str(REPO), "COLUMNS": "160"}
    return run_module(module, arguments, cwd=folder, env=environment | more)


@pytest.fixture(scope="module")
def project(landed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project that init wrote, from HubSpot, Zendesk, Stripe, Segment and Delighted, and ran."""
    place = tmp_path_factory.mktemp("stranger")
    file = Path(shutil.copy(landed, place / "warehouse.duckdb"))
    keep_only(file, "hubspot", "zendesk", "stripe", "segment", "delighted")
    folder = place / "health"
    done = call("init", "--duckdb", str(file), "--write", "--dir", str(folder), "--name", "acme")
    assert done.exit_code == 0, done.output
    installed = in_project(folder, "dbt.cli.main", "deps")
    assert installed.returncode == 0, installed.stdout
    examined = in_project(folder, "customer_health", "doctor", "--json")
    findings = json.loads(examined.stdout)["findings"]
    assert [each for each in findings if each["state"] == "bad"] == []
    ran = in_project(folder, "customer_health", "run", "--as-of", "2026-06-30")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    yield folder


def test_a_stranger_gets_scores_without_editing_a_file(project: Path) -> None:
    with duckdb.connect(str(project / "warehouse" / "published.duckdb"), read_only=True) as readers:
        scored, accounts = readers.execute(
            "select count(health_score), count(*) from customer_health.bi_health__account_360 "
            "where lifecycle_stage in ('onboarding', 'active', 'renewal_window')"
        ).fetchall()[0]
        states = dict(
            readers.execute(
                "select metric_key, min(value_state) "
                "from customer_health.fct_health__metric_scores "
                "where as_of_date = date '2026-06-30' and scorecard_key = 'standard' group by 1"
            ).fetchall()
        )
        links = readers.execute(
            "select source_system, link_state, count(*) "
            "from customer_health.dim_health__account_links group by all order by all"
        ).fetchall()
    assert scored == accounts > 20
    assert states["onboarding_completion"] == "not_connected"
    assert states["logins"] != "not_connected"
    assert {state for _, state, _ in links} <= {"linked", "unmatched"}
    assert {system for system, state, _ in links if state == "linked"} == {
        "delighted",
        "segment",
        "stripe",
        "zendesk",
    }


# -- doctor --------------------------------------------------------------------------------------


def findings(project: Path) -> dict[str, list[tuple[str, str]]]:
    done = call("--project-dir", str(project), "doctor", "--json")
    found: dict[str, list[tuple[str, str]]] = {}
    for each in json.loads(done.stdout)["findings"]:
        found.setdefault(each["check"], []).append((each["state"], each["said"]))
    is_bad = any(state == "bad" for said in found.values() for state, _ in said)
    assert done.exit_code == (1 if is_bad else 0)
    return found


@pytest.fixture
def copied(project: Path, tmp_path: Path) -> Path:
    """A copy of the project, without its databases but the landing."""
    folder = tmp_path / "copied"
    shutil.copytree(
        project, folder, ignore=shutil.ignore_patterns("warehouse", "target", "logs"), symlinks=True
    )
    (folder / "warehouse").mkdir()
    shutil.copy((project / "warehouse" / "landing.duckdb").resolve(), folder / "warehouse")
    (folder / "warehouse" / "warehouse.duckdb").rename(folder / "warehouse" / "landing.duckdb")
    return folder


def digest(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_doctor_finds_nothing_where_nothing_is_wrong_and_changes_nothing(project: Path) -> None:
    before = digest(project)
    found = findings(project)
    assert {state for said in found.values() for state, _ in said} <= {"ok", "warn"}
    assert found["publication"][-1][0] == "ok" or "old" in found["publication"][-1][1]
    assert digest(project) == before


def test_doctor_names_tables_that_are_missing_or_empty(copied: Path) -> None:
    landing = copied / "warehouse" / "landing.duckdb"
    change(landing, "drop table zendesk.ticket", "delete from stripe.invoice")
    assert findings(copied)["source tables"] == [
        (
            "bad",
            "zendesk.ticket is missing: load it, or set "
            "customer_health__using_support_tickets: false",
        ),
        (
            "bad",
            "stripe.invoice is empty: load it, or set "
            "customer_health__using_billing_invoices: false",
        ),
    ]


def test_doctor_names_an_old_table(copied: Path) -> None:
    said = findings(copied)["freshness"]
    assert any(
        each.startswith("hubspot: nothing new for") and "company" in each and state == "warn"
        for state, each in said
    )
    landing = copied / "warehouse" / "landing.duckdb"
    with duckdb.connect(str(landing)) as connection:
        for schema, table, column in connection.execute(
            "select table_schema, table_name, column_name from information_schema.columns "
            "where column_name in ('_fivetran_synced', 'received_at', 'loaded_at')"
        ).fetchall():
            connection.execute(f'update {schema}."{table}" set {column} = now()::timestamp')
    assert [state for state, _ in findings(copied)["freshness"]] == ["ok"]


@pytest.mark.parametrize(
    ("edit", "check", "says"),
    [
        ({"customer_health__crm_conector": "hubspot"}, "variables", "crm_connector"),
        ({"customer_health__support_connector": "jira"}, "variables", "zendesk or intercom"),
        ({"customer_health__lookback_days": -1}, "variables", "lookback_days"),
    ],
)
def test_doctor_names_a_wrong_var(
    copied: Path, edit: dict[str, object], check: str, says: str
) -> None:
    file = copied / "dbt_project.yml"
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    document["vars"] |= edit
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    state, said = findings(copied)[check][0]
    assert state == "bad" and says in said


def test_doctor_names_broken_policy_profile_and_database(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)  # whatever this machine's default is
    (copied / "seeds" / "bands.csv").write_text("scoring_version\n", encoding="utf-8")
    (copied / "profiles.yml").write_text("other: {}\n", encoding="utf-8")
    (copied / "warehouse" / "landing.duckdb").write_bytes(b"no database")
    found = findings(copied)
    assert found["policy"][0][0] == "bad" and "bands.csv" in found["policy"][0][1]
    assert found["profile"][0][0] == "bad"
    assert found["connection"][0][0] == "bad"
    assert found["Python"][0][0] == "ok", "one broken thing hides no other"


def edit_vars(project: Path, changes: dict[str, object]) -> None:
    file = project / "dbt_project.yml"
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    document["vars"] |= changes
    file.write_text(yaml.safe_dump(document), encoding="utf-8")


def test_doctor_names_columns_that_a_connector_needs(copied: Path) -> None:
    change(
        copied / "warehouse" / "landing.duckdb",
        "alter table zendesk.ticket drop column status",
        "alter table hubspot.company rename property_name to property_title",
        "delete from hubspot.deal_company",
    )
    mapped = {"crm_accounts": {"account_name": "property_title", "plan": "property_no_such"}}
    edit_vars(copied, {"customer_health__connector_columns": mapped})
    column = "name the right column in customer_health__connector_columns"
    assert findings(copied)["source tables"] == [
        ("bad", f"hubspot.company.property_no_such is missing: {column}"),
        ("warn", "hubspot.deal_company is empty"),
        ("bad", f"zendesk.ticket.status is missing: {column}"),
    ]


def test_doctor_names_a_schema_that_is_not_there(copied: Path) -> None:
    edit_vars(
        copied,
        {
            "customer_health__connector_schemas": {"stripe": "stripe_live"},
            # DuckDB does not mind how a name is written
            "customer_health__raw_schema": "KEPT",
        },
    )
    assert findings(copied)["source tables"] == [
        (
            "bad",
            "there is no schema stripe_live, where stripe should be: name the right one in "
            "customer_health__connector_schemas",
        )
    ]


def test_doctor_says_when_the_package_is_not_installed(copied: Path) -> None:
    (copied / "dbt_packages" / "customer_health").unlink()
    assert findings(copied)["dbt package"] == [
        ("bad", "customer_health is not installed in this project: dbt deps")
    ]
    other = copied / "dbt_packages" / "customer_health" / "dbt_project.yml"
    other.parent.mkdir()
    other.write_text('name: customer_health\nversion: "0.0.9"\n', encoding="utf-8")
    (state, said) = findings(copied)["dbt package"][0]
    assert state == "bad" and "customer_health 0.0.9, this command line is" in said


def test_doctor_says_what_the_machine_lacks(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_free_memory", lambda: 5.0)
    assert findings(copied)["memory"] == [
        ("warn", "5 GB free, and DuckDB may take 8: set CUSTOMER_HEALTH_MEMORY_LIMIT=4GB")
    ]
    monkeypatch.setenv("CUSTOMER_HEALTH_MEMORY_LIMIT", "3GB")
    assert findings(copied)["memory"] == [("ok", "5 GB free")]
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "pycache_prefix", str(copied / "never"))
    (state, advice) = findings(copied)["Python"][0]
    assert state == "warn"
    assert f"{sys.executable} -m compileall -q {Path(duckdb.__file__).parent.parent}" in advice
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    assert findings(copied)["Python"][0][0] == "ok", "the first start compiles"
    # where nothing can be written, whoever asks
    done = call("--project-dir", str(copied), "doctor", "--json", home=Path("/proc/home"))
    said = {each["check"]: each for each in json.loads(done.stdout)["findings"]}
    assert said["home folder"]["state"] == "bad"
    assert "no database can be made in /proc" in said["home folder"]["said"]


def test_one_check_that_breaks_hides_no_other(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("out of order\nin two lines")

    monkeypatch.setitem(doctor._CHECKS, "memory", broken)
    (copied / "dbt_project.yml").write_text("name: [\n", encoding="utf-8")
    found = findings(copied)
    assert found["memory"] == [("bad", "RuntimeError: out of order in two lines")]
    assert found["variables"][0][0] == "bad" and "cannot be read" in found["variables"][0][1]
    assert found.keys() == doctor._CHECKS.keys()
    # what follows from it is not told again
    assert ("warn", "not looked at: see variables") in found["source tables"]


def test_doctor_tells_of_a_run_that_died(project: Path, tmp_path: Path) -> None:
    folder = tmp_path / "died"
    shutil.copytree(project, folder, symlinks=True)
    home = folder / "warehouse"
    with run_lock(home / "run.lock", run_id="20260701T000000Z-dead00", command="run", warn=print):
        left = (home / "run.lock").read_text(encoding="utf-8")
    (home / "run.lock").write_text(left, encoding="utf-8")
    result = home / "runs" / "20991231T000000Z-aaaaaa" / "result.json"
    result.parent.mkdir()
    result.write_text(
        json.dumps({"run_id": "r1", "result": "refused", "error": "landing gate\nsaid no"}),
        encoding="utf-8",
    )
    change(
        home / "candidate.duckdb",
        "insert into customer_health_snapshots.snap_health__account_scores by name "
        "select '2026-07-01T0-never' as publication_id, * exclude (publication_id) "
        "from customer_health_snapshots.snap_health__account_scores limit 1",
    )
    before = digest(home)
    found = findings(folder)
    assert found["runs"] == [
        (
            "warn",
            "run 20260701T000000Z-dead00 died without having finished: the next run takes over",
        ),
        ("warn", "the last one (r1) was refused: landing gate said no"),
    ]
    assert found["snapshots"][0][0] == "warn" and "takes its rows back" in found["snapshots"][0][1]
    assert digest(home) == before


def test_doctor_sees_a_run_in_progress(copied: Path) -> None:
    lock = copied / "warehouse" / "run.lock"
    with run_lock(lock, run_id="20260630T000000Z-aaaaaa", command="run", warn=print):
        said = findings(copied)["runs"]
    assert [(state, "wait for it" in each) for state, each in said] == [("warn", True)]


def test_doctor_in_the_terminal(copied: Path) -> None:
    done = call("--project-dir", str(copied), "doctor")
    assert done.exit_code == 0
    assert "✓  connection" in done.output
    assert "A run can go ahead" in done.output


# -- PostgreSQL ----------------------------------------------------------------------------------


@pytest.mark.skipif(postgres_server.programs() is None, reason="no PostgreSQL on this machine")
def test_init_and_doctor_on_postgres(
    landed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with postgres_server.server() as socket:
        postgres_server.execute(socket, "postgres", "create database wh")
        postgres_server.execute(
            socket,
            "wh",
            "create schema tickets; create schema raw;"
            "create table tickets.ticket (id bigint, created_at timestamptz, status text,"
            " updated_at timestamptz, organization_id bigint);"
            'create table tickets."user" (id bigint, email text, role text);'
            "create table tickets.organization (id bigint, external_id text);"
            "insert into tickets.organization values (1, 'A1'), (2, null);"
            "insert into tickets.ticket values (1, now(), 'open', now(), 1);"
            "insert into tickets.\"user\" values (7, 'jo@acme.com', 'end-user');"
            "create table raw.crm_accounts (account_id text, account_name text,"
            " created_at timestamptz, updated_at timestamptz)",
        )
        url = postgres_server.url(socket, "wh")
        monkeypatch.setenv(URL_VARIABLE, url)
        folder = tmp_path / "on_postgres"
        done = call("init", "--postgres", "--json", "--write", "--dir", str(folder))
        assert done.exit_code == 0, done.output
        found = json.loads(done.stdout)
        assert found["filled_by"] == {
            "crm_accounts": "raw.crm_accounts",
            "support_tickets": "zendesk",
        }
        assert found["account_links"]["zendesk"]["filled_share"] == 0.5
        assert postgres_server.PASSWORD not in done.output
        assert "type: postgres" in (folder / "profiles.yml").read_text(encoding="utf-8")

        profile = yaml.safe_load((folder / "profiles.yml").read_text(encoding="utf-8"))
        output = profile["my_customer_health"]["outputs"]["dev"]
        assert (output["user"], output["dbname"], output["host"]) == ("health", "wh", socket)
        assert found["warnings"] == [
            "surveys: zendesk (schema tickets) cannot fill it: it lacks ticket_field_history",
            "raw.crm_accounts has no rows: load it before a run",
            "zendesk: only 0% of the values of organization.external_id are ids of accounts; the "
            "rest go by web domain. Is the id elsewhere, name it in "
            "customer_health__connector_columns: {account_links: {zendesk: …}}",
        ]

        # the URL is for looking only
        told = findings(folder)
        assert ("bad", f"{URL_VARIABLE} is set, and a run uses the profile only: unset it") in told[
            "connection"
        ]
        monkeypatch.delenv(URL_VARIABLE)
        monkeypatch.setenv("DBT_ENV_SECRET_POSTGRES_PASSWORD", postgres_server.PASSWORD)
        told = findings(folder)
        assert told["connection"][0][0] == "ok"
        assert told["permissions"] == [("ok", "schemas, tables and views can be made")]
        assert told["source tables"] == [
            ("bad", "raw.crm_accounts is empty: load it"),
        ]
        schemas = postgres_server.execute(
            socket, "wh", "select nspname from pg_namespace where nspname like 'customer_health%'"
        )
        assert schemas == []

        # a user who may only look at a part
        postgres_server.execute(
            socket,
            "wh",
            f"create role reader login password '{postgres_server.PASSWORD}';"
            "create schema customer_health_staging;"
            "grant usage on schema raw to reader; grant select on raw.crm_accounts to reader",
        )
        written = (folder / "profiles.yml").read_text(encoding="utf-8")

        def connect_as(user: str) -> dict[str, list[tuple[str, str]]]:
            text = written.replace("user: health", f"user: {user}")
            (folder / "profiles.yml").write_text(text, encoding="utf-8")
            return findings(folder)

        told = connect_as("reader")
        assert (
            "bad",
            "schema customer_health_staging is there, and this user may not create in it: grant it",
        ) in told["permissions"]
        assert "grant create on the database" in told["permissions"][1][1]
        assert (
            "bad",
            "tickets.ticket may not be read by this user: grant usage on schema tickets and select "
            "on its tables",
        ) in told["source tables"]

        # nobody, and no password in any message
        told = connect_as("nobody")
        assert told["connection"][0][0] == "bad"
        assert told["permissions"] == [("warn", "not looked at: see connection")]
        assert postgres_server.PASSWORD not in json.dumps(told)
