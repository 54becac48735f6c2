"""`customer-health sync` as people and schedulers call it, and what it promises about faults."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from crm_double import KEY, SECRETS, TOKEN, Crm, Fault, serving
from fault_marks import found_in
from small_marts import ENVIRONMENT as PROCESS_ENVIRONMENT
from small_marts import MARTS, a_publication, add_snapshot_row, call, write_candidate
from sync_world import ENVIRONMENT, FIELDS, LIMITS, World, account, action, hubspot, webhook
from typer.testing import Result

from customer_health import publication
from customer_health.settings import Settings
from customer_health.sync import ledger as ledgers
from customer_health.sync import transport
from customer_health.sync.source import RELATIONS, Records

KEYS = [f"A{number:03d}" for number in range(20)]

pytestmark = pytest.mark.usefixtures("plain_terminal")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return World(tmp_path)


@pytest.fixture
def crm(world: World) -> Iterator[Crm]:
    with serving(Crm(KEYS)) as crm:
        world.configure("crm", **hubspot(crm))
        yield crm


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waits: list[float] = []
    monkeypatch.setattr(transport, "sleep", waits.append)
    return waits


def rows(*keys: str, **changes: Any) -> list[dict[str, Any]]:
    return [account(key, **changes) for key in keys or KEYS]


def told(world: World, *arguments: str, code: int = 0) -> Result:
    """A command that ends as expected, and shows no secret and no traceback."""
    result = call(world.settings, "sync", *arguments)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    assert not any(secret in result.output for secret in SECRETS)
    found_in(result.output)
    return result


def error_of(result: Result) -> str:
    """The one line that says why."""
    lines = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert len(lines) == 1, result.stderr
    return lines[0]


def of(world: World, *arguments: str) -> dict[str, Any]:
    """What `--json` says."""
    return json.loads(told(world, *arguments, "--json").stdout)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# -- what the catalogue of faults promises -------------------------------------------------------
@pytest.mark.fault(59, says="HubSpot answers 429: waiting 7 s")
def test_too_many_requests_wait(world: World, crm: Crm, slept: list[float]) -> None:
    world.publish(rows())
    crm.faults.extend([Fault("status", status=429, headers=(("Retry-After", "7"),))] * 3)
    told(world, "crm")
    assert slept == [7.0] * 3
    assert len(crm.fields()) == 20


@pytest.mark.fault(60, says="HubSpot answers 500: waiting")
def test_a_server_that_fails_twice_is_tried_again(
    world: World, crm: Crm, slept: list[float]
) -> None:
    world.configure("crm", **hubspot(crm, limits={"backoff_seconds": 4}))
    world.publish(rows())
    crm.faults.extend([Fault("status", status=500)] * 2)
    told(world, "crm")
    assert len(slept) == 2 and slept[1] > slept[0]
    assert len(crm.fields()) == 20


@pytest.mark.fault(61, says="rejected: score is read only")
def test_one_bad_record_of_200(world: World, crm: Crm) -> None:
    keys = [f"B{number:03d}" for number in range(200)]
    crm.add(*keys)
    crm.rejects[keys[133]] = "score is read only"
    world.publish(rows(*keys))
    assert re.search(r"confirmed +199 ", told(world, "crm").stdout)
    status = of(world, "status", "crm")["destinations"][0]
    assert (status["confirmed"], status["rejected"], status["waiting_count"]) == (199, 1, 1)
    assert status["rejections"][0] == {
        "reason": "score is read only", "records": 1, "keys": [keys[133]],
        "since": status["rejections"][0]["since"],
    }  # fmt: skip
    crm.rejects.clear()
    again = of(world, "crm")
    assert (again["plan"]["to_send"], again["confirmed"]) == (1, 1)


@pytest.mark.fault(62, says=f"rejected: no companies with this {KEY}")
@pytest.mark.fault(62, says="rejected: several records have this value")
def test_an_account_is_never_created(world: World, crm: Crm) -> None:
    crm.add(KEYS[3])
    before = [record.key for record in crm.records]
    world.publish(rows(*KEYS, "NOWHERE"))
    told(world, "crm")
    assert [record.key for record in crm.records] == before
    assert set(crm.fields()) == set(KEYS) - {KEYS[3]}


@pytest.mark.fault(63, says="the token in HUBSPOT_TOKEN is wrong or expired; put a valid one there")
def test_a_wrong_token_is_told_and_never_shown(
    world: World, crm: Crm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world.publish(rows())
    told(world, "crm")
    wrong = "pat-eu1-expired-never-shown"
    monkeypatch.setenv("HUBSPOT_TOKEN", wrong)
    world.publish(rows(health_score=1))
    for arguments in (("crm",), ("crm", "--json"), ("status",), ("crm", "--dry-run")):
        result = call(world.settings, "sync", *arguments)
        assert wrong not in result.output and TOKEN not in result.output
        found_in(result.output)
    debug = call(world.settings, "--debug", "sync", "crm")
    assert debug.exit_code == 1
    # the double repeats the token in its answer
    answers = [each for each in crm.requests if wrong in each.headers.get("Authorization", "")]
    assert answers
    for content in bytes_of(tmp_path).values():
        assert wrong.encode() not in content and TOKEN.encode() not in content


@pytest.mark.fault(64, says="would change band (5) or be cleared (0), more than the 20% of")
def test_too_many_bands_at_once_are_refused(world: World, crm: Crm) -> None:
    world.configure("crm", **hubspot(crm, limits={**LIMITS, "breaker_least": 0}))
    world.publish(rows())
    told(world, "crm")
    crm.requests.clear()
    world.publish([*rows(*KEYS[:5], band="critical"), *rows(*KEYS[5:])])
    assert "5 of the 20 accounts at the destination (25%)" in error_of(told(world, "crm", code=1))
    assert crm.requests == []
    planned = of(world, "crm", "--dry-run")
    assert "more than the 20%" in planned["would_be_refused"][0]
    assert planned["band_changes"] == [{"from": "healthy", "to": "critical", "records": 5}]
    status = of(world, "status")["destinations"][0]
    assert status["syncs"][0]["outcome"] == "refused"
    assert of(world, "crm", "--accept-changes")["confirmed"] == 5
    assert crm.fields()[KEYS[0]]["band"] == "critical"
    assert of(world, "crm")["plan"]["to_send"] == 0


def test_what_was_accepted_stays_so_until_the_publication_is_through(
    world: World, crm: Crm
) -> None:
    world.configure("crm", **hubspot(crm, batch_size=5, limits={**LIMITS, "failed_batches": 1}))
    world.publish(rows())
    told(world, "crm")
    world.publish(rows(band="critical"))
    crm.faults.extend([Fault("status", status=500)] * 3)
    told(world, "crm", "--accept-changes", code=1)
    assert of(world, "crm")["confirmed"] == 20, "the next sync goes on without being asked again"
    world.publish(rows(band="healthy"))
    told(world, "crm", code=1)


# -- publications --------------------------------------------------------------------------------
def test_an_older_publication_is_refused_unless_accepted(world: World, crm: Crm) -> None:
    first = world.publish(rows(), number=1)
    told(world, "crm")
    second = world.publish(rows(health_score=70), number=2)
    told(world, "crm")
    crm.requests.clear()
    world.publish(rows(), number=1)
    message = error_of(told(world, "crm", code=1))
    assert first in message and second in message and "--accept-older" in message
    assert crm.requests == []
    assert of(world, "crm", "--dry-run")["would_be_refused"] == [message.removeprefix("error: ")]
    assert of(world, "crm", "--accept-older")["confirmed"] == 20
    assert crm.fields()[KEYS[0]]["score"] == "64"
    world.publish(rows(health_score=71), number=3)
    told(world, "crm")
    world.publish(rows(), number=1)
    told(world, "crm", code=1)


def test_a_part_of_a_newer_publication_counts_too(world: World, crm: Crm) -> None:
    world.configure("crm", **hubspot(crm, batch_size=5, limits={**LIMITS, "failed_batches": 1}))
    world.publish(rows(), number=1)
    told(world, "crm")
    world.publish(rows(health_score=70), number=2)
    crm.on_write = lambda number, is_done: crm.faults.extend(
        [Fault("status", status=500)] * (3 if is_done else 0)
    )
    told(world, "crm", code=1)
    assert {fields["score"] for fields in crm.fields().values()} == {"64", "70"}
    crm.faults.clear()
    world.publish(rows(), number=1)
    assert "--accept-older" in error_of(told(world, "crm", code=1))


def publish_for_real(settings: Settings, number: int, score: int) -> str:
    """Through the project's own publication, with the sync's table and view in the candidate."""
    write_candidate(settings.candidate)
    relation = RELATIONS[Records.ACCOUNTS]
    table = relation.name.removesuffix("_current")
    row = account("A1", as_of_date=a_publication().as_of_date, health_score=score)
    types = {"text": "varchar"}
    declared = ", ".join(
        f"{name} {types.get(kind, kind)}" for name, kind in relation.columns.items()
    )
    if settings.published.exists():
        publication.restore_history(settings)
    with duckdb.connect(str(settings.candidate)) as candidate:
        candidate.execute(f"create table {MARTS}.{table} ({declared})")
        marks = ", ".join("?" for _ in relation.columns)
        values = [row[name] for name in relation.columns]
        candidate.execute(f"insert into {MARTS}.{table} values ({marks})", values)
        candidate.execute(
            f"create view {MARTS}.{relation.name} as select (select max(publication_id) "
            f"from {MARTS}.fct_health__publications) as publication_id, * from {MARTS}.{table}"
        )
    published = a_publication(number)
    add_snapshot_row(settings, published.publication_id)
    assert publication.publish(settings, published) == []
    return published.publication_id


def test_what_was_rolled_back_is_not_sent(world: World, crm: Crm) -> None:
    """Readers go back before the CRM got anything of the newer publication."""
    crm.add("A1")
    first = publish_for_real(world.settings, 1, 64)
    told(world, "crm")
    publish_for_real(world.settings, 2, 12)
    assert call(world.settings, "rollback", "--yes").exit_code == 0
    result = of(world, "crm")
    assert (result["publication_id"], result["plan"]["to_send"]) == (first, 0)
    assert crm.fields()["A1"]["score"] == "64"


def test_a_crm_that_got_what_was_rolled_back_goes_back_when_told(world: World, crm: Crm) -> None:
    crm.add("A1")
    publish_for_real(world.settings, 1, 64)
    publish_for_real(world.settings, 2, 12)
    told(world, "crm")
    assert crm.fields()["A1"]["score"] == "12"
    assert call(world.settings, "rollback", "--yes").exit_code == 0
    assert "--accept-older" in error_of(told(world, "crm", code=1))
    told(world, "crm", "--accept-older")
    assert crm.fields()["A1"]["score"] == "64"


def test_without_a_publication_it_says_so(world: World, crm: Crm) -> None:
    assert "nothing is published yet" in error_of(told(world, "crm", code=1))
    assert "nothing is published" in told(world, "status").stdout
    assert not world.ledgers.exists()


def test_a_damaged_copy_is_one_line(world: World, crm: Crm) -> None:
    world.settings.published.write_bytes(b"x" * 5000)
    assert "cannot be read" in error_of(told(world, "crm", code=1))


@pytest.mark.parametrize(
    ("column", "near"), [("helth_score", "health_score"), ("publicationid", "publication_id")]
)
def test_a_column_that_is_not_published_names_the_nearest(
    world: World, crm: Crm, column: str, near: str
) -> None:
    world.configure("crm", **hubspot(crm, fields={"band": "band", "x": f"is {{{column}}}"}))
    world.publish(rows())
    assert error_of(told(world, "crm", code=1)) == (
        "error: sync.yml: destination crm: fields: x: sync_health__crm_accounts_current has no "
        f"column {column}; the nearest is {near}"
    )


def test_a_copy_of_an_older_version_names_what_it_lacks(world: World, crm: Crm) -> None:
    world.publish(rows(), without=["next_action"])
    message = error_of(told(world, "crm", code=1))
    assert "next_step: sync_health__crm_accounts_current has no column next_action" in message
    assert "the nearest is next_action_due_date" in message


def test_a_copy_without_the_view_says_what_to_do(world: World, crm: Crm) -> None:
    world.publish(rows())
    with duckdb.connect(str(world.settings.published)) as copy:
        copy.execute(f"drop view {MARTS}.sync_health__crm_accounts_current")
    assert "the published copy has no sync_health__crm_accounts_current: publish with this" in (
        error_of(told(world, "crm", code=1))
    )


@pytest.mark.parametrize("key", [None, " ", "A001"])
def test_a_key_that_means_nothing_or_two_is_refused(
    world: World, crm: Crm, key: str | None
) -> None:
    world.publish([*rows(), account("B", sync_key=key)])
    assert "is empty or stands twice" in error_of(told(world, "crm", code=1))
    assert crm.requests == []


# -- dry run and status --------------------------------------------------------------------------
def test_a_dry_run_shows_the_plan_and_touches_nothing(
    world: World, crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HUBSPOT_TOKEN")
    name = world.publish(rows())
    before = bytes_of(world.settings.home)
    text = told(world, "crm", "--dry-run").stdout
    assert f"crm would get {name}" in text and "new       20" in text
    assert "Nothing was sent or written." in text
    monkeypatch.setenv("HUBSPOT_TOKEN", TOKEN)
    told(world, "crm")
    requests = len(crm.requests)
    world.publish([account(KEYS[0], health_score=5, band="critical"), *rows(*KEYS[2:])])
    before = bytes_of(world.settings.home)
    planned = of(world, "crm", "--dry-run")
    assert planned["result"] == "planned"
    assert planned["plan"] == {
        "new": 0, "changed": 1, "again": 0, "cleared": 1, "unchanged": 18, "dead": 0,
        "to_send": 2, "rejected_before": 0,
    }  # fmt: skip
    changed = planned["examples"][0]
    assert (changed["key"], changed["why"]) == (KEYS[0], "changed")
    assert changed["hash_before"] != changed["hash"]
    assert changed["fields"]["score"] == 5
    assert planned["examples"][1]["why"] == "cleared"
    assert told(world, "crm", "--dry-run").stdout.count("critical") >= 2
    assert len(crm.requests) == requests
    assert bytes_of(world.settings.home) == before


def test_status_teaches_how_to_begin(world: World) -> None:
    text = told(world, "status").stdout
    assert "No CRM is connected yet" in text and "sync.example.yml" in text
    assert of(world, "status")["destinations"] == []


def test_status_shows_what_the_crm_has_and_what_waits(world: World, crm: Crm) -> None:
    world.configure("crm", **hubspot(crm, limits={**LIMITS, "attempts": 2}))
    crm.rejects[KEYS[0]] = "no such team"
    first = world.publish(rows())
    told(world, "crm")
    assert "rejected: 1 × no such team (A000; since " in told(world, "status").stdout
    told(world, "crm")
    second = world.publish([*rows(*KEYS[:18]), account(KEYS[18], health_score=3), account("N")])
    text = re.sub(r"\s+", " ", told(world, "status", "crm").stdout)
    assert f"Has {first}, scores of 2026-06-02, published" in text
    assert "Confirmed 19 accounts" in text
    assert "Waiting 3 (1 new, 1 changed, 1 cleared)" in text
    assert "Dead letters 1" in text
    assert "dead letters: 1 × no such team (A000; since " in text
    assert f"note: readers have {second}: `customer-health sync crm`" in text
    found = of(world, "status")["destinations"][0]
    assert found["confirmed_publication"]["publication_id"] == first
    assert [row["outcome"] for row in found["syncs"]] == ["ok", "ok"]
    assert found["publication_age_hours"] > 24


def test_status_of_a_damaged_ledger_exits_1(world: World, crm: Crm) -> None:
    world.publish(rows())
    told(world, "crm")
    (world.ledgers / "crm.sqlite").write_bytes(b"")
    result = told(world, "status", code=1)
    assert "crm.sqlite is damaged" in error_of(result)
    crm.requests.clear()
    assert "move it away" in error_of(told(world, "crm", code=1))
    assert crm.requests == []


def test_status_tells_of_a_killed_and_a_running_sync(world: World, crm: Crm) -> None:
    world.publish(rows())
    told(world, "crm")
    path = ledgers.path_of(world.settings, "crm")
    with ledgers.opened(path, {}) as ledger:
        ledger._run("update syncs set outcome = null, ended_at = null")
    assert "was killed; the next one goes on" in told(world, "status").stdout
    with ledgers.lock(world.settings, "crm", "sync crm", lambda _: None):
        text = told(world, "status").stdout
        assert "(sync crm, process" in text and "was killed" not in text
        busy = told(world, "crm", code=3)
        assert "in progress since" in error_of(busy)


def test_several_destinations_have_ledgers_of_their_own(world: World, crm: Crm) -> None:
    actions = {"account": "account_id", "what": "action_text"}
    world.write(
        {
            "destinations": {
                "crm": hubspot(crm),
                "hook": webhook(crm),
                "acts": {"type": "files", "folder": "out", "records": "actions",
                         "fields": actions},
            }
        }
    )  # fmt: skip
    world.publish(rows(), [action("act-1", KEYS[0])])
    told(world, "crm")
    told(world, "acts")
    names = {each["name"]: each["confirmed"] for each in of(world, "status")["destinations"]}
    assert names == {"crm": 20, "hook": 0, "acts": 1}
    assert sorted(path.name for path in world.ledgers.iterdir()) == ["acts.sqlite", "crm.sqlite"]


# -- how it is called ----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "say which destination: crm"),
        (("cmr",), 2, "no destination 'cmr'; the nearest is crm"),
        (("crm", "other"), 2, "one destination at a time"),
        (("status", "cmr"), 2, "no destination 'cmr'; the nearest is crm"),
        (("status", "--dry-run"), 2, "`sync status` only looks"),
        (("crm", "--dry-run", "--accept-changes"), 2, "nothing to accept"),
        (("crm", "--config", "nowhere.yml"), 2, "--config: there is no file nowhere.yml"),
    ],
)
def test_a_call_that_makes_no_sense(
    world: World, crm: Crm, arguments: tuple[str, ...], code: int, message: str
) -> None:
    world.publish(rows())
    assert message in error_of(told(world, *arguments, code=code))
    assert crm.requests == []


def test_without_a_file_it_says_how_to_begin(world: World) -> None:
    assert "there is no sync.yml in" in error_of(told(world, "crm", code=1))


def test_json_is_one_document_whatever_happens(world: World, crm: Crm) -> None:
    world.publish(rows())
    crm.faults.extend([Fault("cut")] * 3)
    result = told(world, "crm", "--json", code=1)
    refusal = json.loads(result.stdout)
    assert (refusal["result"], refusal["exit_code"]) == ("refused", 1)
    assert (refusal["confirmed"], refusal["waiting"]) == (0, 20)
    good = of(world, "crm")
    assert (good["result"], good["confirmed"], good["waiting"]) == ("ok", 20, 0)


def test_help_teaches(world: World) -> None:
    text = told(world, "--help").stdout
    for word in ("--dry-run", "sync status", "never creates", "docs/sync.md", "Exits 1"):
        assert word in text


def test_no_secret_is_left_anywhere(world: World, crm: Crm, tmp_path: Path) -> None:
    """Everything a deployment keeps, after syncs that went well and others that did not."""
    world.write({"destinations": {"crm": hubspot(crm), "hook": webhook(crm)}})
    for score in (1, 2, 3):
        world.publish(rows(health_score=score))
        crm.faults.append(Fault("status", status=400, body={"message": f"{TOKEN} said no"}))
        for name in ("crm", "hook"):
            call(world.settings, "sync", name)
        told(world, "status")
    secrets = [each for each in SECRETS if each not in crm.base_url]
    hook_path = secrets.pop()  # stands in sync.yml itself, as people may choose
    for path, content in bytes_of(tmp_path).items():
        assert not any(secret.encode() in content for secret in secrets), path
        assert path.endswith("sync.yml") or hook_path.encode() not in content, path


def test_a_process_that_has_nothing_to_send_imports_no_http(world: World, crm: Crm) -> None:
    """What makes it quick; run as a scheduler does, with the environment that it has."""
    world.publish(rows())
    where = ["--project-dir", str(world.settings.project_dir), "--home", str(world.settings.home)]
    code = (
        "import sys\nfrom customer_health.cli import main\n"
        "try:\n    main()\nfinally:\n"
        "    print(sorted({'dbt', 'requests', 'pandas', 'great_expectations'} & set(sys.modules)))"
    )
    seen = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code, *where, "sync", "crm"],
            env={**PROCESS_ENVIRONMENT, **ENVIRONMENT},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        seen.append(done.stdout.splitlines()[-1])
    assert seen == ["['requests']", "[]"]


def test_fields_of_the_world_are_published() -> None:
    """The tests' own mapping names columns that there are."""
    columns = set(RELATIONS[Records.ACCOUNTS].columns)
    assert {FIELDS["score"], FIELDS["renewal"], FIELDS["next_step"]} <= columns
    assert os.environ.get("CUSTOMER_HEALTH_HOME") is None
