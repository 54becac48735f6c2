"""Readers that hold the file, a damaged file, an erasure request."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from fault_kit import (
    assert_accepted,
    change_raw,
    copy_project,
    published,
    raw_rows,
    readers_have,
    run,
)
from fault_marks import found_in

NEWEST = (
    "select publication_id from customer_health.fct_health__publications "
    "order by published_at desc limit 1"
)
# Opens the copy once and answers with what it reads whenever it is asked.
HOLDER = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1], read_only=True, config={"enable_external_access": "false"})
for line in sys.stdin:
    print(connection.execute(
        "select count(*), sum(hash(whole_row)::hugeint) "
        "from customer_health.fct_health__metric_scores as whole_row"
    ).fetchall()[0], connection.execute(sys.argv[2]).fetchall()[0][0], flush=True)
"""


@pytest.mark.fault(52, says="Published 2026-06-30")
def test_a_dashboard_that_holds_the_file_stops_no_publication(home: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(home / "published.duckdb"), NEWEST],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdin is not None and holder.stdout is not None

    def held() -> str:
        assert holder.stdin is not None and holder.stdout is not None
        print("?", file=holder.stdin, flush=True)
        return holder.stdout.readline()

    try:
        first = held()
        seen = [published(home, NEWEST)[0][0]]
        assert seen[0] in first
        for _ in range(3):
            assert_accepted(run(home, "publish"))
            assert held() == first, "the file that it holds is the old one, to the last byte"
            seen.append(published(home, NEWEST)[0][0])
    finally:
        holder.kill()
        holder.wait()
        holder.stdin.close()
        holder.stdout.close()
    assert len(set(seen)) == 4, "whoever opens the file anew reads the new one"


@pytest.mark.fault(53, says="the published copy is damaged")
@pytest.mark.fault(53, says="`customer-health rollback` puts the last whole publication back")
@pytest.mark.parametrize("part", [0.0, 0.3, 0.999])
def test_a_truncated_copy_is_noticed_and_rollback_brings_a_whole_one(
    part: float, home: Path
) -> None:
    whole = readers_have(home)
    path = home / "published.duckdb"
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.truncate(int(part * path.stat().st_size))
    looked = run(home, "status")
    assert looked.returncode == 1 and len(looked.errors) == 1, looked.output
    assert "Traceback" not in looked.output
    found_in(looked.errors[0])
    back = run(home, "rollback", "--yes")
    assert_accepted(back)
    assert readers_have(home)["published.duckdb"] == whole["published.duckdb"]
    assert run(home, "status").returncode == 0


# -- erasure -----------------------------------------------------------------------------------
ADD_ADDRESSES = (
    "alter table crm_contacts add column email varchar",
    "update crm_contacts set email = lower(contact_id) || '@canary.example'",
)


def files_with(home: Path, words: list[str]) -> list[str]:
    """Files below the home in whose bytes one of the words stands."""
    found = []
    for path in sorted(path for path in home.rglob("*") if path.is_file()):
        content = path.read_bytes()
        found += [f"{path.relative_to(home)}: {word}" for word in words if word.encode() in content]
    return found


def columns_with(home: Path, words: list[str]) -> list[str]:
    """Columns of all tables and raw files with such a value; bytes do not show compressed ones."""
    sources = {}
    with duckdb.connect() as connection:
        databases = [*home.glob("*.duckdb"), *(home / "publications").glob("*.duckdb")]
        for number, path in enumerate(databases):
            connection.execute(f"attach '{path}' as looked_at_{number} (read_only)")
        tables = connection.execute(
            "select database_name, schema_name, table_name from duckdb_tables()"
        ).fetchall()
        for parts in tables:
            quoted = ".".join(f'"{part}"' for part in parts)
            sources[f"{databases[int(parts[0].split('_')[-1])].name} {parts[2]}"] = quoted
        for folder in (home / "raw").iterdir():
            sources[f"raw {folder.name}"] = f"read_parquet('{folder}/*.parquet')"
        found = []
        for name, source in sources.items():
            columns = connection.execute(f"describe select * from {source}").fetchall()
            for column in (row[0] for row in columns if row[1] == "VARCHAR"):
                ((hits,),) = connection.execute(
                    f'select count(*) from {source} where "{column}" in ?', [words]
                ).fetchall()
                if hits:
                    found.append(f"{name}.{column}: {hits}")
    return found


def known_as(home: Path, condition: str) -> list[str]:
    """Ids and addresses of contacts and users for which the condition on contacts holds."""
    rows = raw_rows(home, f"select contact_id, user_id, email from raw.crm_contacts {condition}")
    return [word for row in rows for word in row if word is not None]


@pytest.mark.fault(65, says='"left": []')
def test_an_account_is_forgotten_everywhere(home: Path, tmp_path: Path) -> None:
    change_raw(home, "crm_contacts", *ADD_ADDRESSES)
    ((account, name), *_) = published(
        home,
        "select account_id, account_name from customer_health.bi_health__account_360 "
        "where health_score is not null order by 1",
    )
    people = known_as(home, f"where account_id = '{account}'")
    words = [name, *people]
    assert len(people) >= 3
    assert files_with(home, words) and columns_with(home, [account, *words])
    scores = (
        "select * from customer_health.fct_health__account_scores "
        "where account_id <> ? order by account_id, as_of_date"
    )
    others = published(home, scores, account)
    done = run(home, "forget", "--account", account, "--yes", "--json")
    assert_accepted(done)
    assert files_with(home, words) == []
    assert columns_with(home, [account, *words]) == []
    # the others are what they were, and publications go on
    assert published(home, scores, account) == others
    assert_accepted(run(home, "publish", project=copy_project(tmp_path / "project")))
    assert files_with(home, words) == []


@pytest.mark.fault(65, says='"left": []')
def test_a_person_is_forgotten_everywhere_and_the_account_stays(home: Path) -> None:
    change_raw(home, "crm_contacts", *ADD_ADDRESSES)
    ((address, account), *_) = raw_rows(
        home, "select email, account_id from raw.crm_contacts where user_id is not null order by 1"
    )
    words = known_as(home, f"where email = '{address}'")
    assert len(words) == 3 and columns_with(home, words)
    done = run(home, "forget", "--user", address, "--yes", "--json")
    assert_accepted(done)
    assert files_with(home, words) == []
    assert columns_with(home, words) == []
    assert columns_with(home, [account])
