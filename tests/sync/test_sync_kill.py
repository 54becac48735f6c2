"""`kill -9` of a sync, for real: the process ends at a moment of the test's choice.

The command line runs as a process of its own against the HTTP double, which kills it before or
after a write took effect, or some time after the start. Then the same command again has to make
the CRM equal to the publication; and what was confirmed before the kill is not sent a second time.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crm_double import Crm, Fault, serving
from small_marts import ENVIRONMENT as PROCESS_ENVIRONMENT
from sync_world import ENVIRONMENT, World, account, expected_fields, hubspot, webhook

from customer_health.sync import ledger as ledgers

KEYS = [f"A{number:03d}" for number in range(60)]
BATCH = 6
BATCHES = len(KEYS) // BATCH


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def crm(world: World) -> Iterator[Crm]:
    with serving(Crm(KEYS)) as crm:
        world.configure("crm", **hubspot(crm, batch_size=BATCH))
        world.publish([account(key) for key in KEYS])
        yield crm


def command(world: World, *arguments: str) -> list[str]:
    settings = world.settings
    where = ["--project-dir", str(settings.project_dir), "--home", str(settings.home)]
    return [sys.executable, "-m", "customer_health", *where, "sync", *arguments]


def environment() -> dict[str, str]:
    clean = {
        name: value
        for name, value in PROCESS_ENVIRONMENT.items()
        if not name.startswith("CUSTOMER_HEALTH_")
    }
    return {**clean, **ENVIRONMENT}


def start(world: World, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(world, *arguments),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(world: World, *arguments: str) -> dict[str, Any]:
    """A sync that ends well."""
    done = subprocess.run(
        command(world, *arguments, "--json"),
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def confirmed(world: World) -> set[str]:
    """What the ledger says was confirmed; looked at as `status` does, right after the kill."""
    with ledgers.looked_at(ledgers.path_of(world.settings, "crm")) as ledger:
        if ledger is None:
            return set()
        records = ledger.records().items()
        return {key for key, known in records if known.confirmed_hash and not known.is_unsure}


def assert_equal(crm: Crm, publication: str) -> None:
    fields = crm.fields()
    for key in KEYS:
        expected = expected_fields(account(key), publication)
        found = {name: value for name, value in fields[key].items() if name != "publication"}
        del expected["publication"]
        assert found == {name: str(value) for name, value in expected.items()}


@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", [1, 2, BATCHES // 2, BATCHES])
def test_killed_at_a_write(world: World, crm: Crm, number: int, is_done: bool) -> None:
    name = "2026-06-02T20260602060000-000001"
    killed = threading.Event()
    process: list[subprocess.Popen[str]] = []

    def kill(at: int, was_done: bool) -> None:
        if (at, was_done) == (number, is_done) and not killed.is_set():
            killed.set()
            process[0].send_signal(signal.SIGKILL)
            process[0].wait()

    crm.on_write = kill
    process.append(start(world, "crm"))
    assert process[0].wait(60) == -signal.SIGKILL
    process[0].communicate()
    sent = len(crm.sent)
    had = confirmed(world)
    # the answer to this batch never came, whatever it did
    assert had == set(KEYS[: BATCH * (number - 1)])
    again = run(world, "crm")
    assert again["confirmed"] == len(KEYS) - len(had)
    assert set(crm.sent[sent:]) == set(KEYS) - had, "only what was not confirmed is sent"
    assert_equal(crm, name)
    assert run(world, "crm")["requests"] == 0
    assert sorted(path.name for path in world.ledgers.iterdir()) == ["crm.sqlite"]


def test_killed_at_any_time(world: World, crm: Crm) -> None:
    """Some time after the start, again and again, until a sync gets through."""
    chance = random.Random(20260630)
    # slow enough that kills find it at work: a second, and the start besides
    crm.on_write = lambda number, is_done: time.sleep(0.05)
    kills = 0
    for _ in range(14):
        process = start(world, "crm")
        try:
            process.wait(0.25 + chance.random() * 0.7)
            break
        except subprocess.TimeoutExpired:
            process.kill()
            kills += 1
        finally:
            process.communicate()
        before = confirmed(world)
        assert before <= set(crm.fields()), "nothing is claimed that is not there"
    assert kills
    crm.on_write = lambda number, is_done: None
    run(world, "crm")
    assert_equal(crm, "2026-06-02T20260602060000-000001")
    assert run(world, "crm")["requests"] == 0


@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-c", "term"]
)
def test_a_signal_ends_a_wait(world: World, crm: Crm, signum: int, code: int) -> None:
    """While it waits as the CRM asked for; the lock is gone and the next sync goes on."""
    crm.faults.append(Fault("status", status=429, headers=(("Retry-After", "200"),)))
    process = start(world, "crm")
    assert process.stderr is not None
    for line in process.stderr:
        if "waiting 200 s" in line:
            break
    started = time.monotonic()
    process.send_signal(signum)
    process.communicate(timeout=30)
    assert time.monotonic() - started < 10
    assert process.returncode == code
    with ledgers.looked_at(ledgers.path_of(world.settings, "crm")) as ledger:
        assert ledger is not None
        assert ledger.syncs(1)[0]["outcome"] == "interrupted"
    assert not (world.ledgers / "crm.lock").exists()
    assert run(world, "crm")["confirmed"] == len(KEYS)


def test_a_file_that_was_killed_is_replaced_by_itself(world: World) -> None:
    """Kills at many moments around the writing of a file; each time one whole file is left."""
    folder = world.settings.project_dir / "out"
    fields = {"score": "health_score", "publication": "publication_id"}
    world.configure("drop", type="files", folder="out", fields=fields)
    for number in range(1, 7):
        name = world.publish([account(key, health_score=number) for key in KEYS])
        process = start(world, "drop")
        time.sleep(0.25 + number * 0.04)
        process.kill()
        process.communicate()
        run(world, "drop")
        mine = [path for path in folder.glob("*") if name in path.name]
        assert len(mine) == 1
        assert len(mine[0].read_text(encoding="utf-8").splitlines()) == len(KEYS) + 1
    assert list(folder.glob(".*")) == []


def test_a_webhook_gets_the_same_batch_under_the_same_name(world: World, crm: Crm) -> None:
    """Killed in the middle; the receiver can tell that it has had this batch."""
    world.configure("hook", **webhook(crm, batch_size=BATCH))
    process: list[subprocess.Popen[str]] = []

    def kill(at: int, was_done: bool) -> None:
        if (at, was_done) == (4, True):
            process[0].kill()
            process[0].wait()

    crm.on_write = kill
    process.append(start(world, "hook"))
    process[0].communicate(timeout=60)
    run(world, "hook")
    keys = [request.headers["Idempotency-Key"] for request in crm.requests]
    assert keys[3] == keys[4]
    assert len(set(keys)) == len(keys) - 1 == BATCHES
