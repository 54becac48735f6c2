"""The readers' copy is replaced all at once or not at all, whatever happens when."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from types import FrameType
from typing import Any

import duckdb
import pytest
from small_marts import (
    AS_OF,
    ENVIRONMENT,
    MARTS,
    SNAPSHOT,
    a_publication,
    add_snapshot_row,
    make_project,
    publish_example,
    read_json,
    snapshot_rows,
    write_candidate,
)

from customer_health import publication
from customer_health.errors import HealthError
from customer_health.publication import open_published, publications_in
from customer_health.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_project(tmp_path / "project")


def published_id(settings: Settings) -> str:
    """What a reader finds in the copy."""
    return publications_in(settings.published)[0].publication_id


class BoomError(Exception):
    """The injected failure."""


# Every line of `publish` itself, and the first lines of what it calls, are failed at once.
CALLED = {"_write_row", "_free_views_from_catalog", "_clone", "verify", "write_json", "prune"}


@contextmanager
def at_lines(fail_before: tuple[str, int] | None = None) -> Iterator[list[tuple[str, int]]]:
    """Collect the lines that run in `publish` and its helpers; raise before one of them."""
    ran: list[tuple[str, int]] = []

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        name = frame.f_code.co_name
        if frame.f_code.co_filename != publication.__file__ or name not in {"publish", *CALLED}:
            return None
        place = (name, frame.f_lineno)
        if event == "line" and place not in ran:
            ran.append(place)
            if place == fail_before:
                raise BoomError
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield ran
    finally:
        sys.settrace(before)


def test_a_publication_is_complete_and_opens_for_readers(settings: Settings) -> None:
    published = publish_example(settings)
    assert published_id(settings) == published.publication_id
    assert read_json(settings.manifest)["publication_id"] == published.publication_id
    with open_published(settings.published) as connection:
        rows = connection.execute(
            f"select count(*) from {MARTS}.fct_health__account_scores"
        ).fetchall()
    assert rows == [(7,)]
    assert not list(settings.home.glob("*.wal"))
    assert not list(settings.home.glob("*.tmp*"))


def test_readers_cannot_reach_anything_but_the_copy(settings: Settings) -> None:
    publish_example(settings)
    with open_published(settings.published) as connection:
        for query in (
            f"select * from read_csv('{settings.manifest}')",
            f"attach '{settings.candidate}' as other",
            "set enable_external_access = true",
        ):
            with pytest.raises(duckdb.Error):
                connection.execute(query)
    with pytest.raises(duckdb.Error), open_published(settings.published) as connection:
        connection.execute(f"delete from {MARTS}.fct_health__publications")


def test_views_work_under_whatever_name_a_reader_opens_the_copy(settings: Settings) -> None:
    publish_example(settings)
    query = "select count(*) from {}customer_health.fct_health__account_scores_current"
    with open_published(settings.published) as connection:
        assert connection.execute(query.format("")).fetchall() == [(5,)]
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"attach '{settings.published}' as anything (read_only)")
        assert connection.execute(query.format("anything.")).fetchall() == [(5,)]
    # dbt finds its own views unchanged.
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"attach '{settings.candidate}' as marts (read_only)")
        assert connection.execute(query.format("marts.")).fetchall() == [(5,)]


@pytest.mark.fault(46)
def test_failure_at_any_line_leaves_the_old_copy_or_the_new_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure before the commit leaves every byte; after it the new copy is whole."""
    monkeypatch.setattr(os, "fsync", lambda _: None)  # nothing is pulled out here: saves seconds
    old = publish_example(settings, number=1)
    with at_lines() as ran:
        old = publish_example(settings, number=2)
    before = settings.published.read_bytes()
    own = [place for place in ran if place[0] == "publish"]
    called = [place for name in CALLED for place in [each for each in ran if each[0] == name][1:2]]
    outcomes = {"old": 0, "new": 0}
    for number, place in enumerate([*own, *called], start=3):
        new = a_publication(number)
        failed = False
        with at_lines(fail_before=place):
            try:
                publication.publish(settings, new)
            except BoomError:
                failed = True
        assert failed, place
        now = published_id(settings)
        if now == old.publication_id:
            assert settings.published.read_bytes() == before, place
            outcomes["old"] += 1
            publication.restore_history(settings)
        else:
            assert now == new.publication_id, place
            outcomes["new"] += 1
            # The next run mends what comes after the commit.
            publication.repair_manifest(settings)
            assert read_json(settings.manifest)["publication_id"] == now, place
            old, before = new, settings.published.read_bytes()
    assert outcomes["old"] > 15
    assert outcomes["new"] >= 5


def test_a_full_disk_leaves_the_copy_alone(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_example(settings)
    before = settings.published.read_bytes()

    def full(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:1000])
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(publication, "_clone", full)
    with pytest.raises(OSError, match="No space"):
        publication.publish(settings, a_publication(2))
    assert settings.published.read_bytes() == before
    assert not list(settings.home.glob("*.tmp*")), "the half copy is removed at once"


def test_a_short_copy_is_noticed_before_it_is_published(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = publish_example(settings)
    monkeypatch.setattr(publication, "_write_row", lambda *_: None)
    with pytest.raises(HealthError, match="as its newest publication"):
        publication.publish(settings, a_publication(2))
    assert published_id(settings) == old.publication_id


def test_a_copy_with_fewer_accounts_than_the_candidate_is_refused(settings: Settings) -> None:
    old = publish_example(settings)
    wrong = a_publication(2)
    with pytest.raises(HealthError, match="holds 5 accounts for 2026-06-30, the candidate 6"):
        publication.publish(
            settings, publication.Publication(**{**vars(wrong), "account_count": 6})
        )
    assert published_id(settings) == old.publication_id


def test_a_view_that_readers_could_not_use_stops_the_publication(settings: Settings) -> None:
    write_candidate(settings.candidate)
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"attach '{settings.candidate}' as marts")
        connection.execute(
            f"create view marts.{MARTS}.broken as from marts.{MARTS}.bi_health__account_360"
        )
        connection.execute(f"drop table marts.{MARTS}.bi_health__account_360")
    with pytest.raises(HealthError, match="readers could not use the view broken"):
        publication.publish(settings, a_publication())
    assert not settings.published.exists()


@pytest.mark.fault(52)
def test_readers_that_hold_the_old_copy_keep_reading_it(settings: Settings) -> None:
    """Real reader in a process of its own, as BI is."""
    old = publish_example(settings, 1)
    reader = subprocess.Popen(
        [sys.executable, "-c", _READER, str(settings.published)],
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert reader.stdin is not None
    assert reader.stdout is not None
    try:
        assert reader.stdout.readline().strip() == old.publication_id
        new = publish_example(settings, 2)
        reader.stdin.write("again\n")
        reader.stdin.flush()
        assert reader.stdout.readline().strip() == old.publication_id
        assert published_id(settings) == new.publication_id
    finally:
        reader.communicate(timeout=10)


_READER = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from customer_health.publication import open_published

    query = "select max(publication_id) from customer_health.fct_health__publications"
    with open_published(Path(sys.argv[1])) as connection:
        print(connection.execute(query).fetchall()[0][0], flush=True)
        sys.stdin.readline()
        print(connection.execute(query).fetchall()[0][0], flush=True)
    """
)


def test_the_last_seven_publications_are_kept(settings: Settings) -> None:
    ids = [publish_example(settings, 1).publication_id]
    first = settings.publications_dir / f"{ids[0]}.duckdb"
    for number in range(2, 9):
        older = a_publication(number)
        ids.append(older.publication_id)
        path = settings.publications_dir / f"{older.publication_id}.duckdb"
        path.write_bytes(first.read_bytes())
        publication.write_json(path.with_suffix(".json"), older.to_dict())
    ids.append(publish_example(settings, 9).publication_id)
    kept = {path.stem for path in settings.publications_dir.glob("*.duckdb")}
    assert kept == set(ids[-7:])
    assert {path.stem for path in settings.publications_dir.glob("*.json")} == kept
    # A whole copy, not a link: damage to the published file does not reach it.
    newest = settings.publications_dir / f"{ids[-1]}.duckdb"
    assert publications_in(newest)[0].publication_id == ids[-1]
    assert newest.stat().st_nlink == 1


def test_nobody_writes_to_a_publication_by_mistake(settings: Settings) -> None:
    publish_example(settings)
    assert settings.published.stat().st_mode & 0o222 == 0


def test_a_stale_log_beside_the_copy_does_not_make_it_unreadable(settings: Settings) -> None:
    """Somebody opened the copy for writing and died: the log must not be read into the new one."""
    publish_example(settings, 1)
    wal = settings.published.with_name("published.duckdb.wal")
    shutil.copyfile(settings.published, settings.home / "other.duckdb")
    with duckdb.connect(str(settings.home / "other.duckdb")) as connection:
        connection.execute(f"delete from {MARTS}.fct_health__account_scores")
        shutil.copyfile(settings.home / "other.duckdb.wal", wal)
    new = publish_example(settings, 2)
    assert not wal.exists()
    assert published_id(settings) == new.publication_id
    publication.verify(settings.published, new)


# -- leftovers ---------------------------------------------------------------------------------
def test_what_a_dead_run_left_is_voided(settings: Settings) -> None:
    published = publish_example(settings)
    before = snapshot_rows(settings.published)
    dead = a_publication(2)
    add_snapshot_row(settings, dead.publication_id)
    publication._write_row(settings, dead)
    assert snapshot_rows(settings.candidate) != before

    lines = publication.restore_history(settings)

    assert len(lines) == 2, lines
    assert snapshot_rows(settings.candidate) == before, "closed rows are open again, too"
    with duckdb.connect(str(settings.candidate)) as connection:
        ids = connection.execute(
            f"select publication_id from {MARTS}.fct_health__publications"
        ).fetchall()
    assert ids == [(published.publication_id,)]
    assert publication.restore_history(settings) == [], "once is enough"


def test_leftovers_before_the_first_publication_are_removed(settings: Settings) -> None:
    write_candidate(settings.candidate)
    dead = a_publication()
    add_snapshot_row(settings, dead.publication_id)
    publication._write_row(settings, dead)
    lines = publication.restore_history(settings)
    assert any("voided 1 publication" in line for line in lines)
    with duckdb.connect(str(settings.candidate)) as connection:
        assert connection.execute("select count(*) from duckdb_tables() where schema_name = "
                                  "'customer_health_snapshots'").fetchall() == [(0,)]  # fmt: skip
        rows = connection.execute(f"from {MARTS}.fct_health__publications").fetchall()
    assert rows == []


def test_a_lost_candidate_gets_its_history_back(settings: Settings) -> None:
    publish_example(settings)
    before = snapshot_rows(settings.published)
    settings.candidate.unlink()
    publication.restore_history(settings)
    assert snapshot_rows(settings.candidate) == before
    with duckdb.connect(str(settings.candidate)) as connection:
        sql = connection.execute(
            "select sql from duckdb_tables() where table_name = 'fct_health__publications'"
        ).fetchall()[0][0]
        assert "NOT NULL" in sql, "constraints come back with the table"
        with pytest.raises(duckdb.Error):
            connection.execute(f"insert into {SNAPSHOT} values (null, null, null, null, null)")
    assert publication.restore_history(settings) == []


def test_a_copy_that_was_kept_but_never_put_in_place_is_removed(settings: Settings) -> None:
    publish_example(settings)
    orphan = settings.publications_dir / "2026-06-30T20260630090000-abcdef.duckdb"
    orphan.write_bytes(b"half")
    orphan.with_suffix(".json").write_text("{}", encoding="utf-8")
    half = settings.home / "x.published.tmp"
    half.write_bytes(b"half")
    lines = publication.restore_history(settings)
    assert len(lines) == 3
    assert not orphan.exists()
    assert not half.exists()


def test_a_damaged_copy_is_replaced_without_losing_history(settings: Settings) -> None:
    old = publish_example(settings)
    settings.published.chmod(0o644)
    settings.published.write_bytes(settings.published.read_bytes()[:8192])
    lines = publication.restore_history(settings)
    assert any(old.publication_id in line for line in lines)
    last = publication.last_publication(settings)
    assert last is not None
    assert last.publication_id == old.publication_id
    publish_example(settings, 2)
    ids = [each.publication_id for each in publications_in(settings.published)]
    assert len(ids) == 2


def test_with_no_readable_copy_at_all_nothing_is_thrown_away(settings: Settings) -> None:
    publish_example(settings)
    rows = snapshot_rows(settings.candidate)
    for path in (settings.published, *settings.publications_dir.glob("*.duckdb")):
        path.chmod(0o644)
        path.write_bytes(b"gone")
    with pytest.raises(HealthError, match="nor can a publication"):
        publication.restore_history(settings)
    assert snapshot_rows(settings.candidate) == rows


def test_a_manifest_behind_the_data_is_repaired(settings: Settings) -> None:
    old = settings.manifest
    publish_example(settings, 1)
    first = old.read_text(encoding="utf-8")
    new = publish_example(settings, 2)
    old.write_text(first, encoding="utf-8")
    last = publication.last_publication(settings)
    assert last is not None
    assert last.publication_id == new.publication_id, "the data have the word"
    assert last.row_counts == {"crm_accounts": 7}
    assert publication.repair_manifest(settings) != []
    assert read_json(settings.manifest)["publication_id"] == new.publication_id
    assert publication.repair_manifest(settings) == []


def test_publication_ids_sort_by_date_then_time_and_never_repeat() -> None:
    from datetime import UTC, datetime

    early = publication.new_publication_id(date(2026, 6, 29), datetime(2026, 7, 2, tzinfo=UTC))
    late = publication.new_publication_id(AS_OF, datetime(2026, 6, 30, 9, tzinfo=UTC))
    later = publication.new_publication_id(AS_OF, datetime(2026, 7, 1, 1, tzinfo=UTC))
    assert sorted([later, late, early]) == [early, late, later]
    assert len({publication.new_publication_id(AS_OF) for _ in range(50)}) == 50


# -- kill -9 -----------------------------------------------------------------------------------
@pytest.mark.fault(46)
def test_kill_9_while_publishing_leaves_a_whole_copy(settings: Settings) -> None:
    """A publisher in a loop is killed at five moments; readers always find a whole copy."""
    publish_example(settings, 1)
    for attempt in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", _PUBLISHER, str(settings.project_dir), str(attempt)],
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "publishing"
        time.sleep(0.03 + 0.021 * attempt)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=10)
        newest = publications_in(settings.published)[0]
        publication.verify(settings.published, newest)
        publication.restore_history(settings)
        publication.repair_manifest(settings)
        assert read_json(settings.manifest)["publication_id"] == newest.publication_id
        assert snapshot_rows(settings.candidate) == snapshot_rows(settings.published)
    publish_example(settings, 9_999)


_PUBLISHER = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from small_marts import make_project, publish_example

    settings = make_project(Path(sys.argv[1]))
    print("publishing", flush=True)
    for number in range(100):
        publish_example(settings, 1_000 * (int(sys.argv[2]) + 1) + number)
    """
)
