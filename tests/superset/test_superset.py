"""End to end: what was published, on PostgreSQL, and a real Superset that is asked for it.

SUPERSET_VENV names an environment made from requirements-superset.lock (`make test-superset` keeps
one). Superset connects as a reader who may see the published schema and nothing else; each
definition of docs/bi.md becomes a dataset as it is printed, and every row that a chart would get is
compared with what DuckDB says.
"""

from __future__ import annotations

import json
import math
import os
import re
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import postgres_server
import pytest
import requests
from dashboard_world import published_home
from test_dashboard_bi import DEFINITIONS, PAGE

VARIABLE = "SUPERSET_VENV"
DATABASE = "analytics"
READER = "reader"
PUBLISHED = "customer_health_published"
CANDIDATE = "customer_health"
TABLES = "customer_health_p_demo"  # what the published views show
NAMED = sorted(set(re.findall(r"\b(?:bi|fct|act|val)_health__\w+", PAGE)))
ACCOUNTS = "bi_health__account_360_current"
ROWS = 50_000  # Superset's own limit of a chart; no answer here comes near
NUMBERS = ("BIGINT", "HUGEINT", "INTEGER", "DOUBLE")
PATIENCE = 180.0  # seconds for each step of Superset's start

pytestmark = [
    pytest.mark.skipif(VARIABLE not in os.environ, reason=f"{VARIABLE} is not set"),
    pytest.mark.skipif(postgres_server.programs() is None, reason="no PostgreSQL here"),
]


class Superset:
    """A Superset on this machine, and its REST API."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.program = programs / "superset"
        self.folder = folder
        self.log = folder / "superset.log"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        # Everything else is Superset's default: its metadata is a SQLite file in SUPERSET_HOME.
        self.environment = {
            "PATH": os.environ["PATH"],
            "LC_ALL": "C.UTF-8",
            "HOME": str(folder),
            "SUPERSET_HOME": str(folder),
            "SUPERSET_SECRET_KEY": secrets.token_hex(32),
            "FLASK_APP": "superset.app:create_app()",
            "SCARF_ANALYTICS": "false",
        }
        self.process: subprocess.Popen[bytes] | None = None
        self._password = "a" + secrets.token_urlsafe(16)  # no option of the command line
        self.session = requests.Session()
        self.session.trust_env = False  # no proxy stands between two programs of one machine

    def create(self) -> None:
        """Its metadata, one administrator, no example."""
        self._command("db", "upgrade")
        self._command(
            "fab", "create-admin", "--username", "admin", "--password", self._password,
            "--firstname", "A", "--lastname", "B", "--email", "admin@example.com",
        )  # fmt: skip
        self._command("init")

    def start(self) -> None:
        """Answer until `stop`, and know the administrator."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [self.program, "run", "--host", "127.0.0.1", "--port", str(self.port)],
                env=self.environment, cwd=self.folder, stdout=log, stderr=log,
            )  # fmt: skip
        give_up_at = time.monotonic() + PATIENCE
        while True:
            try:
                if self.session.get(f"{self._url}/health", timeout=5).text == "OK":
                    break
            except requests.RequestException:
                pass
            assert self.process.poll() is None, f"Superset ended:\n{self._said()}"
            assert time.monotonic() < give_up_at, f"Superset does not answer:\n{self._said()}"
            time.sleep(0.2)
        credentials = {"username": "admin", "password": self._password, "provider": "db"}
        token = self.call("post", "security/login", credentials)["access_token"]
        self.session.headers["Authorization"] = f"Bearer {token}"
        self.session.headers["Referer"] = self._url
        self.session.headers["X-CSRFToken"] = self.call("get", "security/csrf_token/")["result"]

    def stop(self) -> None:
        """End this process and no other."""
        self.session.close()
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def answer(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and body of a call of the REST API."""
        response = self.session.request(
            method, f"{self._url}/api/v1/{path}", json=body, timeout=120
        )
        is_json = response.headers.get("Content-Type", "").startswith("application/json")
        return response.status_code, response.json() if is_json else response.text[-3000:]

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The body of a call that must succeed."""
        status, answer = self.answer(method, path, body)
        assert status in (200, 201), f"{method} {path}: {status} {answer}\n{self._said()}"
        return answer

    @property
    def _url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _command(self, *words: str) -> None:
        done = subprocess.run(
            [self.program, *words], env=self.environment, cwd=self.folder, timeout=PATIENCE,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        said = (done.stdout + done.stderr)[-3000:]
        assert done.returncode == 0, f"`superset {words[0]}` failed:\n{said}"

    def _said(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]


@dataclass(frozen=True)
class Board:
    """A Superset that is connected with the published schema."""

    superset: Superset
    database_id: int

    def dataset(self, name: str, sql: str | None = None) -> int:
        """The id of a new dataset: a table of the published schema, or a definition in SQL."""
        body = {"database": self.database_id, "schema": PUBLISHED, "table_name": name}
        made = self.superset.call("post", "dataset/", body | ({"sql": sql} if sql else {}))
        return int(made["id"])

    def columns(self, dataset: int) -> dict[str, dict[str, Any]]:
        """What Superset found out about the columns of a dataset."""
        found = self.superset.call("get", f"dataset/{dataset}")["result"]["columns"]
        return {column["column_name"]: column for column in found}

    def chart(self, dataset: int, **query: Any) -> list[dict[str, Any]]:
        """The rows that a chart gets."""
        answer = self.superset.call(
            "post", "chart/data",
            {
                "datasource": {"id": dataset, "type": "table"},
                "force": True,  # no cache
                "queries": [{"metrics": [], "row_limit": ROWS, **query}],
            },
        )  # fmt: skip
        (result,) = answer["result"]
        assert result["error"] is None and result["rowcount"] < ROWS, result
        return list(result["data"])

    def query(self, sql: str) -> tuple[int, Any]:
        """Status and body of a query in SQL Lab."""
        body = {"database_id": self.database_id, "schema": PUBLISHED, "sql": sql, "runAsync": False}
        return self.superset.answer("post", "sqllab/execute/", body)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published_home(tmp_path_factory)  # one worker, a fresh demo


@pytest.fixture(scope="module")
def postgres(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The folder of the socket of a server with a publication and a candidate that differs."""
    file = tmp_path_factory.mktemp("published") / "named.duckdb"
    with duckdb.connect(str(file)) as copy:
        copy.execute(f"attach '{home / 'published.duckdb'}' as source (read_only)")
        copy.execute(f"create schema {TABLES}")
        for table in NAMED:
            copy.execute(f"create table {TABLES}.{table} as from source.customer_health.{table}")
        copy.execute("detach source")
    with postgres_server.server() as folder:
        postgres_server.copy_database(file, folder, DATABASE)
        file.unlink()
        statements = [f"create schema {PUBLISHED}", f"create schema {CANDIDATE}"]
        for table in NAMED:
            statements += [
                f"create view {PUBLISHED}.{table} as select * from {TABLES}.{table}",
                f"create table {CANDIDATE}.{table} as select * from {TABLES}.{table} limit 1",
            ]
        postgres_server.execute(
            folder, DATABASE, *statements,
            f"update {CANDIDATE}.{ACCOUNTS} set health_score = -1, arr_amount = -1",
            f"create role {READER} login password '{postgres_server.PASSWORD}'",
            f"grant usage on schema {PUBLISHED} to {READER}",
            f"grant select on all tables in schema {PUBLISHED} to {READER}",
        )  # fmt: skip
        yield folder


@pytest.fixture(scope="module")
def board(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    programs = Path(os.environ[VARIABLE]).absolute() / "bin"
    assert (programs / "superset").exists(), f"no Superset in {programs}: make test-superset"
    superset = Superset(programs, tmp_path_factory.mktemp("superset"))
    superset.create()
    try:
        superset.start()
        address = postgres_server.url(postgres, DATABASE).replace("health:", f"{READER}:", 1)
        made = superset.call(
            "post", "database/",
            {
                "database_name": "Customer health",
                "sqlalchemy_uri": address.replace("postgresql:", "postgresql+psycopg2:", 1),
                "expose_in_sqllab": True,
            },
        )  # fmt: skip
        yield Board(superset, made["id"])
    finally:
        superset.stop()


def duckdb_rows(home: Path, sql: str) -> tuple[list[str], list[dict[str, Any]]]:
    """What DuckDB says on the published file: names of the keys, and rows as Superset writes them.

    Keys are the columns that are no numbers.
    """
    with duckdb.connect(str(home / "published.duckdb"), read_only=True) as connection:
        connection.execute("use customer_health")
        cursor = connection.execute(sql)
        names = [column[0] for column in cursor.description]
        numbers = {column[0] for column in cursor.description if str(column[1]) in NUMBERS}
        rows = [
            {name: as_json(value) for name, value in zip(names, row, strict=True)}
            for row in cursor.fetchall()
        ]
    return [name for name in names if name not in numbers], rows


def as_json(value: Any) -> Any:
    """Dates and times are milliseconds since 1970 in the answers of Superset."""
    if isinstance(value, date):
        moment = value if isinstance(value, datetime) else datetime(*value.timetuple()[:3])
        return moment.replace(tzinfo=UTC).timestamp() * 1000
    return float(value) if isinstance(value, Decimal) else value


def assert_same(
    found: list[dict[str, Any]], expected: list[dict[str, Any]], keys: list[str]
) -> None:
    """Every row and column is the same, numbers to 1e-9; a chart has an order of its own."""

    def by_key(rows: list[dict[str, Any]]) -> dict[tuple[Any, ...], dict[str, Any]]:
        named = {tuple(row[key] for key in keys): row for row in rows}
        assert len(named) == len(rows), "the key is not one"
        return named

    theirs, ours = by_key(found), by_key(expected)
    assert expected
    assert theirs.keys() == ours.keys()
    for key, row in ours.items():
        assert theirs[key].keys() == row.keys()
        for name, value in row.items():
            other = theirs[key][name]
            if isinstance(value, int | float) and not isinstance(value, bool):
                same = isinstance(other, int | float) and math.isclose(
                    other, value, rel_tol=1e-9, abs_tol=1e-9
                )
            else:
                same = other == value and type(other) is type(value)
            assert same, f"{key} {name}: Superset has {other!r}, DuckDB {value!r}"


@pytest.mark.parametrize("name", DEFINITIONS)
def test_a_definition_as_a_virtual_dataset(board: Board, home: Path, name: str) -> None:
    keys, expected = duckdb_rows(home, DEFINITIONS[name])
    dataset = board.dataset(name, DEFINITIONS[name])
    columns = board.columns(dataset)
    assert list(columns) == list(expected[0])
    assert_same(board.chart(dataset, columns=list(columns)), expected, keys)


def test_a_table_as_a_dataset(board: Board, home: Path) -> None:
    keys, expected = duckdb_rows(home, f"select * from {ACCOUNTS}")
    dataset = board.dataset(ACCOUNTS)
    columns = board.columns(dataset)
    assert list(columns) == list(expected[0])
    assert columns["as_of_date"]["is_dttm"], "a chart over time can use it"
    assert_same(board.chart(dataset, columns=list(columns)), expected, keys)

    # what a person makes of it with the mouse is the definition
    sum_of_arr = {"expressionType": "SIMPLE", "aggregate": "SUM", "label": "arr_amount",
                  "column": {"column_name": "arr_amount"}}  # fmt: skip
    count = {"expressionType": "SQL", "sqlExpression": "count(*)", "label": "account_count"}
    found = board.chart(
        dataset,
        columns=["band", "band_label"],
        metrics=[count, sum_of_arr],
        filters=[{"col": "is_frozen", "op": "IS FALSE"}, {"col": "band", "op": "IS NOT NULL"}],
    )
    keys, expected = duckdb_rows(home, DEFINITIONS["Accounts and ARR by band, now"])
    assert_same(found, expected, keys)


def test_the_reader_gets_nothing_of_the_candidate(board: Board, postgres: str) -> None:
    wrong = f"select count(*) as accounts, max(arr_amount) as arr from {CANDIDATE}.{ACCOUNTS}"
    assert postgres_server.execute(postgres, DATABASE, wrong) == [(1, -1.0)], "it is there"

    status, answer = board.query(f"select count(*) as accounts from {ACCOUNTS}")
    assert status == 200 and answer["data"][0]["accounts"] > 1, "published is found without schema"
    status, answer = board.query(wrong)
    assert status >= 400
    assert f"permission denied for schema {CANDIDATE}" in json.dumps(answer)
    status, answer = board.query(f"select * from {TABLES}.{ACCOUNTS}")
    assert status >= 400
    assert f"permission denied for schema {TABLES}" in json.dumps(answer)

    # the catalogue of PostgreSQL names every table to everybody; there is no dataset of this one
    body = {"database": board.database_id, "schema": CANDIDATE, "table_name": ACCOUNTS}
    status, answer = board.superset.answer("post", "dataset/", body)
    assert status == 422, answer
