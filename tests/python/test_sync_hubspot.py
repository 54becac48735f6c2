"""HubSpot, and with it everything about HTTP: waits, retries, rejections, secrets."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from crm_double import KEY, PORTAL, SECRETS, TOKEN, Crm, Fault, serving
from rich.console import Console
from sync_world import ENVIRONMENT, LIMITS, World, account, expected_fields, hubspot

from customer_health.errors import BusyError, HealthError
from customer_health.progress import Reporter
from customer_health.sync import ledger as ledgers
from customer_health.sync import transport
from customer_health.sync.run import Result

KEYS = [f"A{number:03d}" for number in range(12)]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return World(tmp_path)


@pytest.fixture
def crm(world: World) -> Iterator[Crm]:
    with serving(Crm(KEYS)) as crm:
        world.configure("crm", **hubspot(crm, batch_size=5))
        yield crm


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long it would have waited."""
    waits: list[float] = []
    monkeypatch.setattr(transport, "sleep", waits.append)
    return waits


def rows(*keys: str, **changes: Any) -> list[dict[str, Any]]:
    return [account(key, **changes) for key in keys or KEYS]


def refused(world: World) -> HealthError:
    with pytest.raises(HealthError) as caught:
        world.sync("crm")
    assert "\n" not in caught.value.message
    assert not any(secret in caught.value.message for secret in SECRETS)
    return caught.value


def texts(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: None if value is None else str(value) for name, value in fields.items()}


def total(result: Result) -> tuple[int, int, int]:
    return result.confirmed, sum(result.rejected.values()), result.waiting


# -- what is sent --------------------------------------------------------------------------------
def test_a_first_sync_sends_every_account_by_its_own_key(world: World, crm: Crm) -> None:
    name = world.publish(rows())
    result = world.sync("crm")
    assert total(result) == (12, 0, 0)
    assert crm.kinds() == {"portal": 1, "write": 3}
    assert crm.fields() == {key: texts(expected_fields(account(key), name)) for key in KEYS}
    body = json.loads(crm.requests[1].body)
    assert {each["idProperty"] for each in body["inputs"]} == {KEY}
    assert [each["id"] for each in body["inputs"]] == KEYS[:5]
    assert len(crm.records) == len(KEYS)


def test_a_second_sync_sends_only_what_has_changed(world: World, crm: Crm) -> None:
    world.publish(rows())
    world.sync("crm")
    crm.requests.clear()
    changed = account(KEYS[3], health_score=20, band="critical")
    name = world.publish([*rows(*KEYS[:3]), changed, *rows(*KEYS[4:])])
    result = world.sync("crm")
    assert result.counts["changed"] == 1 and result.counts["unchanged"] == 11
    assert [key for key, _ in crm.writes[12:]] == [KEYS[3]]
    assert crm.fields()[KEYS[3]] == texts(expected_fields(changed, name))
    assert crm.fields()[KEYS[0]]["scored_on"] == "2026-06-02", "a new date alone is not sent"


def test_nothing_changed_is_no_request(world: World, crm: Crm) -> None:
    world.publish(rows())
    world.sync("crm")
    crm.requests.clear()
    for _ in range(2):
        result = world.sync("crm")
        assert (result.to_send, result.requests) == (0, 0)
    world.publish(rows())
    assert world.sync("crm").to_send == 0, "nor is a new publication of the same scores"
    assert crm.requests == []


def test_what_left_is_cleared_once(world: World, crm: Crm) -> None:
    world.publish(rows())
    world.sync("crm")
    name = world.publish(rows(*KEYS[1:]))
    result = world.sync("crm")
    assert result.counts["cleared"] == 1 and total(result) == (1, 0, 0)
    cleared = crm.fields()[KEYS[0]]
    assert cleared.pop("publication") == name
    assert set(cleared.values()) == {None}
    crm.requests.clear()
    world.publish(rows(*KEYS[1:]))
    assert world.sync("crm").to_send == 0 and crm.requests == []
    world.publish(rows())
    assert world.sync("crm").counts["new"] == 1, "it can come back"
    assert crm.fields()[KEYS[0]]["score"] == "64"


def test_clearing_what_the_crm_has_deleted_is_done(world: World, crm: Crm) -> None:
    world.publish(rows())
    world.sync("crm")
    crm.remove(KEYS[0])
    world.publish(rows(*KEYS[1:]))
    assert total(world.sync("crm")) == (1, 0, 0)
    with ledgers.looked_at(ledgers.path_of(world.settings, "crm")) as ledger:
        assert ledger is not None and KEYS[0] not in ledger.records()


def test_ids_of_hubspot_itself_need_no_property(world: World, crm: Crm) -> None:
    ids = [record.id for record in crm.records]
    world.configure("own", **hubspot(crm, key="hs_object_id"))
    world.publish(rows(*ids))
    assert total(world.sync("own")) == (12, 0, 0)
    assert all("idProperty" not in each for each in json.loads(crm.requests[-1].body)["inputs"])
    assert len(crm.fields()) == 12


def test_a_changed_mapping_sends_everything_again(world: World, crm: Crm) -> None:
    world.publish(rows())
    world.sync("crm")
    fields = {"score": "health_score", "band": "band_label"}
    world.configure("crm", **hubspot(crm, fields=fields))
    assert world.sync("crm").counts["changed"] == 12


# -- records that are refused --------------------------------------------------------------------
def test_what_is_rejected_is_kept_with_its_reason_and_sent_again(world: World, crm: Crm) -> None:
    crm.rejects[KEYS[7]] = "score is read only"
    world.publish(rows())
    result = world.sync("crm")
    assert total(result) == (11, 1, 0)
    assert result.rejected == {"score is read only": 1}
    crm.rejects.clear()
    crm.requests.clear()
    again = world.sync("crm")
    assert (again.to_send, again.retried) == (1, 1)
    assert total(again) == (1, 0, 0)
    assert [key for key, _ in crm.writes[11:]] == [KEYS[7]]


def test_a_key_that_is_not_there_is_rejected_and_never_created(world: World, crm: Crm) -> None:
    crm.add(KEYS[2])
    world.publish(rows(*KEYS, "NOWHERE"))
    result = world.sync("crm")
    assert total(result) == (11, 2, 0)
    assert result.rejected == {
        f"no companies with this {KEY}": 1,
        "several records have this value": 1,
    }
    assert {record.key for record in crm.records} == set(KEYS)
    assert KEYS[2] not in crm.fields()


def test_a_record_that_spoils_its_batch_is_found_by_halves(world: World, crm: Crm) -> None:
    crm.rejects[KEYS[1]] = "renewal is no date"
    crm.spoils.add(KEYS[1])
    world.publish(rows())
    result = world.sync("crm")
    assert total(result) == (11, 1, 0)
    (reason,) = result.rejected
    assert "renewal is no date" in reason
    assert KEYS[1] not in crm.fields()


def test_after_some_rejections_a_record_is_a_dead_letter(world: World, crm: Crm) -> None:
    world.configure("crm", **hubspot(crm, limits={**LIMITS, "attempts": 3}))
    crm.rejects[KEYS[0]] = "no"
    world.publish(rows())
    for attempt in range(1, 4):
        result = world.sync("crm")
        assert (sum(result.rejected.values()), result.dead) == (1, int(attempt == 3))
    crm.requests.clear()
    left = world.sync("crm")
    assert (left.to_send, left.counts["dead"], crm.requests) == (0, 1, [])
    assert sum(world.sync("crm", retry_dead=True).rejected.values()) == 1
    assert world.sync("crm").counts["dead"] == 1
    world.publish([account(KEYS[0], health_score=1), *rows(*KEYS[1:])])
    assert world.sync("crm").to_send == 1, "another payload is tried"
    crm.rejects.clear()
    assert total(world.sync("crm")) == (1, 0, 0)


def test_a_batch_that_is_refused_whole_stops_after_some(world: World, crm: Crm) -> None:
    world.configure("crm", **hubspot(crm, batch_size=2, key="other_property"))
    world.publish(rows())
    error = refused(world)
    assert "3 batches in a row failed" in error.message
    assert "other_property is not a unique property" in error.message
    assert crm.kinds()["write"] == 9, "three batches of two, and each of their halves"


# -- when the CRM does not answer ----------------------------------------------------------------
def test_it_waits_as_long_as_it_is_asked_to(world: World, crm: Crm, slept: list[float]) -> None:
    world.publish(rows())
    crm.faults.extend([Fault("status", status=429, headers=(("Retry-After", "7"),))] * 6)
    told = io.StringIO()
    reporter = Reporter(Console(file=told, width=200))
    assert total(world.sync("crm", reporter)) == (12, 0, 0)
    assert slept == [7.0] * 6, "being asked to wait is no failure, however often"
    assert told.getvalue().count("HubSpot answers 429: waiting 7 s") == 6


def test_waits_that_it_was_asked_for_are_no_tries(
    world: World, crm: Crm, slept: list[float]
) -> None:
    world.publish(rows())
    wait = Fault("status", status=429, headers=(("Retry-After", "1"),))
    crm.faults.extend([wait] * 5 + [Fault("status", status=500)] * 2)
    assert total(world.sync("crm")) == (12, 0, 0)
    crm.faults.extend([wait] * 5 + [Fault("status", status=500)] * 3)
    world.publish(rows(health_score=1))
    assert "answers 500, 3 times" in refused(world).message


def test_who_always_says_at_once_is_not_asked_for_ever(
    world: World, crm: Crm, slept: list[float]
) -> None:
    world.publish(rows())
    crm.faults.extend([Fault("status", status=429, headers=(("Retry-After", "0"),))] * 1000)
    refused(world)
    assert crm.kinds()["write"] <= 300


def test_a_date_to_come_back_at_is_understood(world: World, crm: Crm, slept: list[float]) -> None:
    world.publish(rows())
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)
    crm.faults.append(Fault("status", status=503, headers=(("Retry-After", at),)))
    world.sync("crm")
    assert 35 < slept[0] <= 40


def test_it_does_not_wait_for_ever(world: World, crm: Crm, slept: list[float]) -> None:
    world.publish(rows())
    crm.faults.extend([Fault("status", status=429, headers=(("Retry-After", "3600"),))] * 3)
    error = refused(world)
    assert "asks to wait 3600 s, longer than limits.longest_wait_seconds (300) in" in error.message
    assert "(0 of 12 records are confirmed, 12 wait for the next sync)" in error.message
    assert slept == []
    assert total(world.sync("crm")) == (12, 0, 0)


def test_errors_of_the_server_are_tried_again_ever_later(
    world: World, crm: Crm, slept: list[float]
) -> None:
    world.configure("crm", **hubspot(crm, limits={"tries": 5, "backoff_seconds": 1}))
    world.publish(rows())
    crm.faults.extend([Fault("status", status=500), Fault("status", status=502)] * 2)
    assert total(world.sync("crm")) == (12, 0, 0)
    assert len(slept) == 4
    assert all(2**n / 2 <= pause <= 2**n for n, pause in enumerate(slept))


@pytest.mark.parametrize("takes_effect", [False, True])
@pytest.mark.parametrize("kind", ["cut", "status", "malformed", "html", "slow"])
def test_every_way_of_not_answering_is_tried_again(
    world: World, crm: Crm, kind: str, takes_effect: bool
) -> None:
    world.configure("crm", **hubspot(crm, limits={**LIMITS, "timeout_seconds": 0.2}))
    name = world.publish(rows())
    crm.faults.append(Fault(kind, takes_effect, seconds=0.5))
    assert total(world.sync("crm")) == (12, 0, 0)
    assert crm.kinds()["write"] == 2
    assert crm.fields() == {key: texts(expected_fields(account(key), name)) for key in KEYS}


def test_a_batch_that_fails_waits_and_the_others_go_on(world: World, crm: Crm) -> None:
    world.publish(rows())
    crm.faults.extend([Fault("cut")] * 3)
    error = refused(world)
    assert "not all batches were answered" in error.message
    assert "closed the connection without an answer, 3 times" in error.message
    assert "(7 of 12 records are confirmed, 5 wait for the next sync)" in error.message
    assert error.details["confirmed"] == 7
    crm.requests.clear()
    assert world.sync("crm").counts["again"] == 5
    assert len(crm.fields()) == 12


def test_after_three_failed_batches_it_stops(world: World, crm: Crm) -> None:
    world.configure("crm", **hubspot(crm, batch_size=2))
    world.publish(rows())
    crm.faults.extend([Fault("status", status=500)] * 100)
    error = refused(world)
    assert "3 batches in a row failed: HubSpot answers 500, 3 times" in error.message
    assert crm.kinds()["write"] == 9
    crm.faults.clear()
    assert total(world.sync("crm")) == (12, 0, 0)


def test_a_crm_that_cannot_be_reached_is_no_doubt_about_records(world: World, crm: Crm) -> None:
    world.publish(rows())
    world.configure("crm", **hubspot(crm, base_url="http://127.0.0.1:9"))
    error = refused(world)
    assert "http://127.0.0.1:9 cannot be reached, 3 times" in error.message
    with ledgers.looked_at(ledgers.path_of(world.settings, "crm")) as ledger:
        assert ledger is not None and ledger.records() == {}


def test_what_took_effect_without_an_answer_is_put_right(world: World, crm: Crm) -> None:
    """The change went through unseen, and then the score went back to what was confirmed."""
    world.configure("crm", **hubspot(crm, limits={**LIMITS, "tries": 1}))
    world.publish(rows())
    world.sync("crm")
    world.publish([account(KEYS[0], health_score=10), *rows(*KEYS[1:])])
    crm.faults.append(Fault("cut", takes_effect=True))
    refused(world)
    assert crm.fields()[KEYS[0]]["score"] == "10"
    world.publish(rows())
    result = world.sync("crm")
    assert (result.counts["again"], result.confirmed) == (1, 1)
    assert crm.fields()[KEYS[0]]["score"] == "64"


def test_a_rejection_after_a_lost_answer_leaves_a_doubt(world: World, crm: Crm) -> None:
    world.publish(rows())
    world.sync("crm")
    world.publish([account(KEYS[0], health_score=10), *rows(*KEYS[1:])])
    crm.faults.extend(
        [Fault("cut", takes_effect=True), Fault("status", status=400, body={"message": "no"})]
    )
    assert total(world.sync("crm")) == (0, 1, 0)
    world.publish(rows())
    assert world.sync("crm").counts["again"] == 1
    assert crm.fields()[KEYS[0]]["score"] == "64"


def test_a_doubt_outlives_a_rejection(world: World, crm: Crm) -> None:
    """Sent without an answer, then rejected for certain, then as confirmed before all that."""
    world.configure("crm", **hubspot(crm, limits={**LIMITS, "tries": 1}))
    world.publish(rows())
    world.sync("crm")
    world.publish([account(KEYS[0], health_score=10), *rows(*KEYS[1:])])
    crm.faults.append(Fault("cut", takes_effect=True))
    refused(world)
    crm.rejects[KEYS[0]] = "locked"
    assert total(world.sync("crm")) == (0, 1, 0)
    crm.rejects.clear()
    world.publish(rows())
    assert world.sync("crm").counts["again"] == 1
    assert crm.fields()[KEYS[0]]["score"] == "64"


def test_a_rejected_record_of_a_batch_that_was_sent_twice_is_in_doubt(
    world: World, crm: Crm
) -> None:
    """The first time it may have been taken: the answer was lost, and then somebody locked it."""
    world.publish(rows())
    world.sync("crm")
    changed = [account(key, health_score=10) for key in KEYS[:2]]
    world.publish([*changed, *rows(*KEYS[2:])])
    crm.faults.append(Fault("cut", takes_effect=True))

    def lock(number: int, is_done: bool) -> None:
        if is_done:
            crm.rejects[KEYS[0]] = "locked"

    crm.on_write = lock
    assert total(world.sync("crm")) == (1, 1, 0)
    crm.on_write = lambda number, is_done: None
    crm.rejects.clear()
    world.publish(rows())
    assert world.sync("crm").counts == {
        "new": 0, "changed": 1, "again": 1, "cleared": 0, "unchanged": 10, "dead": 0
    }  # fmt: skip
    assert crm.fields()[KEYS[0]]["score"] == "64"


@pytest.mark.parametrize(
    "body",
    [
        {"status": "COMPLETE", "results": []},
        {"status": "COMPLETE", "results": [{"id": "1"}], "errors": [{"message": "x"}]},
        {"status": "COMPLETE"},
        {"results": "all", "errors": "none"},
        [],
    ],
)
def test_an_answer_that_does_not_add_up_confirms_nothing(world: World, crm: Crm, body: Any) -> None:
    world.configure("crm", **hubspot(crm))
    name = world.publish(rows())
    crm.faults.append(Fault("status", status=200, body=body))
    assert total(world.sync("crm")) == (12, 0, 0)
    assert crm.kinds()["write"] == 3, "asked again in two halves"
    assert crm.fields() == {key: texts(expected_fields(account(key), name)) for key in KEYS}


def test_an_answer_that_says_nothing_about_one_record_rejects_it(world: World, crm: Crm) -> None:
    world.publish(rows(KEYS[0]))
    crm.faults.append(Fault("status", status=200, body={"status": "COMPLETE", "results": []}))
    assert world.sync("crm").rejected == {"HubSpot's answer says nothing about it": 1}
    with ledgers.looked_at(ledgers.path_of(world.settings, "crm")) as ledger:
        assert ledger is not None and ledger.records()[KEYS[0]].is_unsure


def test_a_record_that_is_rejected_after_an_odd_answer_is_in_doubt(world: World, crm: Crm) -> None:
    """It may have been taken the first time, when the answer did not add up."""
    world.configure("crm", **hubspot(crm))
    crm.rejects[KEYS[0]] = "no"
    world.publish(rows())
    crm.faults.append(Fault("status", status=200, body={"status": "COMPLETE", "results": []}))
    assert total(world.sync("crm")) == (11, 1, 0)
    with ledgers.looked_at(ledgers.path_of(world.settings, "crm")) as ledger:
        assert ledger is not None and ledger.records()[KEYS[0]].is_unsure


# -- who is at the other end ---------------------------------------------------------------------
def test_a_token_of_another_portal_writes_nothing(world: World, crm: Crm) -> None:
    world.configure("crm", **hubspot(crm, portal=815))
    world.publish(rows())
    error = refused(world)
    assert f"HUBSPOT_TOKEN belongs to the portal {PORTAL}" in error.message
    assert "portal: 815" in error.message
    assert crm.kinds() == {"portal": 1}
    with ledgers.looked_at(ledgers.path_of(world.settings, "crm")) as ledger:
        assert ledger is not None and ledger.records() == {}


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "the token in HUBSPOT_TOKEN is wrong or expired"),
        (403, "the scope crm.objects.companies.write"),
    ],
)
def test_a_refused_access_stops_at_once(
    world: World, crm: Crm, slept: list[float], status: int, message: str
) -> None:
    world.publish(rows())
    body = {"message": f"Bearer {TOKEN} is not good"}
    crm.faults.extend([Fault("status", status=status, body=body)])
    error = refused(world)
    assert message in error.message
    assert "•••" in error.message
    assert crm.kinds()["write"] == 1 and slept == []


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault("status", status=404, body={"message": "no such object"}), "answers 404: no such"),
        (
            Fault("status", status=302, headers=(("Location", "https://login.example/x?y"),)),
            "answers 302 and leads to https://login.example: write the final address",
        ),
    ],
)
def test_a_wrong_address_stops_at_once(world: World, crm: Crm, fault: Fault, message: str) -> None:
    world.publish(rows())
    crm.faults.append(fault)
    assert message in refused(world).message
    assert crm.kinds()["write"] == 1


def test_another_portal_in_the_file_is_another_destination(world: World, crm: Crm) -> None:
    world.publish(rows())
    world.sync("crm")
    crm.requests.clear()
    world.configure("crm", **hubspot(crm, portal=815))
    assert f"portal {PORTAL} -> 815" in refused(world).message
    assert crm.requests == []


def test_proxies_and_passwords_that_lie_around_are_not_used(
    world: World, crm: Crm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login other password other\n")
    monkeypatch.setenv("NETRC", str(netrc))
    world.publish(rows())
    assert total(world.sync("crm")) == (12, 0, 0)


def test_a_proxy_is_used_when_the_file_says_so(
    world: World, crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUR_PROXY", "http://user:proxy-password@127.0.0.1:9")
    world.configure("crm", **hubspot(crm, proxy_env="OUR_PROXY"))
    world.publish(rows())
    error = refused(world)
    assert "the proxy for" in error.message
    assert "proxy-password" not in error.message
    assert crm.requests == []


def test_a_missing_token_is_noticed_before_anything_is_read(
    world: World, crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HUBSPOT_TOKEN")
    assert "HUBSPOT_TOKEN is not set" in refused(world).message
    assert not world.ledgers.exists()


def test_two_syncs_to_one_destination_do_not_meet(world: World, crm: Crm) -> None:
    world.publish(rows())
    with (
        ledgers.lock(world.settings, "crm", "sync crm", lambda _: None),
        pytest.raises(BusyError),
    ):
        world.sync("crm")
    assert crm.requests == []
