"""Erasure requests: gone from every file, proved by query and by bytes, and nobody else touched."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_marts import ENVIRONMENT, MARTS, call, make_project, publish_example, read_json

from customer_health import erase, forget, publication
from customer_health.demo import create_landing
from customer_health.demo.schema import TABLES
from customer_health.erase import Needles, is_distinctive, search_bytes, trie_pattern
from customer_health.errors import HealthError
from customer_health.settings import Settings
from customer_health.sync import ledger

# The account of the tests, with a user who is also a contact; ids as they look in real systems.
ACCOUNT, USER, CONTACT, ADDRESS = "acc-00017", "usr-00017a", "con-00017b", "ada@acme.example"
OTHER, OTHER_USER, OTHER_CONTACT = "acc-00018", "usr-00018a", "con-00018b"
OTHER_ADDRESS = "bob@other.example"


pytestmark = pytest.mark.usefixtures("plain_terminal")


def write_raw(settings: Settings, table: str, rows: list[dict[str, Any]], **more: Any) -> Path:
    """Write a raw table as the demo does, with more columns than the contract knows."""
    schema = TABLES[table]
    for name in more:
        schema = schema.append(pa.field(name, pa.string()))
    columns = {
        field.name: pa.array([row.get(field.name) for row in rows], field.type) for field in schema
    }
    folder = settings.raw_dir / table
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "part-00000.parquet"
    pq.write_table(pa.table(columns, schema=schema), path, compression="snappy", store_schema=False)
    return path


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A published home with raw files, a build, reports and a run."""
    settings = make_project(tmp_path / "project")
    write_raw(
        settings,
        "crm_accounts",
        [
            {"account_id": ACCOUNT, "account_name": "Acme Łódź", "domain": "acme.example"},
            {"account_id": OTHER, "account_name": "Other", "parent_account_id": ACCOUNT},
        ],
    )
    write_raw(
        settings,
        "product_users",
        [
            {"user_id": USER, "account_id": ACCOUNT, "email": ADDRESS},
            {"user_id": "usr-00017c", "account_id": ACCOUNT},
            {"user_id": OTHER_USER, "account_id": OTHER, "email": OTHER_ADDRESS},
        ],
        email=True,
    )
    write_raw(
        settings,
        "crm_contacts",
        [
            {"contact_id": CONTACT, "account_id": ACCOUNT, "email": ADDRESS.upper()},
            {"contact_id": OTHER_CONTACT, "account_id": OTHER, "email": OTHER_ADDRESS},
        ],
        email=True,
    )
    write_raw(
        settings,
        "support_tickets",
        [
            {"ticket_id": "t1", "account_id": ACCOUNT, "contact_id": CONTACT, "text": "It is me"},
            {"ticket_id": "t2", "account_id": ACCOUNT, "contact_id": "con-x", "text": "Not me"},
            {
                "ticket_id": "t3",
                "account_id": OTHER,
                "contact_id": OTHER_CONTACT,
                "text": f"ask {ADDRESS}, please",
            },
        ],
        text=True,
    )
    write_raw(
        settings,
        "product_events",
        [
            {
                "event_id": f"e{number}",
                "account_id": account,
                "user_id": user,
                "event_name": "login",
            }
            for number, (account, user) in enumerate(
                [(ACCOUNT, USER), (ACCOUNT, "usr-00017c"), (OTHER, OTHER_USER)] * 3
            )
        ],
    )
    create_landing(settings.home)
    write_build(settings)
    publish_example(settings, 1)
    with duckdb.connect(str(settings.candidate)) as connection:
        for account in (ACCOUNT, OTHER):
            connection.execute(
                f"insert into {MARTS}.fct_health__account_scores by name "
                f"select * replace ('{account}' as account_id) "
                f"from {MARTS}.fct_health__account_scores "
                "where account_id = 'A1' and as_of_date = '2026-06-30'"
            )
        connection.execute(
            f"create table {MARTS}.fct_health__rejected_rows "
            "(source_table varchar not null, row_key varchar not null, rejection_reason varchar)"
        )
        connection.execute(
            f"comment on column {MARTS}.fct_health__rejected_rows.row_key is 'the key'"
        )
        connection.execute(
            f"insert into {MARTS}.fct_health__rejected_rows values ('support_tickets', 't1', 'x'), "
            f"('support_tickets', 't3', 'x'), ('product_events', 't1', 'x'), "
            f"('product_usage_daily', '{ACCOUNT}|2026-06-30|login', 'x'), "
            f"('crm_contacts', md5('{ADDRESS}'), 'x')"
        )
    second = publication.Publication(
        **{**vars(example(2)), "account_count": 7, "scored_account_count": 6}
    )
    assert publication.publish(settings, second) == []
    folder = settings.runs_dir / "20260701T000000Z-aaaaaa"
    folder.mkdir()
    (folder / "landing_gate.json").write_text(
        json.dumps({"sample_keys": [ACCOUNT, OTHER, f"{USER}|x"], "text": f"<{ADDRESS}>."}),
        encoding="utf-8",
    )
    (folder / "dbt.log").write_text(f"where account_id = '{ACCOUNT}'\n{ACCOUNT}1\n")
    (settings.dbt_target / "run").mkdir(parents=True)
    (settings.dbt_target / "partial_parse.msgpack").write_bytes(b"\x00\x81" + ACCOUNT.encode())
    (settings.dbt_target / "run" / "kept.msgpack").write_bytes(b"\x00\x81")
    docs = settings.home / "gate_results" / "data_docs"
    docs.mkdir(parents=True)
    (docs / "index.html").write_text("<td>Acme Łódź</td><td>Other</td>", encoding="utf-8")
    return settings


def example(number: int) -> publication.Publication:
    from small_marts import a_publication

    return a_publication(number)


def write_build(settings: Settings) -> None:
    """Tables of the build that hold ids, and bytes of an old version in free blocks."""
    with duckdb.connect(str(settings.build)) as connection:
        connection.execute("create schema work")
        connection.execute(
            "create table work.int_health__usage_user_days "
            "(account_id varchar, user_id varchar, event_count int check (event_count >= 0))"
        )
        connection.execute(
            "insert into work.int_health__usage_user_days values (?, ?, 1), (?, ?, 2), (?, ?, 3)",
            [ACCOUNT, USER, OTHER, OTHER_USER, ACCOUNT, "usr-gone-long-ago"],
        )
        connection.execute("create view work.a_view as from work.int_health__usage_user_days")
        connection.execute("comment on view work.a_view is 'about days'")
        connection.execute("pragma force_compression = 'uncompressed'")
        connection.execute(
            f"create table work.old as select '{ADDRESS}' || number as text "
            "from range(50000) as numbers(number)"
        )
        connection.execute("checkpoint")
        # Something after it, so that its blocks are not simply cut off.
        connection.execute("create table work.later as from range(300000) as numbers(number)")
        connection.execute("checkpoint")
        connection.execute("drop table work.old")
        connection.execute("checkpoint")


def tables_with(settings: Settings, *values: str) -> list[str]:
    """Tables of all databases and Parquet files in which a text contains one of the values."""
    found = []
    for path in sorted(settings.home.rglob("*.duckdb")):
        with duckdb.connect(str(path), read_only=True) as connection:
            columns = connection.execute(
                "select schema_name || '.' || table_name, column_name from duckdb_columns() "
                "where data_type = 'VARCHAR' and not internal "
                "and table_name in (select table_name from duckdb_tables())"
            ).fetchall()
            for table, column in columns:
                for value in values:
                    if connection.execute(
                        f"select 1 from {table} where contains(lower({column}), lower(?))", [value]
                    ).fetchall():
                        found.append(f"{path.name}: {table}.{column}")
    for path in sorted(settings.home.rglob("*.parquet")):
        if any(value.lower() in str(pq.read_table(path).to_pylist()).lower() for value in values):
            found.append(path.parent.name)
    return found


def files_with(settings: Settings, *values: str) -> list[str]:
    """Files whose bytes contain one of the values."""
    return sorted(
        str(path.relative_to(settings.home))
        for path in settings.home.rglob("*")
        if path.is_file() and any(value.encode() in path.read_bytes() for value in values)
    )


def all_rows(settings: Settings) -> dict[str, list[str]]:
    """Every row of every table of every database, as text."""
    rows = {}
    for path in sorted(settings.home.rglob("*.duckdb")):
        with duckdb.connect(str(path), read_only=True) as connection:
            for table, sql in connection.execute(
                "select schema_name || '.' || table_name, sql from duckdb_tables()"
            ).fetchall():
                name = f"{path.name}: {table}"
                rows[name] = sorted(map(repr, connection.execute(f"from {table}").fetchall()))
                rows[f"{name} definition"] = [sql]
            rows[f"{path.name} comments"] = sorted(
                map(
                    repr,
                    connection.execute(
                        "select table_name, column_name, comment from duckdb_columns() "
                        "where comment is not null union all select view_name, null, comment "
                        "from duckdb_views() where comment is not null"
                    ).fetchall(),
                )
            )
    return rows


@pytest.mark.fault(65)
def test_an_account_is_gone_from_everything_with_its_people(settings: Settings) -> None:
    gone = (ACCOUNT, USER, "usr-00017c", "usr-gone-long-ago", CONTACT, ADDRESS)
    assert len(files_with(settings, *gone)) > 5, "the test would prove nothing"
    assert "build.duckdb" in files_with(settings, ADDRESS), "bytes in free blocks"
    before = all_rows(settings)
    result = call(settings, "forget", "--account", ACCOUNT, "--yes")
    assert result.exit_code == 0, result.output
    assert tables_with(settings, *gone) == []
    assert files_with(settings, *gone) == ["runs/20260701T000000Z-aaaaaa/dbt.log"]
    log = (settings.runs_dir / "20260701T000000Z-aaaaaa" / "dbt.log").read_text()
    assert log == f"where account_id = '[erased]'\n{ACCOUNT}1\n", "longer words are others'"
    assert files_with(settings, "Acme Łódź") == []
    # Everybody else, definitions and comments are as before.
    after = all_rows(settings)
    assert before.keys() == after.keys()
    for name, rows in before.items():
        if "fct_health__publications" in name or "rejected_rows" in name:
            continue
        assert [row for row in rows if not any(each in row for each in gone)] == after[name], name
    assert any(OTHER in row for row in after["published.duckdb: customer_health"
                                             ".fct_health__account_scores"])  # fmt: skip
    # A daughter of the account stays, without it.
    accounts = pq.read_table(settings.raw_dir / "crm_accounts" / "part-00000.parquet").to_pylist()
    assert [(row["account_id"], row["parent_account_id"]) for row in accounts] == [(OTHER, None)]


def test_rejected_rows_go_by_their_raw_rows(settings: Settings) -> None:
    assert call(settings, "forget", "--account", ACCOUNT, "--yes").exit_code == 0
    for path in (settings.published, settings.candidate):
        with duckdb.connect(str(path), read_only=True) as connection:
            keys = connection.execute(
                f"select source_table, row_key from {MARTS}.fct_health__rejected_rows order by all"
            ).fetchall()
        assert keys == [("product_events", "t1"), ("support_tickets", "t3")]


def test_counts_of_publications_and_manifests_follow(settings: Settings) -> None:
    before = read_json(settings.manifest)
    assert call(settings, "forget", "--account", ACCOUNT, "--yes").exit_code == 0
    after = read_json(settings.manifest)
    assert after["account_count"] == before["account_count"] - 1
    assert after["scored_account_count"] == before["scored_account_count"] - 1
    assert after["erased_at"]
    assert after["row_counts"] == before["row_counts"]
    newest = publication.publications_in(settings.published)[0]
    assert newest.account_count == after["account_count"]
    publication.verify(settings.published, newest)
    # History is still that of the readers' copy, and the way back is open.
    assert publication.restore_history(settings) == []
    assert call(settings, "rollback", "--yes").exit_code == 0
    assert call(settings, "status").exit_code == 0


def test_it_can_be_repeated_and_then_finds_nothing(settings: Settings) -> None:
    assert call(settings, "forget", "--account", ACCOUNT, "--yes").exit_code == 0
    before = all_rows(settings)
    result = call(settings, "forget", "--account", ACCOUNT, "--yes", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["forget"]["erased"] == []
    assert all_rows(settings) == before


def test_a_person_goes_and_the_account_stays(settings: Settings) -> None:
    scores = f"{MARTS}.fct_health__account_scores"
    before = all_rows(settings)
    result = call(settings, "forget", "--user", USER, "--yes")
    assert result.exit_code == 0, result.output
    gone = (USER, CONTACT, ADDRESS)
    assert tables_with(settings, *gone) == []
    assert files_with(settings, *gone) == []
    after = all_rows(settings)
    for file in ("published.duckdb", "candidate.duckdb"):
        assert before[f"{file}: {scores}"] == after[f"{file}: {scores}"]
    days = after["build.duckdb: work.int_health__usage_user_days"]
    assert len(days) == 2, "their days are gone, those of others are not"
    users = pq.read_table(settings.raw_dir / "product_users" / "part-00000.parquet")
    assert users.column("user_id").to_pylist() == ["usr-00017c", OTHER_USER]
    tickets = pq.read_table(settings.raw_dir / "support_tickets" / "part-00000.parquet")
    assert tickets.column("ticket_id").to_pylist() == ["t1", "t2", "t3"], "the account's rows stay"
    assert tickets.column("contact_id").to_pylist() == [None, "con-x", OTHER_CONTACT]
    texts = tickets.column("text").to_pylist()
    assert texts == [None, "Not me", "ask [erased], please"], "their own words go with them"
    events = pq.read_table(settings.raw_dir / "product_events" / "part-00000.parquet")
    assert set(events.column("user_id").to_pylist()) == {"usr-00017c", OTHER_USER}


@pytest.mark.parametrize("who", [CONTACT, ADDRESS, ADDRESS.upper()])
def test_a_person_is_found_by_any_id_or_address(settings: Settings, who: str) -> None:
    assert call(settings, "forget", "--user", who, "--yes").exit_code == 0
    assert tables_with(settings, USER, CONTACT, ADDRESS) == []


def test_the_parquet_files_keep_their_form(settings: Settings) -> None:
    path = settings.raw_dir / "product_events" / "part-00000.parquet"
    before = pq.ParquetFile(path)
    untouched = settings.raw_dir / "crm_opportunities"
    assert not untouched.exists()
    assert call(settings, "forget", "--account", ACCOUNT, "--yes").exit_code == 0
    after = pq.ParquetFile(path)
    assert after.schema_arrow.equals(before.schema_arrow)
    assert after.metadata.row_group(0).column(0).compression == "SNAPPY"
    assert after.read().column("event_id").to_pylist() == ["e2", "e5", "e8"], "order stays"


def test_no_id_is_written_by_the_command_itself(settings: Settings) -> None:
    result = call(settings, "forget", "--account", ACCOUNT, "--json")
    assert result.exit_code == 2
    assert ACCOUNT not in result.output
    result = call(settings, "forget", "--account", ACCOUNT, "--yes")
    assert result.exit_code == 0
    for path in settings.runs_dir.glob("*/result.json"):
        assert ACCOUNT not in path.read_text(encoding="utf-8")
        assert USER not in path.read_text(encoding="utf-8")


def test_files_outside_are_named_for_their_owner(settings: Settings, tmp_path: Path) -> None:
    outside = tmp_path / "lake"
    outside.mkdir()
    (settings.raw_dir / "crm_contacts" / "part-00000.parquet").rename(outside / "contacts.parquet")
    with duckdb.connect(str(settings.landing)) as connection:
        connection.execute(
            f"create or replace view raw.crm_contacts as from '{outside}/contacts.parquet'"
        )
    csv = settings.raw_dir / "notes.csv"
    csv.write_text(f"id,text\n1,{ADDRESS}\n", encoding="utf-8")
    content = (outside / "contacts.parquet").read_bytes()
    result = call(settings, "forget", "--account", ACCOUNT, "--yes")
    assert result.exit_code == 1
    said = " ".join(result.stderr.split())
    assert f"crm_contacts: 1 rows come from {outside}/contacts.parquet" in said
    assert "raw/notes.csv: names them 1 times" in said
    assert (outside / "contacts.parquet").read_bytes() == content
    assert csv.exists()
    # Once the owner has cleaned them, the same command ends well.
    csv.unlink()
    write_raw(settings, "crm_contacts", [], email=True).rename(outside / "contacts.parquet")
    assert call(settings, "forget", "--account", ACCOUNT, "--yes").exit_code == 0


def test_tables_of_the_landing_database_are_cleaned(settings: Settings) -> None:
    with duckdb.connect(str(settings.landing)) as connection:
        connection.execute("create table raw.loaded (account_id varchar, owner_id bigint)")
        connection.execute("insert into raw.loaded values (?, 1), (?, 2)", [ACCOUNT, OTHER])
    assert call(settings, "forget", "--account", ACCOUNT, "--yes").exit_code == 0
    with duckdb.connect(str(settings.landing), read_only=True) as connection:
        assert connection.execute("from raw.loaded").fetchall() == [(OTHER, 2)]
        assert connection.execute("select count(*) from raw.crm_accounts").fetchall() == [(1,)]


def test_numeric_ids_touch_only_columns_that_name_such_things(settings: Settings) -> None:
    """Ticket 42 is not account 42."""
    with duckdb.connect(str(settings.landing)) as connection:
        connection.execute(
            "create table raw.things (account_id bigint, ticket_id bigint, plan varchar)"
        )
        connection.execute("insert into raw.things values (42, 1, 'a'), (43, 42, '42')")
    result = call(settings, "forget", "--account", "42", "--yes", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["forget"]["search"]["values_too_short"] == 1
    with duckdb.connect(str(settings.landing), read_only=True) as connection:
        assert connection.execute("from raw.things").fetchall() == [(43, 42, "42")]


def test_an_address_that_others_share_stays_with_them(settings: Settings) -> None:
    write_raw(
        settings,
        "crm_contacts",
        [
            {"contact_id": CONTACT, "account_id": ACCOUNT, "email": OTHER_ADDRESS},
            {"contact_id": OTHER_CONTACT, "account_id": OTHER, "email": OTHER_ADDRESS},
        ],
        email=True,
    )
    result = call(settings, "forget", "--account", ACCOUNT, "--yes", "--json")
    assert result.exit_code == 0, result.output
    contacts = pq.read_table(settings.raw_dir / "crm_contacts" / "part-00000.parquet").to_pylist()
    assert [(row["contact_id"], row["email"]) for row in contacts] == [
        (OTHER_CONTACT, OTHER_ADDRESS)
    ]
    assert "also those of others" in json.dumps(json.loads(result.stdout)["forget"]["remarks"])


@pytest.mark.parametrize(
    "arguments",
    [(), ("--account", "a", "--user", "b"), ("--account", " "), ("--user", "a\nb"),
     ("--user", "x" * 300)],
)  # fmt: skip
def test_who_must_be_said(settings: Settings, arguments: tuple[str, ...]) -> None:
    result = call(settings, "forget", *arguments, "--yes")
    assert result.exit_code == 2, result.output


def test_hostile_ids_are_plain_texts(settings: Settings) -> None:
    before = all_rows(settings)
    for value in ("'); drop table x; --", "%", "A_", ".*", "[", "\\"):
        result = call(settings, "forget", "--account", value, "--yes")
        assert result.exit_code == 0, result.output
    assert all_rows(settings) == before


def test_a_reader_keeps_its_copy_and_the_next_one_sees_the_new(settings: Settings) -> None:
    query = f"select count(*) from {MARTS}.fct_health__account_scores where account_id = ?"
    with publication.open_published(settings.published) as reader:
        # in a process of its own: within one, DuckDB gives every connection the file that is open
        done = subprocess.run(
            [sys.executable, "-m", "customer_health", "--project-dir", str(settings.project_dir),
             "--home", str(settings.home), "forget", "--account", ACCOUNT, "--yes"],
            env=ENVIRONMENT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert reader.execute(query, [ACCOUNT]).fetchall() == [(1,)]
    with publication.open_published(settings.published) as reader:
        assert reader.execute(query, [ACCOUNT]).fetchall() == [(0,)]
    assert settings.published.stat().st_mode & 0o222 == 0


# -- kill -9 -----------------------------------------------------------------------------------
@pytest.fixture
def killed_at(settings: Settings) -> Iterator[Any]:
    """Run the command in a process of its own that dies before the nth replacement of a file."""

    def run(number: int) -> int:
        done = subprocess.run(
            [sys.executable, "-c", _DYING, str(number), str(settings.project_dir),
             str(settings.home), ACCOUNT],
            env=ENVIRONMENT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode

    yield run


_DYING = """
import os, signal, sys
from customer_health import cli, erase

left = int(sys.argv[1])
real = os.replace

def replace(source, target):
    global left
    left -= 1
    if left < 0 and ".forget.tmp" in str(source):
        os.kill(os.getpid(), signal.SIGKILL)
    real(source, target)

erase.os.replace = replace
cli.app(["--project-dir", sys.argv[2], "--home", sys.argv[3], "forget", "--account", sys.argv[4],
         "--yes"])
"""


@pytest.mark.parametrize("number", [1, 4, 9, 12])
@pytest.mark.fault(65)
def test_killed_in_the_middle_it_is_finished_by_the_next(
    settings: Settings, killed_at: Any, number: int
) -> None:
    assert killed_at(number) == -9
    newest = publication.publications_in(settings.published)[0]
    publication.verify(settings.published, newest)
    result = call(settings, "forget", "--account", ACCOUNT, "--yes")
    assert result.exit_code == 0, result.output
    gone = (ACCOUNT, USER, "usr-00017c", "usr-gone-long-ago", CONTACT, ADDRESS)
    assert tables_with(settings, *gone) == []
    assert files_with(settings, *gone) == ["runs/20260701T000000Z-aaaaaa/dbt.log"]
    assert not list(settings.home.rglob(".*.forget.tmp*"))
    assert read_json(settings.manifest)["account_count"] == 6


# -- parts -------------------------------------------------------------------------------------
@pytest.mark.parametrize("version", ["v1.0.0", "v1.5.0"])
def test_a_database_written_anew_keeps_its_format(settings: Settings, version: str) -> None:
    """Readers of a copy may have an older DuckDB; `build.duckdb` is quicker in a newer one."""
    path = settings.home / "formatted.duckdb"
    with duckdb.connect() as connection:
        connection.execute(f"attach '{path}' as made (storage_version '{version}')")
        connection.execute("create table made.stays as select 1 as one")
    erase.rewrite_database(path, forget.prepare(settings, account=ACCOUNT, user=None).eraser, "x")
    with duckdb.connect(str(path)) as connection:
        assert erase._storage_version(connection, "formatted") == version
        assert connection.sql("from stays").fetchall() == [(1,)]


def test_a_difference_between_old_and_new_stops_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new file must be what it was meant to become."""
    before = settings.published.read_bytes()
    real = erase._digest
    monkeypatch.setattr(
        erase, "_digest", lambda connection, name: (*real(connection, name), name.split(".")[0])
    )
    with pytest.raises(HealthError, match="could not be written anew"):
        request = forget.prepare(settings, account=ACCOUNT, user=None)
        erase.rewrite_database(settings.published, request.eraser, "x")
    assert settings.published.read_bytes() == before
    assert not list(settings.home.rglob(".*.forget.tmp*"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'["acc-00017", "acc-000171"]', b'["[erased]", "acc-000171"]'),
        (b"acc-00017. And ACC-00017|x", b"[erased]. And [erased]|x"),
        ("Acme \\u0141\\u00f3d\\u017a, Acme Łódź".encode(), b"[erased], [erased]"),
        (b"xacc-00017 acc-00017-b", b"xacc-00017 acc-00017-b"),
        (b"<ada@acme.example>", b"<[erased]>"),
    ],
)
def test_values_are_taken_out_of_texts_as_whole_words(text: bytes, expected: bytes) -> None:
    assert Needles([ACCOUNT, ADDRESS, "Acme Łódź"]).redact(text)[0] == expected


def test_short_and_numeric_ids_are_not_distinctive() -> None:
    assert [is_distinctive(each) for each in ("A1", "1234567", "admin", "A0016", "a@b.c")] == [
        False, False, False, True, True,
    ]  # fmt: skip


def test_the_byte_search_finds_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"\x00" * 100_000 + b"acc-00017acc-00018" + b"\xff" * 9 + ADDRESS.encode())
    (tmp_path / "empty").touch()
    found = list(search_bytes([path, tmp_path / "empty"], [ACCOUNT, ADDRESS, "nobody-1"]))
    assert sorted(found) == [(path, ACCOUNT, 1), (path, ADDRESS, 1)]


def test_trie_patterns_match_what_the_words_match() -> None:
    import re

    words = ["U1", "U12", "U123", "V.1", "U", "Łódź"]
    pattern = re.compile(trie_pattern(words))
    assert [pattern.fullmatch(word) is not None for word in words] == [True] * 6
    assert pattern.findall("U12 V.1 Vx1") == ["U12", "V.1"]


def test_validation_pages_go_as_a_whole(settings: Settings) -> None:
    """They name accounts, and no id finds a name."""
    page = settings.home / "validation" / "latest.html"
    page.parent.mkdir()
    page.write_text("<td>Acme Łódź</td>", encoding="utf-8")
    assert call(settings, "forget", "--account", ACCOUNT, "--yes").exit_code == 0
    assert not page.exists()


# -- what the CRM sync knows -------------------------------------------------------------------
def test_ledgers_lose_the_account_and_its_actions(settings: Settings) -> None:
    action = "f0e1d2c3b4a5968778695a4b3c2d1e0f"
    with duckdb.connect(str(settings.candidate)) as connection:
        connection.execute(
            f"insert into {MARTS}.act_health__actions (action_id, account_id) values (?, ?)",
            [action, ACCOUNT],
        )
    for name in ("crm", "queue", "untouched"):
        with ledger.opened(ledger.path_of(settings, name), {"kind": "files"}):
            pass
    for name, keys in (("crm", (ACCOUNT, OTHER)), ("queue", (action, "another"))):
        with sqlite3.connect(ledger.path_of(settings, name)) as written:
            written.executemany(
                "insert into records (key, refused_because) values (?, ?)",
                [(key, f"not sent with {keys[0]}") for key in keys],
            )
        written.close()
    result = call(settings, "forget", "--account", ACCOUNT, "--yes", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)["forget"]
    rows = {each["place"]: each["rows_deleted"] for each in report["erased"]}
    assert rows["sync/crm.sqlite"] == rows["sync/queue.sqlite"] == 1
    assert "sync/untouched.sqlite" not in rows
    assert any("what it has is for its owner to delete" in each for each in report["remarks"])
    for name, left in (("crm", OTHER), ("queue", "another")):
        content = sqlite3.connect(ledger.path_of(settings, name)).execute("select * from records")
        assert [row[0] for row in content] == [left]
    for path in ledger.folder_of(settings).rglob("*"):
        if path.is_file():
            assert ACCOUNT.encode() not in path.read_bytes(), path
            assert action.encode() not in path.read_bytes(), path
