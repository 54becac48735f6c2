"""Personal data stay where they are needed, secrets go nowhere, and text never becomes SQL."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from forked import run_module

from customer_health import erase, publication
from customer_health.demo import create_landing
from customer_health.demo.schema import TABLES
from customer_health.settings import Settings

PROJECT_DIR = Path(__file__).resolve().parents[2]
SHIPPED = ("customer_health", "docs", "examples", "dashboards", "expectations", "benchmarks")

# Columns of the input contract that name a person, or hold what somebody typed.
PERSONAL = {
    "user_id", "contact_id", "author_id", "csm_id", "domain", "account_name", "reason", "goal_name",
}  # fmt: skip
# What readers need although it can name somebody: who looks after the account, what it is called,
# and the reason that a CSM wrote for them to read (docs/running.md says so).
SHOWN_TO_READERS = {"account_name", "parent_account_name", "csm_id", "band_note"}
# Marts that are about people: whom to call, who did it, whose overrides were right. Ids, no names.
ABOUT_PEOPLE = {
    "act_health__people": {"contact_id", "user_id"},
    "act_health__champions": {"most_active_user_id", "most_connected_contact_id"},
    "act_health__actions": {"done_by"},
    "val_health__override_outcomes": {"author_id"},
}


def shipped_texts() -> dict[str, str]:
    """Every text file that we ship, by its path in the project."""
    found = {}
    paths = [PROJECT_DIR / "README.md", PROJECT_DIR / "profiles.yml"]
    for folder in SHIPPED:
        paths += sorted((PROJECT_DIR / folder).rglob("*"))
    for path in paths:
        if path.is_file() and path.suffix in {".py", ".md", ".yml", ".sql", ".toml", ".sh"}:
            found[str(path.relative_to(PROJECT_DIR))] = path.read_text(encoding="utf-8")
    return found


# -- what is tagged ----------------------------------------------------------------------------
def columns_of(folder: str) -> list[tuple[str, dict[str, Any]]]:
    """Model name and column of every model described below a folder."""
    found = []
    for path in sorted((PROJECT_DIR / "models" / folder).rglob("*.yml")):
        for model in yaml.safe_load(path.read_text(encoding="utf-8")).get("models", []):
            found += [(model["name"], column) for column in model.get("columns", [])]
    return found


def is_tagged(column: dict[str, Any]) -> bool:
    """Whether a column has the tag `pii`, where dbt 1.11 looks for it."""
    return "pii" in (column.get("config", {}).get("tags") or [])


def test_every_personal_column_of_staging_is_tagged() -> None:
    staged = columns_of("staging")
    assert len(staged) > 100
    wrong = {
        f"{model}.{column['name']}"
        for model, column in staged
        if is_tagged(column) != (column["name"] in PERSONAL)
    }
    assert wrong == set()


def test_no_mart_has_a_personal_column_but_those_for_readers() -> None:
    marts = columns_of("marts")
    assert len(marts) > 100
    found = {(model, column["name"]) for model, column in marts if is_tagged(column)}
    about_people = {(model, name) for model, names in ABOUT_PEOPLE.items() for name in names}
    assert about_people <= found
    found |= {(model, column["name"]) for model, column in marts if column["name"] in PERSONAL}
    found |= {
        (model, column["name"])
        for model, column in marts
        if re.search(r"mail|phone|contact_id|user_id|author|comment|subject", column["name"])
    }
    assert {name for _, name in found - about_people} <= SHOWN_TO_READERS


# -- text and SQL ------------------------------------------------------------------------------
# Macros that read a query result while dbt compiles, and how each keeps it from being SQL: the
# result must pass this expression before it is written into a statement.
READS_RESULTS = {
    "macros/history/usage_rebuild_from.sql": r"strptime\(\(last_date \| string\)\[:10\]",
    "macros/guards/check_as_of_date.sql": r"set last_date = \(\s*run_query",  # only compared
    "macros/sources/has_rows_without_day.sql": r"return\(found\.rows \| length > 0\)",  # counted
}
# Hand the rows of a seed on to dbt's own macro, which escapes them.
HAND_ON = {"macros/portability/spark_seeds.sql": r"\bdbt\.\w+\(model, agate_table\)"}
# Run the statement of a model; what they read of its result is nothing.
RUN_ONLY = {
    f"macros/materializations/{kind}_duckdb.sql": r"call statement\('main'\)"
    for kind in ("incremental", "table", "view")
}
_RESULT = re.compile(r"run_query|load_result|statement\(|get_column_values|\.execute\(|agate")


def sql_files() -> list[Path]:
    folders = ("models", "macros", "snapshots", "tests/generic", "tests/singular")
    return [path for folder in folders for path in sorted((PROJECT_DIR / folder).rglob("*.sql"))]


def test_no_query_result_or_seed_text_is_written_into_sql() -> None:
    found = set()
    for path in sql_files():
        text = re.sub(r"\{#.*?#\}", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        if _RESULT.search(text):
            found.add(str(path.relative_to(PROJECT_DIR)))
    known = READS_RESULTS.keys() | HAND_ON.keys() | RUN_ONLY.keys()
    assert found == known, "review what it does with the result, then list it here"
    for name, handed_on in HAND_ON.items():
        text = (PROJECT_DIR / name).read_text(encoding="utf-8")
        macros = re.findall(r"\{%-? macro \w+\(model, agate_table\)", text)
        assert len(re.findall(handed_on, text)) == len(macros) > 0, name
        assert text.count("agate_table") == 2 * len(macros), name
    for name, guard in (READS_RESULTS | RUN_ONLY).items():
        text = (PROJECT_DIR / name).read_text(encoding="utf-8")
        assert re.search(guard, text), name
        assert len(_RESULT.findall(text)) == 1, name


def test_vars_reach_sql_only_through_the_guards() -> None:
    """`var(...)` in SQL is a switch or goes through a macro that lets only its form through."""
    guards = {
        "date_var.sql",
        "integer_var.sql",
        "code_var.sql",
        "iso_date.sql",
        "naive_timezone.sql",
    }
    raw = []
    for path in sql_files():
        text = re.sub(r"\{#.*?#\}", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        if path.name not in guards and re.search(r"\{\{-?\s*var\(", text):
            raw.append(path.name)
    assert raw == []


# -- who opens the published copy --------------------------------------------------------------
def test_everything_that_we_ship_opens_the_published_copy_read_only() -> None:
    opened = 0
    for name, text in shipped_texts().items():
        for match in re.finditer(r"duckdb\.connect\(|duckdb -|\battach '", text, re.IGNORECASE):
            after = text[match.start() : match.start() + 400]
            if "published" not in after[:160]:
                continue
            opened += 1
            assert re.search(r"read_?only", after, re.IGNORECASE), f"{name}: {after[:120]}"
            assert "enable_external_access" in after, f"{name}: {after[:120]}"
    assert opened >= 2, "nothing was looked at"


@pytest.mark.parametrize(
    "sql",
    [
        "insert into t values (2)",
        "drop table t",
        "select * from read_csv('{folder}/other.csv')",
        "copy t to '{folder}/out.csv'",
        "attach '{folder}/other.duckdb'",
        "set enable_external_access = true",
    ],
)
def test_the_reader_of_the_package_is_locked_in(sql: str, tmp_path: Path) -> None:
    copy = tmp_path / "published's.duckdb"
    (tmp_path / "other.csv").write_text("a\n1\n")
    with duckdb.connect(str(copy)) as writer:
        writer.execute("create table t as select 1 as a")
    with publication.open_published(copy) as reader:
        assert reader.execute("from t").fetchall() == [(1,)]
        with pytest.raises(duckdb.Error):
            reader.execute(sql.format(folder=tmp_path))
        assert reader.execute("from t").fetchall() == [(1,)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.csv", copy.name]


# -- canaries ----------------------------------------------------------------------------------
CANARY_ADDRESS = "canary.person@flock.example"
CANARY_NAME = "Canaria Featherstone-Perch"
CANARY_TEXT = "My budgerigar chewed the invoice printer"
PASSWORD = "hunter2-password-of-the-canary"
TOKEN = "token-5f1e77c0ffee-canary"
SECRETS = {
    "CUSTOMER_HEALTH_POSTGRES_URL": f"postgresql://health:{PASSWORD}@db.example/health",
    "DBT_ENV_SECRET_CRM_TOKEN": TOKEN,
    "HUBSPOT_TOKEN": TOKEN,
}


def command_line(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    given = ("--home", str(home), *arguments)
    return run_module("customer_health", given, cwd=PROJECT_DIR, env=os.environ | SECRETS)


def plant(home: Path) -> str:
    """Put a person into the raw tables: as ids, in columns of their own, and as free texts.

    Returns:
        The account of theirs.
    """
    users = home / "raw" / "product_users" / "part-00000.parquet"
    account = pq.read_table(users).column("account_id")[0].as_py()
    for table, changes in {
        "product_users": {"user_id": CANARY_ADDRESS},
        "crm_contacts": {"contact_id": CANARY_ADDRESS, "user_id": CANARY_ADDRESS},
        "product_events": {"event_id": "e-canary", "user_id": CANARY_ADDRESS},
        "support_tickets": {"ticket_id": "t-canary", "contact_id": CANARY_ADDRESS},
        "survey_responses": {"response_id": "s-canary", "contact_id": CANARY_ADDRESS},
    }.items():
        path = home / "raw" / table / "part-00000.parquet"
        rows = pq.read_table(path)
        own = [row for row in rows.to_pylist() if row["account_id"] == account][:1]
        row = {**(own or rows.slice(0, 1).to_pylist())[0], "account_id": account, **changes}
        # The same person once more in a row that is rejected: its key names them.
        broken = {**row, "account_id": "nobody-has-this-account"}
        if table == "crm_contacts":
            broken["contact_id"] = f"second.{CANARY_ADDRESS}"
        added = pa.Table.from_pylist([row, broken], schema=rows.schema)
        planted = pa.concat_tables([rows, added])
        texts = [None] * len(rows) + [CANARY_TEXT] * 2
        names = [None] * len(rows) + [CANARY_NAME] * 2
        planted = planted.append_column("comment", pa.array(texts, pa.string()))
        planted = planted.append_column("full_name", pa.array(names, pa.string()))
        pq.write_table(planted, path, store_schema=False)
    create_landing(home)
    return str(account)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published demo with the canary in its raw tables, run with secrets in the environment."""
    from customer_health import demo

    folder = tmp_path_factory.mktemp("canary")
    demo.generate(folder / "raw", accounts=40, days=200, events=5_000)
    publication.write_json(folder / "demo.json", {"as_of": "2026-06-30", "parameters": {}})
    plant(folder)
    done = command_line(folder, "run")
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "output.txt").write_text(done.stdout + done.stderr, encoding="utf-8")
    return folder


def texts_with(database: Path, *values: str) -> list[str]:
    """Columns of the tables of a database in which a text contains one of the values."""
    found = []
    with duckdb.connect(str(database), read_only=True) as connection:
        for table, column in connection.execute(
            "select schema_name || '.' || table_name, column_name from duckdb_columns() "
            "where data_type = 'VARCHAR' and table_name in (select table_name from duckdb_tables())"
        ).fetchall():
            for value in values:
                if connection.execute(
                    f'select 1 from {table} where contains(lower("{column}"), lower(?))', [value]
                ).fetchall():
                    found.append(f"{table}.{column}: {value}")
    return found


def test_the_canary_is_in_staging_and_in_no_mart(home: Path) -> None:
    values = (CANARY_ADDRESS, CANARY_NAME, CANARY_TEXT)
    with duckdb.connect(str(home / "landing.duckdb"), read_only=True) as connection:
        for table in ("crm_contacts", "support_tickets", "survey_responses"):
            count = connection.execute(
                f"select count(*) from raw.{table} where contact_id = ?", [CANARY_ADDRESS]
            ).fetchall()
            assert count[0][0] >= 1, "the test would prove nothing"
    assert texts_with(home / "candidate.duckdb", *values) == []
    assert texts_with(home / "published.duckdb", *values) == []
    # What somebody typed is not even read: only columns of the contract pass staging.
    assert texts_with(home / "build.duckdb", CANARY_NAME, CANARY_TEXT) == []


def test_the_canary_is_in_no_report_log_or_artefact(home: Path) -> None:
    others = [
        path
        for path in home.rglob("*")
        if path.is_file()
        and not path.is_relative_to(home / "raw")
        and path.name not in {"build.duckdb", "landing.duckdb"}
    ]
    assert len(others) > 50
    values = (CANARY_ADDRESS, CANARY_NAME, CANARY_TEXT)
    found = [(path.name, value) for path, value, _ in erase.search_bytes(others, values)]
    assert found == []


def test_secrets_of_the_environment_are_in_no_file(home: Path) -> None:
    files = [path for path in home.rglob("*") if path.is_file()]
    found = [(path.name, value) for path, value, _ in erase.search_bytes(files, (PASSWORD, TOKEN))]
    assert found == []


@pytest.mark.parametrize(
    "arguments",
    [("run", "--as-of", "2026-06-29"), ("status", "--json"), ("--debug", "run", "--as-of", "x")],
)
def test_secrets_are_in_no_output_when_something_fails(home: Path, arguments: Any) -> None:
    done = command_line(home, *arguments)
    for secret in (PASSWORD, TOKEN):
        assert secret not in done.stdout + done.stderr
    files = [path for path in (home / "runs").rglob("*") if path.is_file()]
    assert list(erase.search_bytes(files, (PASSWORD, TOKEN))) == []


def test_the_canary_can_be_forgotten_and_the_next_run_goes_on(home: Path) -> None:
    """The whole way for real: erase, prove, score again; nobody else's published score moves."""
    scores = "select account_id, as_of_date, health_score_exact, band from customer_health."
    scores += "fct_health__account_scores order by all"
    points = "select account_id, as_of_date, metric_key, metric_points from customer_health."
    points += "fct_health__metric_scores order by all"

    def published() -> list[list[tuple[Any, ...]]]:
        with publication.open_published(home / "published.duckdb") as connection:
            return [connection.execute(query).fetchall() for query in (scores, points)]

    before = published()
    done = command_line(home, "forget", "--user", CANARY_ADDRESS, "--yes", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert published() == before
    files = [path for path in home.rglob("*") if path.is_file() and path.name != "output.txt"]
    values = (CANARY_ADDRESS, CANARY_NAME, CANARY_TEXT)
    assert list(erase.search_bytes(files, values)) == []
    for table in ("product_users", "crm_contacts", "product_events", "support_tickets"):
        rows = str(pq.read_table(home / "raw" / table / "part-00000.parquet").to_pylist())
        assert not any(value in rows for value in values), table
    assert texts_with(home / "build.duckdb", *values) == []
    settings = Settings.resolve(PROJECT_DIR, home, environ={})
    assert publication.restore_history(settings) == []
    again = command_line(home, "run", "--json")
    assert again.returncode == 0, again.stdout + again.stderr
    assert json.loads(again.stdout)["result"] == "ok"


def test_raw_keys_are_those_of_the_input_contract() -> None:
    text = (PROJECT_DIR / "macros" / "sources" / "input_contract.sql").read_text(encoding="utf-8")
    found = {
        table: tuple(re.findall(r"'(\w+)'", keys))
        for table, keys in re.findall(r"'(\w+)': \{\s*'key': \[([^\]]*)\]", text)
    }
    assert found == erase.RAW_KEYS
    assert found.keys() == TABLES.keys()
