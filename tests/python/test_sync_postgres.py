"""The sync reads what readers have on PostgreSQL, and sends the same as from DuckDB."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import postgres_server
import pytest
from crm_double import Crm, serving
from small_marts import call
from sync_world import ENVIRONMENT, World, account, webhook

from customer_health.gate_engines import URL_VARIABLE

pytestmark = [
    pytest.mark.usefixtures("plain_terminal"),
    pytest.mark.skipif(
        postgres_server.programs() is None,
        reason="no initdb on the PATH or in /usr/lib/postgresql: apt-get install postgresql",
    ),
]
KEYS = [f"A{number:03d}" for number in range(20)]
FIELDS = {
    "score": "health_score",
    "change": "health_score_change_28_days",
    "expansion": "expansion_score",
    "due": "next_action_due_date",
    "link": "https://dash.example.com/?account={account_id}&on={renewal_date}",
    "publication": "publication_id",
    "at": "published_at",
}


@pytest.fixture(scope="module")
def socket() -> Iterator[str]:
    with postgres_server.server() as folder:
        yield folder


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return World(tmp_path)


def to_postgres(world: World, socket: str, database: str) -> None:
    """Let readers have on PostgreSQL what they have on DuckDB, and the dbt target be there."""
    postgres_server.copy_database(world.settings.published, socket, database)
    postgres_server.execute(
        socket, database, "alter schema customer_health rename to customer_health_published"
    )
    world.settings.published.unlink()
    folder = world.settings.project_dir
    (folder / "dbt_project.yml").write_text("name: small\nprofile: small\n", encoding="utf-8")
    (folder / "profiles.yml").write_text(
        "small:\n  target: there\n  outputs:\n    there:\n      type: postgres\n"
        "      schema: customer_health\n",
        encoding="utf-8",
    )


def test_the_same_records_from_both_engines(
    world: World, socket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger of one engine holds for the other: values and hashes are the same."""
    rows = [
        account(
            key,
            health_score=None if number % 4 == 0 else number,
            expansion_score=number,
            renewal_date=None if number % 3 == 0 else account(key)["renewal_date"],
        )
        for number, key in enumerate(KEYS)
    ]
    with serving(Crm(KEYS)) as crm:
        world.configure("hook", **webhook(crm, fields=FIELDS))
        world.publish(rows)
        assert call(world.settings, "sync", "hook").exit_code == 0
        from_duckdb = crm.fields()
        to_postgres(world, socket, "same")
        monkeypatch.setenv(URL_VARIABLE, postgres_server.url(socket, "same"))
        crm.requests.clear()
        done = call(world.settings, "sync", "hook")
        assert done.exit_code == 0, done.output
        assert "Nothing has changed: 20 records" in done.stdout
        assert crm.requests == []
        (world.ledgers / "hook.sqlite").unlink()
        assert call(world.settings, "sync", "hook").exit_code == 0
        assert crm.fields() == from_duckdb
        assert crm.fields()["A001"]["at"] == "2026-06-02T06:00:00Z"


def test_a_column_that_is_not_there_names_the_nearest(
    world: World, socket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each question in a transaction of its own: after an error PostgreSQL answers no more."""
    with serving(Crm(KEYS)) as crm:
        world.configure("hook", **webhook(crm, fields={"score": "helth_score"}))
        world.publish([account(KEYS[0])])
        to_postgres(world, socket, "column")
        monkeypatch.setenv(URL_VARIABLE, postgres_server.url(socket, "column"))
        done = call(world.settings, "sync", "hook")
        assert done.exit_code == 1
        assert "has no column helth_score; the nearest is health_score" in done.stderr
        assert done.stderr.count("error:") == 1


def test_nothing_is_published_yet(
    world: World, socket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(Crm(KEYS)) as crm:
        world.configure("hook", **webhook(crm))
        world.publish([account(KEYS[0])])
        to_postgres(world, socket, "empty")
        postgres_server.execute(socket, "empty", "drop schema customer_health_published cascade")
        monkeypatch.setenv(URL_VARIABLE, postgres_server.url(socket, "empty"))
        done = call(world.settings, "sync", "hook")
        assert (done.exit_code, "nothing is published yet" in done.stderr) == (1, True)
