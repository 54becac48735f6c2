"""Going back to a kept publication, forward again, and on from there."""

from __future__ import annotations

import json
import os
import re
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest
from small_marts import (
    AS_OF,
    MARTS,
    a_publication,
    add_snapshot_row,
    call,
    make_project,
    publish_example,
    read_json,
    snapshot_rows,
)

from customer_health import publication, rollback
from customer_health.errors import HealthError, UsageError
from customer_health.publication import Publication, publications_in
from customer_health.settings import Settings


@pytest.fixture(autouse=True)
def _quick(plain_terminal: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)  # nothing is pulled out here: saves seconds


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_project(tmp_path / "project")


@pytest.fixture
def three(settings: Settings) -> list[Publication]:
    """Three publications, the oldest first; readers have the third."""
    return [publish_example(settings, number) for number in (1, 2, 3)]


def published_id(settings: Settings) -> str:
    return publications_in(settings.published)[0].publication_id


def damage(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def test_back_to_the_one_before_with_manifest_and_history(
    settings: Settings, three: list[Publication]
) -> None:
    result = call(settings, "rollback", "--yes")
    assert result.exit_code == 0, result.output
    assert f"readers have {three[1].publication_id}" in result.output
    assert f"`customer-health rollback {three[2].publication_id}`" in result.output
    listed = [each.publication_id for each in publications_in(settings.published)]
    assert listed == [three[1].publication_id, three[0].publication_id], "the third is not listed"
    assert read_json(settings.manifest)["publication_id"] == three[1].publication_id
    assert read_json(settings.manifest)["row_counts"] == {"crm_accounts": 7}
    assert settings.published.stat().st_mode & 0o222 == 0
    assert not list(settings.home.glob("*.tmp*"))
    # Again: one further back.
    assert call(settings, "rollback", "--yes").exit_code == 0
    assert published_id(settings) == three[0].publication_id
    result = call(settings, "rollback", "--yes")
    assert result.exit_code == 1
    assert "nothing older than" in result.stderr


def test_what_was_rolled_back_is_kept_until_the_next_publication(
    settings: Settings, three: list[Publication]
) -> None:
    third = settings.publications_dir / f"{three[2].publication_id}.duckdb"
    assert call(settings, "rollback", three[0].publication_id, "--yes").exit_code == 0
    # A run that is refused takes history back, and must not take the way forward away.
    publication.restore_history(settings)
    assert third.exists()
    states = {each.publication_id: each.state for each in rollback.list_kept(settings)}
    assert [states[each.publication_id] for each in three] == ["current", "withdrawn", "withdrawn"]
    # Forward to the second: the third may still be taken, too.
    assert call(settings, "rollback", three[1].publication_id, "--yes").exit_code == 0
    assert published_id(settings) == three[1].publication_id
    publication.restore_history(settings)
    assert third.exists()
    assert call(settings, "rollback", three[2].publication_id, "--yes").exit_code == 0
    assert [each.publication_id for each in publications_in(settings.published)] == [
        each.publication_id for each in reversed(three)
    ]
    assert not settings.withdrawal.exists()
    # Back once more, and a new publication: now it is gone, and the command says what there is.
    assert call(settings, "rollback", three[0].publication_id, "--yes").exit_code == 0
    publication.restore_history(settings)
    fourth = publish_example(settings, 4)
    assert not third.exists()
    assert not settings.withdrawal.exists()
    result = call(settings, "rollback", three[2].publication_id, "--yes")
    assert result.exit_code == 2
    assert "no publication" in result.stderr
    assert "rollback --list" in result.stderr
    listed = [each.publication_id for each in publications_in(settings.published)]
    assert listed == [fourth.publication_id, three[0].publication_id]


def test_history_goes_on_from_what_readers_have(
    settings: Settings, three: list[Publication]
) -> None:
    before = snapshot_rows(settings.publications_dir / f"{three[1].publication_id}.duckdb")
    assert call(settings, "rollback", "--yes").exit_code == 0
    publication.restore_history(settings)
    assert snapshot_rows(settings.candidate) == before
    last = publication.last_publication(settings)
    assert last is not None
    assert last.publication_id == three[1].publication_id
    with duckdb.connect(str(settings.candidate), read_only=True) as connection:
        ids = connection.execute(
            f"select publication_id from {MARTS}.fct_health__publications order by published_at"
        ).fetchall()
    assert ids == [(three[0].publication_id,), (three[1].publication_id,)]


def test_the_candidate_that_was_rolled_back_is_not_published_again(
    settings: Settings, three: list[Publication]
) -> None:
    publication.write_json(settings.candidate_state, {"state": "built", "run_id": "r1"})
    assert call(settings, "rollback", "--yes").exit_code == 0
    result = call(settings, "publish")
    assert result.exit_code == 1
    assert "the candidate holds what was rolled back" in result.stderr
    assert published_id(settings) == three[1].publication_id


def test_advice_names_the_dates_that_a_run_would_not_build_again(settings: Settings) -> None:
    older = a_publication(1, AS_OF - timedelta(days=20))
    newer = a_publication(2, AS_OF)
    plan = rollback.Plan(older, Path("x"), newer, frozenset({newer.publication_id}))
    assert "--backfill 2026-06-11 2026-06-30" in rollback.advice(settings, plan)
    near = rollback.Plan(
        a_publication(1, AS_OF - timedelta(days=1)), Path("x"), newer, plan.withdrawn
    )
    assert "--backfill" not in rollback.advice(settings, near)


@pytest.mark.parametrize("how", ["truncated", "missing", "empty", "flipped"])
@pytest.mark.fault(53)
def test_a_damaged_copy_is_replaced_by_the_newest_whole_one(
    settings: Settings, three: list[Publication], how: str
) -> None:
    settings.published.chmod(0o644)
    content = bytearray(settings.published.read_bytes())
    if how == "missing":
        settings.published.unlink()
    elif how == "flipped":
        # Damage in one of the blocks with data, which opening alone does not notice.
        for place in range(12_288, len(content), 4096):
            content[place] ^= 0xFF
        settings.published.write_bytes(content)
    else:
        settings.published.write_bytes(content[: 0 if how == "empty" else len(content) * 2 // 3])
    result = call(settings, "rollback", "--yes", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["publication"]["publication_id"] == three[2].publication_id
    assert json.loads(result.stdout)["withdrawn"] == []
    assert published_id(settings) == three[2].publication_id
    publication.read_through(settings.published)


def test_damaged_kept_copies_are_passed_over(settings: Settings, three: list[Publication]) -> None:
    damage(settings.published)
    damage(settings.publications_dir / f"{three[2].publication_id}.duckdb")
    result = call(settings, "rollback", "--yes")
    assert result.exit_code == 0, result.output
    assert "is damaged and was passed over" in result.stderr
    assert published_id(settings) == three[1].publication_id


def test_nothing_whole_is_one_line(settings: Settings, three: list[Publication]) -> None:
    for path in (settings.published, *settings.publications_dir.glob("*.duckdb")):
        damage(path)
    before = settings.published.read_bytes()
    result = call(settings, "rollback", "--yes")
    assert result.exit_code == 1
    assert "no kept publication is whole" in result.stderr
    assert settings.published.read_bytes() == before


def test_what_was_rolled_back_does_not_come_back_when_the_copy_is_damaged(
    settings: Settings, three: list[Publication]
) -> None:
    assert call(settings, "rollback", "--yes").exit_code == 0
    damage(settings.published)
    reference = publication.find_reference(settings)
    assert reference is not None
    assert reference.stem == three[1].publication_id
    assert call(settings, "rollback", "--yes").exit_code == 0
    assert published_id(settings) == three[1].publication_id
    assert (settings.publications_dir / f"{three[2].publication_id}.duckdb").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "say so with --yes (nothing was changed)"),
        (("--json",), 2, "say so with --yes"),
        (("2026-06-30T20260630080100-000000", "--yes"), 2, "the nearest is 2026-06-30T"),
        (("../../published", "--yes"), 2, "no publication '../../published' is kept"),
    ],
)
def test_what_makes_no_sense_changes_nothing(
    settings: Settings,
    three: list[Publication],
    arguments: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    before = settings.published.read_bytes()
    result = call(settings, "rollback", *arguments)
    assert result.exit_code == code, result.output
    assert message in " ".join(result.stderr.split())
    assert settings.published.read_bytes() == before
    assert not settings.withdrawal.exists()


def test_the_current_one_is_refused(settings: Settings, three: list[Publication]) -> None:
    with pytest.raises(UsageError, match=r"readers have .* already"):
        rollback.plan_rollback(settings, three[2].publication_id)


def test_without_any_publication_it_says_so(settings: Settings) -> None:
    assert "`customer-health run` makes one" in call(settings, "rollback", "--yes").stderr
    assert "No publication is kept." in call(settings, "rollback", "--list").output


def test_the_list_shows_what_is_kept(settings: Settings, three: list[Publication]) -> None:
    damage(settings.publications_dir / f"{three[0].publication_id}.duckdb")
    result = call(settings, "rollback", "--list")
    rows = [line for line in result.output.splitlines() if "2026-06-30T" in line]
    assert len(rows) == 3
    assert "current" in rows[0]
    assert re.search(r"2026-06-30 08:03\s+4\s+[\d.]+ MB\s+current", rows[0]), rows[0]
    assert "damaged" in rows[2]
    kept = json.loads(call(settings, "rollback", "--list", "--json").stdout)["kept"]
    assert [each["state"] for each in kept] == ["current", "kept", "damaged"]
    assert kept[1]["scored_account_count"] == 4
    assert not list(settings.runs_dir.iterdir()), "looking takes no lock and leaves no run"


def test_a_reader_that_holds_the_old_copy_keeps_it(
    settings: Settings, three: list[Publication]
) -> None:
    with publication.open_published(settings.published) as connection:
        assert call(settings, "rollback", "--yes").exit_code == 0
        ids = connection.execute(f"from {MARTS}.fct_health__publications").fetchall()
    assert len(ids) == 3


class BoomError(Exception):
    """The injected failure."""


@pytest.mark.parametrize("step", ["_clone", "read_through", "write_json", "os.replace", "after"])
@pytest.mark.fault(46)
def test_a_death_at_any_step_leaves_one_or_the_other(
    settings: Settings, three: list[Publication], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def boom(*_: object, **__: object) -> None:
        raise BoomError

    plan = rollback.plan_rollback(settings)
    with monkeypatch.context() as patched:
        if step == "os.replace":
            patched.setattr(publication.os, "replace", boom)
        elif step == "after":
            patched.setattr(publication, "_write_manifest", boom)
        else:
            patched.setattr(publication, step, boom)
        with pytest.raises(BoomError):
            rollback.roll_back(settings, plan)
    expected = three[1] if step == "after" else three[2]
    assert published_id(settings) == expected.publication_id
    publication.restore_history(settings)
    publication.repair_manifest(settings)
    assert read_json(settings.manifest)["publication_id"] == expected.publication_id
    assert len(list(settings.publications_dir.glob("*.duckdb"))) == 3, "no way is cut off"


# -- how many are kept -------------------------------------------------------------------------
def with_limit(settings: Settings, keep_bytes: int | None) -> Settings:
    return Settings(settings.project_dir, settings.home, keep_bytes=keep_bytes)


def test_a_byte_limit_keeps_fewer_but_never_less_than_two(
    settings: Settings, three: list[Publication]
) -> None:
    size = settings.published.stat().st_size
    publication.prune(with_limit(settings, 3 * size + 10))
    assert len(list(settings.publications_dir.glob("*.duckdb"))) == 3
    publication.prune(with_limit(settings, size // 2))
    kept = {path.stem for path in settings.publications_dir.glob("*.duckdb")}
    assert kept == {three[1].publication_id, three[2].publication_id}
    assert {path.stem for path in settings.publications_dir.glob("*.json")} == kept
    assert call(settings, "rollback", "--yes").exit_code == 0


@pytest.mark.parametrize(
    ("text", "size"),
    [("123456", 123_456), ("20GB", 20 * 10**9), ("1.5 MB", 1_500_000), ("2KiB", 2048), ("", None)],
)
def test_the_byte_limit_comes_from_the_environment(
    settings: Settings, text: str, size: int | None
) -> None:
    environ = {"CUSTOMER_HEALTH_KEEP_BYTES": text}
    assert Settings.resolve(settings.project_dir, environ=environ).keep_bytes == size


def test_a_byte_limit_that_is_no_size_is_refused(settings: Settings) -> None:
    with pytest.raises(UsageError, match="CUSTOMER_HEALTH_KEEP_BYTES: 'much' is no size"):
        Settings.resolve(settings.project_dir, environ={"CUSTOMER_HEALTH_KEEP_BYTES": "much"})


def test_a_truncated_copy_is_noticed_even_where_its_last_blocks_are_free(
    settings: Settings, three: list[Publication]
) -> None:
    settings.published.chmod(0o644)
    with settings.published.open("r+b") as file:
        file.truncate(settings.published.stat().st_size - 1)
    with pytest.raises(HealthError, match=r"is truncated: [\d,]+ bytes are there"):
        publications_in(settings.published)


def test_a_run_for_the_same_date_goes_on_after_a_rollback(
    settings: Settings, three: list[Publication]
) -> None:
    assert call(settings, "rollback", "--yes").exit_code == 0
    publication.restore_history(settings)
    again = a_publication(9, date(2026, 6, 30))
    add_snapshot_row(settings, again.publication_id)
    assert publication.publish(settings, again) == []
    listed = [each.publication_id for each in publications_in(settings.published)]
    assert listed == [each.publication_id for each in (again, three[1], three[0])]
