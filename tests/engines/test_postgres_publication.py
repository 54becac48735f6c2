"""What readers have on PostgreSQL is replaced all at once or not at all, whatever happens when."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import postgres_server
import psycopg2
import pytest
from small_marts import AS_OF, TABLES, account, score

from customer_health.errors import BusyError, HealthError, UsageError
from customer_health.publication import GateCheck, Publication
from customer_health.settings import Settings
from customer_health.warehouses import postgres as module
from customer_health.warehouses import warehouse_of
from customer_health.warehouses.postgres import PostgresWarehouse

MARTS, READERS = "customer_health", "customer_health_published"
SNAPSHOT = "customer_health_snapshots.snap_health__account_bands"
TYPES = {"varchar": "text", "double": "double precision"}
ACCOUNTS = 5
CHECK = GateCheck("landing", "row_count", "crm_accounts", None, "error", True, "5", "> 0", None)


@pytest.fixture(scope="module")
def socket() -> Iterator[str]:
    with postgres_server.server() as folder:
        yield folder


@pytest.fixture
def warehouse(socket: str, tmp_path: Path) -> Iterator[PostgresWarehouse]:
    """A database of its own with a candidate of five accounts on one date."""
    database = f"db_{tmp_path.name}".replace("-", "_").lower()[:60]
    postgres_server.execute(socket, "postgres", f'create database "{database}"')
    (tmp_path / "dbt_project.yml").write_text("name: x\nprofile: x\n", encoding="utf-8")
    (tmp_path / "profiles.yml").write_text(
        "x:\n  target: t\n  outputs:\n    t:\n      type: postgres\n"
        f"      host: '{socket}'\n      user: health\n      dbname: {database}\n"
        f"      password: '{postgres_server.PASSWORD}'\n      schema: {MARTS}\n",
        encoding="utf-8",
    )
    settings = Settings(tmp_path, tmp_path / "home")
    settings.prepare()
    found = warehouse_of(settings)
    assert isinstance(found, PostgresWarehouse)
    run(found, f"create schema {MARTS}", "create schema customer_health_snapshots")
    for table, columns in TABLES.items():
        written = ", ".join(
            f"{name} {TYPES.get(kind.split()[0], kind.split()[0])}{kind[len(kind.split()[0]) :]}"
            for name, kind in columns.items()
        )
        run(found, f"create table {MARTS}.{table} ({written})")
    run(
        found,
        f"create view {MARTS}.fct_health__account_scores_current as select * from "
        f"{MARTS}.fct_health__account_scores",
        f"create table {SNAPSHOT} (account_id text, band text)",
    )
    write_candidate(found, 64)
    yield found
    postgres_server.execute(socket, "postgres", f'drop database "{database}" with (force)')


def connect(warehouse: PostgresWarehouse) -> Any:
    return psycopg2.connect(**warehouse._database.arguments)


def run(warehouse: PostgresWarehouse, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements by a session of its own; the rows of the last one."""
    session = connect(warehouse)
    try:
        with session, session.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []
    finally:
        session.close()


def write_candidate(warehouse: PostgresWarehouse, health_score: int) -> None:
    """What dbt would build: all accounts with one score, and the snapshot of it."""
    rows = [
        (f"{MARTS}.fct_health__account_scores", score(f"A{n}", health_score=health_score))
        for n in range(ACCOUNTS)
    ]
    rows += [
        (f"{MARTS}.bi_health__account_360", account(f"A{n}", health_score=health_score))
        for n in range(ACCOUNTS)
    ]
    session = connect(warehouse)
    with session, session.cursor() as cursor:
        for table in {table for table, _ in rows}:
            cursor.execute(f"delete from {table}")
        for table, row in rows:
            marks = ", ".join("%s" for _ in row)
            cursor.execute(
                f"insert into {table} ({', '.join(row)}) values ({marks})", list(row.values())
            )
        cursor.execute(f"insert into {SNAPSHOT} values ('A0', %s)", [str(health_score)])
    session.close()


def a_publication(number: int) -> Publication:
    moment = datetime(2026, 6, 30, 5) + timedelta(minutes=number)
    return Publication(
        publication_id=f"{AS_OF}T{moment:%Y%m%d%H%M%S}-{number:06x}",
        published_at=moment,
        as_of_date=AS_OF,
        scoring_version="v1",
        policy_hash="abc",
        git_sha=None,
        account_count=ACCOUNTS,
        scored_account_count=ACCOUNTS,
        checks_run=3,
        checks_passed=3,
        newest_input_at=None,
        is_backfill=False,
        row_counts={"crm_accounts": ACCOUNTS},
    )


def publish(warehouse: PostgresWarehouse, number: int, health_score: int) -> Publication:
    write_candidate(warehouse, health_score)
    published = a_publication(number)
    assert warehouse.publish(published, [CHECK]) == []
    return published


def readers_have(warehouse: PostgresWarehouse) -> tuple[str, int]:
    """Newest publication and the one score of all accounts, in whatever they have."""
    with warehouse.reader() as reader:
        name = reader.rows("select max(publication_id) from {marts}.fct_health__publications")
        scores = reader.rows(
            "select health_score from {marts}.fct_health__account_scores union "
            "select health_score from {marts}.bi_health__account_360 union "
            "select health_score from {marts}.fct_health__account_scores_current"
        )
    assert len(scores) == 1, scores
    return str(name[0][0]), int(scores[0][0])


def everything(warehouse: PostgresWarehouse) -> list[tuple[Any, ...]]:
    """All relations of the database that are not the server's."""
    return run(
        warehouse,
        "select namespace.nspname, class.relname, class.oid, class.relfilenode from pg_class as "
        "class inner join pg_namespace as namespace on class.relnamespace = namespace.oid where "
        "namespace.nspname like 'customer_health%' order by 1, 2",
    )


def test_a_publication_is_whole_and_stays_as_the_candidate_goes_on(
    warehouse: PostgresWarehouse,
) -> None:
    with pytest.raises(HealthError, match="nothing is published yet"), warehouse.reader():
        pass
    assert warehouse.last_publication() is None
    assert not warehouse.is_published()
    published = publish(warehouse, 1, 64)
    write_candidate(warehouse, 10)
    assert readers_have(warehouse) == (published.publication_id, 64)
    assert warehouse.last_publication() == published
    assert warehouse.published() == (published, None)
    checks = f"select rule, publication_id from {READERS}.fct_health__publication_checks"
    assert run(warehouse, checks) == [("row_count", published.publication_id)]
    assert run(warehouse, f"select band from {READERS}.snap_health__account_bands") == [
        ("64",),
        ("64",),
    ]
    facts = warehouse.read_candidate()
    assert (facts.as_of_date, facts.account_count, facts.scored_account_count) == (AS_OF, 5, 5)


def test_readers_need_rights_to_the_views_alone_and_keep_them(
    warehouse: PostgresWarehouse, socket: str
) -> None:
    """Also when a mart gets other columns, for which its view is made anew."""
    publish(warehouse, 1, 64)
    view = f"{READERS}.fct_health__account_scores"
    run(
        warehouse,
        "drop role if exists bi",
        "create role bi login password 'bi'",
        f"grant usage on schema {READERS} to bi",
        f"grant select on {view} to bi",
    )
    run(
        warehouse,
        f"drop view {MARTS}.fct_health__account_scores_current",
        f"alter table {MARTS}.fct_health__account_scores drop column band_note, "
        "add column added_later int default 3",
    )
    session = connect(warehouse)
    with session, session.cursor() as cursor:
        published = a_publication(2)
        assert warehouse.publish(published, []) == []
        cursor.execute("set role bi")
        cursor.execute(f"select added_later from {view} limit 1")
        assert cursor.fetchall() == [(3,)]
        cursor.execute(f"select to_regclass('{view}_current')")
        assert cursor.fetchall() == [(None,)]  # the mart is gone, and so is its view
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("select * from customer_health_publications.kept")
    session.close()
    run(warehouse, "drop owned by bi", "drop role bi")


def test_a_view_of_yours_on_a_mart_with_other_columns_refuses(warehouse: PostgresWarehouse) -> None:
    first = publish(warehouse, 1, 64)
    run(
        warehouse,
        f"create view public.mine as select band from {READERS}.bi_health__account_360",
        f"alter table {MARTS}.bi_health__account_360 drop column plan",
    )
    before = everything(warehouse)
    with pytest.raises(HealthError, match="something of yours depends on its view"):
        warehouse.publish(a_publication(2), [])
    assert everything(warehouse) == before
    assert readers_have(warehouse) == (first.publication_id, 64)


@pytest.mark.parametrize(
    "step", ["_insert", "_copy_candidate", "_trouble", "_replace_view", "_set_states"]
)
def test_failure_at_any_step_leaves_everything_as_it_was(
    warehouse: PostgresWarehouse, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    first = publish(warehouse, 1, 64)
    write_candidate(warehouse, 20)
    before = everything(warehouse)
    real = getattr(PostgresWarehouse, step)

    def fails_after(*arguments: Any, **named: Any) -> Any:
        real(*arguments, **named)
        raise OSError("broken off")

    monkeypatch.setattr(PostgresWarehouse, step, fails_after)
    with pytest.raises(OSError, match="broken off"):
        warehouse.publish(a_publication(2), [])
    monkeypatch.undo()
    assert everything(warehouse) == before
    assert readers_have(warehouse) == (first.publication_id, 64)
    count = f"select count(*) from {MARTS}.fct_health__publications"
    assert run(warehouse, count) == [(1,)]


def test_kill_at_any_moment_leaves_one_publication_or_the_other(
    warehouse: PostgresWarehouse,
) -> None:
    """`kill -9` between begin and end of publishing, again and again; then a run goes on."""
    publish(warehouse, 1, 1)
    program = textwrap.dedent(
        f"""
        import sys
        sys.path[:0] = {sys.path!r}
        from pathlib import Path
        from test_postgres_publication import a_publication
        from customer_health.settings import Settings
        from customer_health.warehouses import warehouse_of
        folder = Path({str(warehouse.settings.project_dir)!r})
        found = warehouse_of(Settings(folder, folder / "home"))
        print("go", flush=True)
        found.publish(a_publication(int(sys.argv[1])), [])
        """
    )
    seen = set()
    for number, delay in enumerate((0.0, 0.03, 0.06, 0.1, 0.15, 0.25, 0.4, None), start=2):
        write_candidate(warehouse, number)
        before = readers_have(warehouse)
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(number)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None and process.stdout.readline() == "go\n"
        if delay is not None:
            time.sleep(delay)
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
        time.sleep(0.3)  # the server notices that its client has gone
        after = readers_have(warehouse)
        new = (a_publication(number).publication_id, number)
        assert after in (before, new)
        seen.add(after == new)
        last = warehouse.last_publication()
        assert last is not None and last.publication_id == after[0]
        warehouse.restore_history()
        listed = f"select max(publication_id) from {MARTS}.fct_health__publications"
        assert run(warehouse, listed) == [(after[0],)]
    assert seen == {True, False}


def test_a_transaction_of_a_reader_sees_one_publication(warehouse: PostgresWarehouse) -> None:
    """Readers look at several views in plain transactions while publications come one by one."""
    publish(warehouse, 1, 1)
    ended = threading.Event()
    mixed: list[Any] = []
    looked = [0, 0]

    def read(place: int) -> None:
        session = connect(warehouse)
        views = ["fct_health__account_scores", "bi_health__account_360"]
        if place:
            views.reverse()  # the other way round, which could deadlock
        while not ended.is_set():
            with session, session.cursor() as cursor:
                found = set()
                for view in (*views, "fct_health__account_scores_current"):
                    cursor.execute(f"select distinct health_score from {READERS}.{view}")
                    found.update(cursor.fetchall())
                cursor.execute(
                    f"select max(as_of_date), count(*) from {READERS}.fct_health__publications"
                )
                found.add((cursor.fetchall()[0][1],))  # publication n has n rows, and the score n
                looked[place] += 1
                if len(found) != 1:
                    mixed.append(found)
            time.sleep(0.002)
        session.close()

    readers = [threading.Thread(target=read, args=(place,)) for place in (0, 1)]
    for reader in readers:
        reader.start()
    try:
        for number in range(2, 8):
            publish(warehouse, number, number)
    finally:
        ended.set()
        for reader in readers:
            reader.join()
    assert mixed == []
    assert min(looked) > 10
    assert readers_have(warehouse)[1] == 7


def test_a_reader_that_holds_on_makes_it_refuse_in_time(
    warehouse: PostgresWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = publish(warehouse, 1, 64)
    monkeypatch.setattr(module, "LOCK_PATIENCE_SECONDS", 1.0)
    session = psycopg2.connect(**warehouse._database.arguments, application_name="report")
    with session, session.cursor() as cursor:
        cursor.execute(f"select * from {READERS}.bi_health__account_360")
        before = everything(warehouse)
        with pytest.raises(HealthError, match=r"hold on to it.*process \d+ report"):
            warehouse.publish(a_publication(2), [])
        assert everything(warehouse) == before
    session.close()
    assert readers_have(warehouse) == (first.publication_id, 64)
    assert publish(warehouse, 3, 65).publication_id == readers_have(warehouse)[0]


def test_a_dead_run_is_voided_and_lost_history_comes_back(warehouse: PostgresWarehouse) -> None:
    """Between snapshot and publication; before anything was published; with a lost candidate."""
    run(
        warehouse,
        f"insert into {MARTS}.fct_health__publications (publication_id, published_at) "
        "values ('never', '2026-06-30')",
    )
    done = warehouse.restore_history()
    assert done == [
        "voided 1 publications that were never published",
        "removed customer_health_snapshots.snap_health__account_bands, which was never published",
    ]
    run(warehouse, f"create table {SNAPSHOT} (account_id text, band text)")
    publish(warehouse, 1, 64)
    assert warehouse.restore_history() == []
    run(
        warehouse,
        f"insert into {SNAPSHOT} values ('A9', 'never')",
        f"update {SNAPSHOT} set band = 'closed' where band = '64'",
        f"drop table {MARTS}.fct_health__publications",
        "create schema customer_health_p_20260630050000_00abcd",
    )
    done = warehouse.restore_history()
    assert len(done) == 3
    assert "holds no publication" in done[0]
    assert run(warehouse, f"select * from {SNAPSHOT}") == [("A0", "64")]
    assert run(warehouse, f"select count(*) from {MARTS}.fct_health__publications") == [(1,)]


def test_rollback_goes_back_and_forward_until_the_next_publication(
    warehouse: PostgresWarehouse,
) -> None:
    ids = [publish(warehouse, number, number).publication_id for number in range(1, 10)]
    kept = warehouse.list_kept()
    assert [each.publication_id for each in kept] == ids[:1:-1]  # seven
    assert [each.state for each in kept] == ["current", *["kept"] * 6]
    assert all(each.size_bytes > 0 for each in kept)
    with pytest.raises(UsageError, match="readers have"):
        warehouse.plan_rollback(ids[-1])
    with pytest.raises(UsageError, match=f"no publication '{ids[0]}' is kept"):
        warehouse.plan_rollback(ids[0])
    plan = warehouse.plan_rollback()
    assert plan.target.publication_id == ids[-2]
    assert plan.withdrawn == {ids[-1]}
    warehouse.roll_back(plan)
    assert readers_have(warehouse) == (ids[-2], 8)
    assert warehouse.list_kept()[0].state == "withdrawn"
    assert warehouse.restore_history() != []
    forward = warehouse.plan_rollback(ids[-1])
    warehouse.roll_back(forward)
    assert readers_have(warehouse) == (ids[-1], 9)
    warehouse.roll_back(warehouse.plan_rollback(ids[-3]))
    warehouse.restore_history()
    published = publish(warehouse, 11, 11)
    assert readers_have(warehouse) == (published.publication_id, 11)
    left = [each.publication_id for each in warehouse.list_kept()]
    assert ids[-1] not in left and ids[-2] not in left
    with pytest.raises(UsageError, match="no publication"):
        warehouse.plan_rollback(ids[-1])


def test_a_damaged_publication_is_passed_over(warehouse: PostgresWarehouse) -> None:
    ids = [publish(warehouse, number, number).publication_id for number in (1, 2, 3)]
    middle = warehouse._kept_schema(ids[1])
    run(warehouse, f"drop table {middle}.bi_health__account_360")
    assert [each.state for each in warehouse.list_kept()] == ["current", "damaged", "kept"]
    with pytest.raises(HealthError, match="bi_health__account_360 is missing"):
        warehouse.plan_rollback(ids[1])
    plan = warehouse.plan_rollback()
    assert plan.target.publication_id == ids[0]
    assert plan.remarks == (f"{ids[1]} is damaged and was passed over",)


def test_one_run_at_a_time_from_whatever_machine(warehouse: PostgresWarehouse) -> None:
    with warehouse.lock("run-1", "run"):
        with pytest.raises(BusyError, match="run run-1"), warehouse.lock("run-2", "run"):
            pass
        with pytest.raises(HealthError, match=r"refused|closed"):
            run(
                warehouse,
                "select pg_terminate_backend(pid) from pg_stat_activity where "
                "application_name like 'customer_health run run-1%'",
            )
            warehouse.publish(a_publication(1), [])
    assert not warehouse.is_published()
    with warehouse.lock("run-3", "run"):
        publish(warehouse, 1, 64)
    assert warehouse.is_published()


def test_the_seal_tells_whether_somebody_wrote(warehouse: PostgresWarehouse) -> None:
    seal = warehouse.seal()
    run(warehouse, f"select * from {MARTS}.bi_health__account_360")
    run(warehouse, "create table public.other as select 1 as one")
    assert warehouse.seal() == seal
    run(warehouse, f"delete from {MARTS}.bi_health__account_360 where account_id = 'A1'")
    assert warehouse.seal() != seal


def test_what_cannot_be_reached_is_one_line_without_the_password(
    warehouse: PostgresWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(module.URL_VARIABLE, "postgresql://health:s3cr3t@127.0.0.1:1/health")
    other = warehouse_of(warehouse.settings)
    with pytest.raises(UsageError, match="unset it"):
        other.check_ready()
    with pytest.raises(HealthError, match="cannot be reached") as refused:
        other.last_publication()
    assert "s3cr3t" not in refused.value.message and "\n" not in refused.value.message
