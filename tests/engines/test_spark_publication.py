"""What readers have on Spark is one publication or the other, however a publication ends."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from small_marts import AS_OF, TABLES, account, score
from spark_cluster import Cluster

from customer_health.errors import HealthError
from customer_health.publication import GateCheck, Publication
from customer_health.settings import Settings
from customer_health.spark_server import Session, SparkServer, bound, literal
from customer_health.warehouses import warehouse_of
from customer_health.warehouses.spark import SparkWarehouse

TYPES = {"varchar": "string"}
ACCOUNTS = 3
NAMES = ("account_scores", "metric_scores", "publications", "publication_checks")
CHECK = GateCheck("landing", "row_count", "crm_accounts", None, "error", True, "it's", "> 0", None)


@pytest.fixture
def warehouse(spark: Cluster, tmp_path: Path) -> Iterator[SparkWarehouse]:
    """Schemas of its own with a candidate of a few accounts on one date."""
    marts = "h_" + "".join(each for each in tmp_path.name.lower() if each.isalnum())[-24:]
    (tmp_path / "dbt_project.yml").write_text("name: x\nprofile: x\n", encoding="utf-8")
    (tmp_path / "profiles.yml").write_text(
        "x:\n  target: t\n  outputs:\n    t:\n      type: spark\n      method: thrift\n"
        f"      host: 127.0.0.1\n      port: {spark.port}\n      schema: {marts}\n",
        encoding="utf-8",
    )
    settings = Settings(tmp_path, tmp_path / "home")
    settings.prepare()
    found = warehouse_of(settings)
    assert isinstance(found, SparkWarehouse)
    found.check_ready()
    statements = [f"create schema {marts}", f"create schema {marts}_snapshots"]
    for name in (*(f"fct_health__{each}" for each in NAMES), "bi_health__account_360"):
        columns = ", ".join(
            f"{column} {TYPES.get(kind.split()[0], kind.split()[0])}"
            for column, kind in TABLES[name].items()
        )
        statements.append(f"create table {marts}.{name} ({columns}) using iceberg")
    statements += [
        f"create view {marts}.fct_health__account_scores_current as "
        f"select * from {marts}.fct_health__account_scores",
        f"create table {marts}_snapshots.snap_health__account_bands (account_id string, "
        "band string) using iceberg",
    ]
    run(found, *statements)
    yield found


def run(warehouse: SparkWarehouse, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements; the rows of the last one."""
    with warehouse._server.session() as session:
        for statement in statements:
            session.run(statement)
        # After others the driver has nothing to fetch, and fails.
        return list(session.cursor.fetchall()) if statements[-1].startswith("select") else []


def write_candidate(warehouse: SparkWarehouse, health_score: int) -> None:
    """What dbt would build: all accounts with one score, and the snapshot of it."""
    marts = warehouse._marts
    for name, make in (("fct_health__account_scores", score), ("bi_health__account_360", account)):
        rows = [make(f"A{number}", health_score=health_score) for number in range(ACCOUNTS)]
        values = ", ".join(f"({', '.join(map(literal, row.values()))})" for row in rows)
        run(
            warehouse,
            f"delete from {marts}.{name}",
            f"insert into {marts}.{name} ({', '.join(rows[0])}) values {values}",
        )
    run(
        warehouse,
        f"insert into {marts}_snapshots.snap_health__account_bands values ('A0', '{health_score}')",
    )


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


def publish(warehouse: SparkWarehouse, number: int, health_score: int) -> Publication:
    write_candidate(warehouse, health_score)
    published = a_publication(number)
    assert warehouse.publish(published, [CHECK]) == []
    return published


def readers_have(warehouse: SparkWarehouse) -> tuple[str, int]:
    """Newest publication and the one score of all accounts, through the readers' views."""
    readers = warehouse._readers
    name = run(warehouse, f"select max(publication_id) from {readers}.fct_health__publications")
    scores = run(
        warehouse,
        f"select health_score from {readers}.fct_health__account_scores union "
        f"select health_score from {readers}.bi_health__account_360 union "
        f"select health_score from {readers}.fct_health__account_scores_current",
    )
    assert len(scores) == 1, scores
    return str(name[0][0]), int(scores[0][0])


def test_failure_at_any_step_leaves_the_old_publication_or_the_new(
    warehouse: SparkWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A publication ends before each of its statements in turn; the next run puts all in order."""
    first = publish(warehouse, 1, 50)
    execute = Session.run
    steps = 0
    while True:
        write_candidate(warehouse, 60)
        left = steps

        def run_some(self: Session, sql: str) -> None:
            nonlocal left
            # Only what the publication itself does is counted, not what copies do at a time.
            if self.cursor is not None and not sql.startswith(("select", "show", "describe")):
                left -= 1
                if left < 0:
                    raise HealthError("the run ends here")
            execute(self, sql)

        monkeypatch.setattr(Session, "run", run_some)
        try:
            warehouse.publish(a_publication(2), [CHECK])
            monkeypatch.setattr(Session, "run", execute)
            break
        except HealthError as error:
            assert error.message == "the run ends here"
        monkeypatch.setattr(Session, "run", execute)
        told = warehouse.restore_history()
        last = warehouse.last_publication()
        assert last is not None
        if last.publication_id != first.publication_id:
            break  # the list was replaced: what followed was tidying up
        assert readers_have(warehouse) == (first.publication_id, 50), told
        bands = run(
            warehouse,
            f"select band from {warehouse._snapshots}.snap_health__account_bands",
        )
        assert bands == [("50",)], told
        steps += 1
    assert steps > 15
    assert readers_have(warehouse) == (a_publication(2).publication_id, 60)
    assert warehouse.restore_history() == []


def test_rollback_goes_back_and_forward_until_the_next_publication(
    warehouse: SparkWarehouse,
) -> None:
    """What was withdrawn stays until the next publication; history follows what readers have."""
    first, second = publish(warehouse, 1, 50), publish(warehouse, 2, 60)
    plan = warehouse.plan_rollback()
    assert plan.target.publication_id == first.publication_id
    warehouse.roll_back(plan)
    assert readers_have(warehouse) == (first.publication_id, 50)
    assert [kept.state for kept in warehouse.list_kept()] == ["withdrawn", "current"]
    warehouse.roll_back(warehouse.plan_rollback(second.publication_id))
    assert readers_have(warehouse) == (second.publication_id, 60)
    assert [kept.state for kept in warehouse.list_kept()] == ["current", "kept"]
    warehouse.roll_back(warehouse.plan_rollback())
    warehouse.restore_history()
    third = publish(warehouse, 3, 70)
    assert readers_have(warehouse) == (third.publication_id, 70)
    names = [kept.publication_id for kept in warehouse.list_kept()]
    assert names == [third.publication_id, first.publication_id]
    facts = warehouse.read_candidate()
    assert (facts.as_of_date, facts.account_count) == (AS_OF, ACCOUNTS)


def test_a_damaged_publication_is_passed_over(warehouse: SparkWarehouse) -> None:
    """A kept schema that lacks a table is no way back, and history is taken from a whole one."""
    publish(warehouse, 1, 50)
    publish(warehouse, 2, 60)
    publish(warehouse, 3, 70)
    broken = warehouse._kept_schema(a_publication(2).publication_id)
    run(warehouse, f"drop table {broken}.bi_health__account_360")
    plan = warehouse.plan_rollback()
    assert plan.target.publication_id == a_publication(1).publication_id
    assert "passed over" in plan.remarks[0]
    with pytest.raises(HealthError, match="is damaged"):
        warehouse.plan_rollback(a_publication(2).publication_id)


def test_the_seal_tells_whether_somebody_wrote(warehouse: SparkWarehouse) -> None:
    """Equal while nobody writes; another after any commit to a mart."""
    write_candidate(warehouse, 50)
    sealed = warehouse.seal()
    assert warehouse.seal() == sealed
    run(warehouse, f"delete from {warehouse._marts}.bi_health__account_360 where account_id = 'A0'")
    assert warehouse.seal() != sealed


def test_values_are_written_as_spark_reads_them(spark: Cluster) -> None:
    """Quotes, backslashes and instants come back as they went in."""
    values = ['it\'s \\ a "name" ? %s', datetime(2026, 6, 30, 1, 2, 3, 400), AS_OF, True, 1.5, None]
    server = SparkServer.from_profile({"host": "127.0.0.1", "port": spark.port})
    with server.session() as session:
        assert session.rows(bound("select ?, ?, ?, ?, ?, ?", values)) == [tuple(values)]
        with pytest.raises(HealthError, match=r"^Spark on 127\.0\.0\.1:\d+ refused: .*nowhere"):
            session.rows("select * from nowhere")


def test_what_cannot_be_reached_is_one_line() -> None:
    server = SparkServer.from_profile({"host": "127.0.0.1", "port": 1, "password": "s3cret"})
    with pytest.raises(HealthError, match="cannot be reached") as told, server.session():
        pass
    assert "\n" not in told.value.message
    assert "s3cret" not in told.value.message


def test_the_sql_of_the_gates_is_spelled_for_spark() -> None:
    """Names and words change, what stands in literals does not."""
    from customer_health.gx_spark import spelled

    written = """select cast("a b" as varchar) || 'it''s a "varchar" \\', grouping("x"),
        cast(y as double precision) from t group by grouping sets (("x"))"""
    assert spelled(written) == (
        "select cast(`a b` as string) || 'it\\'s a \"varchar\" \\\\', grouping_id(`x`),\n"
        "        cast(y as double) from t group by grouping sets ((`x`))"
    )
