"""The ledger: what is written lasts, what is damaged or another's is refused."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from small_marts import ENVIRONMENT, make_project

from customer_health.errors import BusyError, HealthError
from customer_health.settings import Settings
from customer_health.sync import ledger as ledgers
from customer_health.sync.ledger import Confirmed, Ledger, Rejected, Sync, Waiting
from customer_health.sync.mapping import Published

IDENTITY = {"type": "hubspot", "object": "companies"}
NOW = Published("p1", datetime(2026, 6, 30, 6), date(2026, 6, 30))
LATER = Published("p2", datetime(2026, 7, 1, 6), date(2026, 7, 1))
COUNTS = dict.fromkeys(ledgers.COUNTS, 0)
HASH, OTHER = b"h" * 16, b"o" * 16


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sync" / "crm.sqlite"


def begin(ledger: Ledger, published: Published = NOW, **more: Any) -> Sync:
    accepted = {"accepted_changes": False, "accepted_older": False}
    return ledger.begin(published, COUNTS, **(accepted | more))


def test_what_was_confirmed_is_there_when_it_is_opened_again(path: Path) -> None:
    with ledgers.opened(path, IDENTITY) as ledger:
        begun = begin(ledger)
        ledger.mark(["a", "b", "c", "d"])
        ledger.settle(
            begun,
            NOW,
            [
                Confirmed("a", HASH, "healthy"),
                Rejected("b", HASH, "bad", 1, False, False),
                Waiting("c", True),
                Waiting("d", False),
            ],
            requests=3,
            about_to_send=["e"],
        )
        ledger.end(begun, NOW, ledgers.OK)
    with ledgers.looked_at(path) as found:
        assert found is not None
        records = found.records()
        assert found.totals() == {"confirmed": 1, "unsure": 2, "rejected": 1, "dead": 0}
        assert found.last_confirmed() == NOW
        row = found.syncs(5)[0]
    assert set(records) == {"a", "b", "c", "e"}, "d was certainly not taken, so it leaves"
    assert records["a"] == ledgers.Known(HASH, "healthy", False, None, 0, False)
    assert records["b"] == ledgers.Known(None, None, False, HASH, 1, False)
    assert records["c"].is_unsure
    assert records["e"].is_unsure
    assert (row["outcome"], row["confirmed_count"], row["rejected_count"]) == ("ok", 1, 1)
    assert row["request_count"] == 3


def test_a_rejection_leaves_what_was_confirmed_and_a_confirmation_ends_it(path: Path) -> None:
    with ledgers.opened(path, IDENTITY) as ledger:
        begun = begin(ledger)
        ledger.settle(begun, NOW, [Confirmed("a", HASH, "healthy")], requests=1)
        ledger.settle(begun, NOW, [Rejected("a", OTHER, "bad", 5, True, False)], requests=2)
        assert ledger.records()["a"] == ledgers.Known(HASH, "healthy", False, OTHER, 5, True)
        reasons = ledger.refusals(dead=True)
        assert [(each["reason"], each["records"], each["keys"]) for each in reasons] == [
            ("bad", 1, ["a"])
        ]
        assert ledger.refusals(dead=False) == []
        ledger.settle(begun, LATER, [Confirmed("a", OTHER, "at_risk")], requests=3)
        assert ledger.records()["a"] == ledgers.Known(OTHER, "at_risk", False, None, 0, False)
        ledger.settle(begun, LATER, [Confirmed("a", None, None)], requests=4)
        assert ledger.records() == {}, "what was cleared leaves"


def test_nothing_is_confirmed_by_a_sync_that_confirmed_nothing(path: Path) -> None:
    with ledgers.opened(path, IDENTITY) as ledger:
        begun = begin(ledger)
        ledger.settle(begun, NOW, [Waiting("a", True)], requests=1)
        ledger.end(begun, NOW, ledgers.STOPPED, "down")
        assert ledger.last_confirmed() is None
        ledger.end(begun, NOW, ledgers.OK)
        assert ledger.last_confirmed() == NOW, "a whole publication is confirmed by its end"


def test_a_delivery_keeps_its_id_until_it_ended_well(path: Path) -> None:
    with ledgers.opened(path, IDENTITY) as ledger:
        first = begin(ledger, accepted_changes=True)
        ledger.end(first, NOW, ledgers.STOPPED, "down")
        assert ledger.accepted(NOW) == (True, False)
        assert ledger.accepted(LATER) == (False, False)
        ledger.note_refusal(LATER, COUNTS, "too much")
        assert ledger.accepted(NOW) == (True, False), "a refused sync sent nothing"
        killed = begin(ledger, accepted_changes=True)
        assert killed.delivery_id == first.delivery_id
        third = begin(ledger)
        assert third.delivery_id == first.delivery_id
        ledger.end(third, NOW, ledgers.OK)
        assert ledger.accepted(NOW) == (False, False)
        fourth = begin(ledger)
        assert fourth.delivery_id != first.delivery_id
        assert begin(ledger, LATER).delivery_id != fourth.delivery_id


def test_old_syncs_are_dropped(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledgers, "KEPT_SYNCS", 3)
    with ledgers.opened(path, IDENTITY) as ledger:
        for _ in range(6):
            begin(ledger)
        assert [row["number"] for row in ledger.syncs(10)] == [6, 5, 4]


def test_another_destination_is_not_believed(path: Path) -> None:
    with ledgers.opened(path, IDENTITY):
        pass
    changed = IDENTITY | {"object": "contacts"}
    with (
        pytest.raises(HealthError, match=r"object companies -> contacts.*give the destination a"),
        ledgers.opened(path, changed),
    ):
        pass


def test_a_secret_address_is_compared_but_not_shown(path: Path) -> None:
    with ledgers.opened(path, {"type": "webhook", "url": "https://h", "url_sha256": "aaa"}):
        pass
    with ledgers.looked_at(path) as ledger:
        assert ledger is not None
        ledger.check_identity({"type": "webhook"})
        with pytest.raises(HealthError, match="another URL") as caught:
            ledger.check_identity({"type": "webhook", "url": "https://h", "url_sha256": "bbb"})
    assert "bbb" not in caught.value.message


@pytest.mark.parametrize("size", [0, 1, 100, 4096, -4096])
def test_a_truncated_ledger_is_refused_whatever_is_left(path: Path, size: int) -> None:
    with ledgers.opened(path, IDENTITY) as ledger:
        begun = begin(ledger)
        ledger.settle(
            begun, NOW, [Confirmed(f"key {n}", HASH, "healthy") for n in range(2000)], requests=1
        )
    content = path.read_bytes()
    assert len(content) > 20_000
    path.write_bytes(content[:size])
    for open_it in (lambda: ledgers.opened(path, IDENTITY), lambda: ledgers.looked_at(path)):
        with (
            pytest.raises(HealthError, match=r"is damaged.*put a copy of it back, or move"),
            open_it(),
        ):
            pass


def test_scribbled_pages_are_refused(path: Path) -> None:
    with ledgers.opened(path, IDENTITY) as ledger:
        begun = begin(ledger)
        ledger.settle(
            begun, NOW, [Confirmed(f"key {n}", HASH, "healthy") for n in range(2000)], requests=1
        )
    content = bytearray(path.read_bytes())
    content[4096 * 3 : 4096 * 5] = b"\xaa" * (4096 * 2)
    path.write_bytes(content)
    with pytest.raises(HealthError, match="is damaged"), ledgers.opened(path, IDENTITY):
        pass


def test_another_sqlite_file_is_no_ledger(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("create table t (a)")
    with pytest.raises(HealthError, match="it is no ledger"), ledgers.opened(path, IDENTITY):
        pass


def test_a_newer_form_is_left_alone(path: Path) -> None:
    with ledgers.opened(path, IDENTITY):
        pass
    with sqlite3.connect(path) as connection:
        connection.execute("pragma user_version = 99")
    with pytest.raises(HealthError, match="newer version"), ledgers.opened(path, IDENTITY):
        pass


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        # root may write anywhere: a file in the place of the folder stops everyone
        (tmp_path / "sync").write_text("x")
    else:
        (tmp_path / "sync").mkdir(mode=0o500)
    with (
        pytest.raises((HealthError, OSError)) as caught,
        ledgers.opened(tmp_path / "sync" / "crm.sqlite", IDENTITY),
    ):
        pass
    assert "sync" in str(caught.value)


def test_looking_writes_nothing(path: Path) -> None:
    with ledgers.looked_at(path) as ledger:
        assert ledger is None
    assert not path.parent.exists()
    with ledgers.opened(path, IDENTITY) as ledger:
        begun = begin(ledger)
        ledger.settle(begun, NOW, [Confirmed("a", HASH, "healthy")], requests=1)
    before = {each: each.read_bytes() for each in path.parent.iterdir()}
    with ledgers.looked_at(path) as found:
        assert found is not None
        assert set(found.records()) == {"a"}
        with pytest.raises(HealthError):
            found.mark(["b"])
    assert {each: each.read_bytes() for each in path.parent.iterdir()} == before


WRITE_AND_DIE = """
import os, signal, sys
from datetime import date, datetime
from pathlib import Path
from customer_health.sync import ledger as ledgers
from customer_health.sync.mapping import Published
now = Published("p1", datetime(2026, 6, 30, 6), date(2026, 6, 30))
with ledgers.opened(Path(sys.argv[1]), {"type": "hubspot", "object": "companies"}) as ledger:
    begun = ledger.begin(now, dict.fromkeys(ledgers.COUNTS, 0), accepted_changes=False,
                         accepted_older=False)
    ledger.mark(["a", "b"])
    ledger.settle(begun, now, [ledgers.Confirmed("a", b"h" * 16, "healthy")], requests=1,
                  about_to_send=["c"])
    with ledger._transaction():
        ledger._run("delete from records")
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kill_loses_nothing_that_was_written_and_adds_nothing(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WRITE_AND_DIE, str(path)], env=ENVIRONMENT, check=False
    )
    assert done.returncode == -9
    with ledgers.looked_at(path) as found:
        assert found is not None
        assert found.records()["a"] == ledgers.Known(HASH, "healthy", False, None, 0, False)
    with ledgers.opened(path, IDENTITY) as ledger:
        records = ledger.records()
        assert records["a"].confirmed_hash == HASH
        assert records["b"].is_unsure and records["c"].is_unsure
        assert ledger.syncs(1)[0]["outcome"] is None
    assert sorted(each.name for each in path.parent.iterdir()) == ["crm.sqlite"]


def test_the_durable_settings_are_on(path: Path) -> None:
    with ledgers.opened(path, IDENTITY) as ledger:
        assert ledger._rows("pragma journal_mode") == [("wal",)]
        assert ledger._rows("pragma synchronous") == [(2,)], "full"


# -- lock and erasure ----------------------------------------------------------------------------
@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_project(tmp_path / "project")


def test_one_destination_is_locked_and_others_are_not(settings: Settings) -> None:
    with ledgers.lock(settings, "crm", "sync crm", lambda _: None):
        with (
            pytest.raises(BusyError, match=r"\(sync crm, process \d+") as caught,
            ledgers.lock(settings, "crm", "sync crm", lambda _: None),
        ):
            pass
        assert caught.value.exit_code == 3
        with ledgers.lock(settings, "other", "sync other", lambda _: None):
            pass
    with ledgers.lock(settings, "crm", "sync crm", lambda _: None):
        pass


def test_an_erasure_leaves_no_byte_and_names_who_has_them(settings: Settings) -> None:
    gone, stays = "ACC-TO-BE-ERASED", "ACC-THAT-STAYS"
    for name, keys in (("one", (gone, stays)), ("two", (stays,))):
        with ledgers.opened(ledgers.path_of(settings, name), IDENTITY) as ledger:
            begun = begin(ledger)
            ledger.settle(begun, NOW, [Confirmed(key, HASH, "healthy") for key in keys], requests=1)
            many = [f"{gone}-{number}" for number in range(2000)]
            ledger.settle(begun, NOW, [Confirmed(key, HASH, "h") for key in many], requests=1)
            said = Rejected(stays, OTHER, f"conflicts with {gone}", 1, False, False)
            ledger.settle(begun, NOW, [said], requests=2)
            ledger.end(begun, NOW, ledgers.STOPPED, f"400: {gone}")
    assert ledgers.erase(settings, [gone, *many]) == {"one": 2001, "two": 2000}
    for name in ("one", "two"):
        path = ledgers.path_of(settings, name)
        content = b"".join(each.read_bytes() for each in path.parent.glob(f"{name}.*"))
        assert gone.encode() not in content
        assert stays.encode() in content
        with ledgers.looked_at(path) as found:
            assert found is not None
            assert set(found.records()) == {stays}
            # some builds of SQLite overwrite what they delete, others leave it in free pages
            assert found._rows("pragma freelist_count") == [(0,)]
            assert found.refusals(dead=False)[0]["reason"] == "erased"
