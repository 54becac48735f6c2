"""Files: one per sync, all at once, and a repeated delivery replaces its own."""

from __future__ import annotations

import csv
import os
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from sync_world import FIELDS, World, account, action

from customer_health.errors import HealthError
from customer_health.sync import drop
from customer_health.sync.ledger import Ledger

KEYS = [f"A{number:03d}" for number in range(12)]
COLUMNS = ["key", "operation", *FIELDS]


class Died(BaseException):
    """As if the process had been killed."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.configure("drop", type="files", folder="out", fields=FIELDS)
    return world


def rows(*keys: str, **changes: Any) -> list[dict[str, Any]]:
    return [account(key, **changes) for key in keys or KEYS]


def files(world: World) -> list[Path]:
    return sorted((world.settings.project_dir / "out").glob("*"))


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_file_holds_what_has_changed(world: World) -> None:
    first = world.publish(rows())
    result = world.sync("drop")
    assert (result.confirmed, result.requests) == (12, 0)
    (path,) = files(world)
    assert str(path) == result.file
    assert path.name.startswith(f"drop-{first}-") and path.suffix == ".csv"
    assert list(read(path)[0]) == COLUMNS
    assert read(path)[0] == {
        "key": "A000", "operation": "update", "score": "64", "band": "healthy",
        "next_step": "Call the champion", "renewal": "2026-11-02",
        "link": "https://dash.example.com/?account=A000", "publication": first,
        "scored_on": "2026-06-02",
    }  # fmt: skip
    second = world.publish([account(KEYS[1], health_score=5), *rows(*KEYS[2:])])
    world.sync("drop")
    newest = next(each for each in files(world) if each != path)
    assert [(row["key"], row["operation"], row["score"]) for row in read(newest)] == [
        ("A000", "clear", ""),
        ("A001", "update", "5"),
    ]
    assert read(newest)[0]["publication"] == second
    assert world.sync("drop").file is None
    assert len(files(world)) == 2, "nothing changed, no file"


def test_parquet_has_the_types_of_the_columns_even_where_all_is_null(world: World) -> None:
    fields = FIELDS | {"expansion": "expansion_score", "at": "published_at"}
    world.configure("drop", type="files", folder="out", fields=fields, format="parquet")
    name = world.publish(rows(renewal_date=None, health_score=None))
    world.sync("drop")
    (path,) = files(world)
    table = pq.read_table(path)
    types = {field.name: str(field.type) for field in table.schema}
    assert types == {
        "key": "string", "operation": "string", "score": "int64", "band": "string",
        "next_step": "string", "renewal": "date32[day]", "link": "string",
        "publication": "string", "scored_on": "date32[day]", "expansion": "int64",
        "at": "timestamp[us, tz=UTC]",
    }  # fmt: skip
    row = table.to_pylist()[0]
    assert row["renewal"] is None and row["score"] is None
    assert (row["scored_on"], row["expansion"], row["publication"]) == (
        date(2026, 6, 2), 40, name
    )  # fmt: skip
    assert row["at"] == datetime(2026, 6, 2, 6, tzinfo=UTC)


def test_parquet_of_actions_keeps_amounts_as_they_are(world: World) -> None:
    fields = {"arr": "arr_amount", "priority": "priority", "due": "due_date"}
    world.configure(
        "drop", type="files", folder="out", records="actions", fields=fields, format="parquet"
    )
    world.publish(rows(), [action("=a-1", "A000", arr_amount=14400.5)])
    world.sync("drop")
    table = pq.read_table(files(world)[0])
    assert str(table.schema.field("arr").type) == "double"
    assert table.to_pylist() == [
        {"key": "=a-1", "operation": "update", "arr": 14400.5, "priority": 1,
         "due": date(2026, 7, 1)}
    ]  # fmt: skip


def test_no_cell_of_a_csv_is_a_formula(world: World) -> None:
    formula = '=HYPERLINK("http://x.example","A")'
    world.publish([account("A1", next_action=formula, health_score=-5)])
    world.sync("drop")
    (row,) = read(files(world)[0])
    assert row["next_step"] == f"'{formula}"
    assert row["score"] == "-5", "numbers stay"


@pytest.mark.parametrize("moment", ["before the file", "before its name", "before the ledger"])
def test_a_sync_that_died_leaves_one_whole_file_when_it_is_repeated(
    world: World, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    name = world.publish(rows())

    def die(*_: object, **__: object) -> None:
        raise Died

    with monkeypatch.context() as patched:
        if moment == "before the file":
            patched.setattr(drop, "_write_csv", die)
        elif moment == "before its name":
            patched.setattr(drop, "sync_folder", die)
        else:
            patched.setattr(Ledger, "settle", die)
        patched.setattr(Ledger, "end", die)
        with pytest.raises(Died):
            world.sync("drop")
    assert len(files(world)) == (moment != "before the file")
    assert world.sync("drop").confirmed == 12
    (path,) = files(world)
    assert len(read(path)) == 12 and name in path.name
    assert world.sync("drop").to_send == 0


def test_what_was_delivered_is_never_changed_by_a_later_sync(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the file was in place; then there is a newer publication."""
    world.publish(rows())

    def die(*_: object, **__: object) -> None:
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "settle", die)
        patched.setattr(Ledger, "end", die)
        with pytest.raises(Died):
            world.sync("drop")
    (first,) = files(world)
    before = first.read_bytes()
    world.publish(rows(*KEYS[1:]))
    assert world.sync("drop").counts["cleared"] == 1, "it may have been read already"
    assert first.read_bytes() == before
    assert len(files(world)) == 2


def test_a_file_that_is_confirmed_is_not_replaced_by_what_came_after(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the confirmation and the note of the end; then `forget` takes one out."""
    world.publish(rows(), number=1)

    def die(*_: object, **__: object) -> None:
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "end", die)
        with pytest.raises(Died):
            world.sync("drop")
    (first,) = files(world)
    world.publish(rows(*KEYS[1:]), number=1)
    assert world.sync("drop").counts["cleared"] == 1
    assert len(read(first)) == 12
    assert len(files(world)) == 2


def test_a_new_mapping_of_the_same_publication_is_a_file_of_its_own(world: World) -> None:
    world.publish(rows())
    world.sync("drop")
    world.configure("drop", type="files", folder="out", fields=FIELDS | {"trend": "trend"})
    world.sync("drop")
    assert [len(read(path)) for path in files(world)] == [12, 12]


def test_leftovers_are_removed_and_others_are_not(world: World) -> None:
    folder = world.settings.project_dir / "out"
    folder.mkdir()
    name = world.publish(rows())
    mine = folder / f".drop-{name}-x.csv.77.tmp"
    others = [folder / f".drop-two-{name}-x.csv.77.tmp", folder / ".notes.tmp"]
    for path in (mine, *others):
        path.write_text("half")
    world.sync("drop")
    assert not mine.exists()
    assert all(path.exists() for path in others)


def test_a_folder_that_cannot_be_written_is_one_line(world: World) -> None:
    (world.settings.project_dir / "out").write_text("a file in its place")
    world.publish(rows())
    with pytest.raises(HealthError, match=r"drop: .*out cannot be written") as caught:
        world.sync("drop")
    assert "(0 of 12 records are confirmed, 12 wait for the next sync)" in caught.value.message
    (world.settings.project_dir / "out").unlink()
    assert world.sync("drop").confirmed == 12


def test_a_full_disk_leaves_no_half_file(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.publish(rows())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(drop, "_write_csv", full)
        with pytest.raises(HealthError, match=r"No space left on device\): free space"):
            world.sync("drop")
    assert files(world) == []
    assert world.sync("drop").confirmed == 12


def test_a_file_is_on_the_disk_before_it_is_confirmed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    for module, name in ((os, "fsync"), (os, "replace")):
        real = getattr(module, name)

        def noted(*arguments: Any, _real: Any = real, _name: str = name) -> Any:
            order.append(_name)
            return _real(*arguments)

        monkeypatch.setattr(module, name, noted)
    settle = Ledger.settle

    def settled(self: Ledger, *arguments: Any, **named: Any) -> None:
        order.append("settle")
        settle(self, *arguments, **named)

    monkeypatch.setattr(Ledger, "settle", settled)
    world.publish(rows())
    order.clear()
    world.sync("drop")
    made = ["replace", "fsync"]  # the ledger, before anything is sent
    assert order[: order.index("settle") + 1] == [*made, "fsync", "replace", "fsync", "settle"]
