"""Salesforce, over TLS: logins, keys to record ids, updates record by record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from crm_double import SALESFORCE_KEY, SECRETS, Crm, Fault, serving
from sync_world import ENVIRONMENT, LIMITS, World, account, expected_fields, salesforce

from customer_health.errors import HealthError
from customer_health.sync import ledger as ledgers
from customer_health.sync.run import Result

KEYS = [f"A{number:03d}" for number in range(12)]
USER = {
    "client_id_env": None,
    "client_secret_env": None,
    "username_env": "SF_USERNAME",
    "password_env": "SF_PASSWORD",
    "security_token_env": "SF_SECURITY_TOKEN",
}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return World(tmp_path)


@pytest.fixture
def crm(world: World, tmp_path: Path) -> Iterator[Crm]:
    with serving(Crm(KEYS), tls_folder=tmp_path) as crm:
        world.configure("sf", **salesforce(crm, batch_size=5))
        yield crm


def refused(world: World) -> HealthError:
    with pytest.raises(HealthError) as caught:
        world.sync("sf")
    assert "\n" not in caught.value.message
    assert not any(secret in caught.value.message for secret in SECRETS)
    return caught.value


def total(result: Result) -> tuple[int, int, int]:
    return result.confirmed, sum(result.rejected.values()), result.waiting


def rows(*keys: str, **changes: Any) -> list[dict[str, Any]]:
    return [account(key, **changes) for key in keys or KEYS]


def in_salesforce(key: str, publication: str) -> dict[str, Any]:
    fields = expected_fields(account(key), publication)
    return {f"{name.title()}__c": value for name, value in fields.items()}


def test_records_are_found_by_their_key_and_updated_by_their_id(world: World, crm: Crm) -> None:
    name = world.publish(rows())
    assert total(world.sync("sf")) == (12, 0, 0)
    assert crm.kinds() == {"token": 1, "query": 3, "write": 3}
    assert crm.fields() == {key: in_salesforce(key, name) for key in KEYS}
    body = json.loads(next(each.body for each in crm.requests if each.kind == "write"))
    assert body["allOrNone"] is False
    assert all(each["attributes"] == {"type": "Account"} for each in body["records"])
    assert SALESFORCE_KEY not in str(body), "the key itself is never written"
    crm.requests.clear()
    assert world.sync("sf").to_send == 0 and crm.requests == []


def test_a_key_of_none_or_several_is_rejected_and_nothing_is_created(
    world: World, crm: Crm
) -> None:
    crm.add(KEYS[1], KEYS[1])
    world.publish(rows(*KEYS, "NOWHERE"))
    result = world.sync("sf")
    assert total(result) == (11, 2, 0)
    assert result.rejected == {
        f"no Account with this {SALESFORCE_KEY}": 1,
        f"3 records of Account have this {SALESFORCE_KEY}; make it unique": 1,
    }
    assert len(crm.records) == len(KEYS) + 2
    assert KEYS[1] not in crm.fields()


def test_case_counts_although_salesforce_does_not_see_it(world: World, crm: Crm) -> None:
    crm.add("a000")
    world.publish(rows("A000", "a001"))
    result = world.sync("sf")
    assert total(result) == (1, 1, 0), "a001 is not A001, and a000 is not A000"
    assert list(crm.fields()) == ["A000"]


@pytest.mark.parametrize(
    "key",
    [
        "O'Brien",
        "back\\slash",
        'quote"s',
        "x') OR (Name != '",
        "umlaut äöü 🦊",
        "tab\tnew\nline",
    ],
)
def test_keys_are_quoted(world: World, crm: Crm, key: str) -> None:
    crm.add(key)
    world.publish(rows(key))
    assert total(world.sync("sf")) == (1, 0, 0)
    assert list(crm.fields()) == [key]


def test_answers_in_pages_and_long_lists_of_keys(world: World, crm: Crm) -> None:
    keys = [f"account-with-a-rather-long-key-{'é' * 20}-{number:05d}" for number in range(150)]
    crm.add(*keys)
    crm.page_size = 7
    world.configure("sf", **salesforce(crm))
    world.publish(rows(*keys))
    assert total(world.sync("sf")) == (150, 0, 0)
    assert max(len(each.path) for each in crm.requests) < 16_000
    assert len(crm.fields()) == 150


def test_ids_of_salesforce_itself_in_both_their_lengths(world: World, crm: Crm) -> None:
    short, long = crm.records[0].id[:15], crm.records[1].id
    world.configure("sf", **salesforce(crm, key="Id"))
    world.publish(rows(short, long, "001000000000099"))
    assert total(world.sync("sf")) == (2, 1, 0)
    assert set(crm.fields()) == set(KEYS[:2])


def test_records_are_rejected_one_by_one(world: World, crm: Crm) -> None:
    crm.rejects[KEYS[4]] = "Score is out of range"
    world.publish(rows())
    result = world.sync("sf")
    assert total(result) == (11, 1, 0)
    assert result.rejected == {"FIELD_CUSTOM_VALIDATION_EXCEPTION: Score is out of range": 1}
    crm.rejects.clear()
    assert total(world.sync("sf")) == (1, 0, 0)


def test_what_left_is_cleared(world: World, crm: Crm) -> None:
    world.publish(rows())
    world.sync("sf")
    name = world.publish(rows(*KEYS[1:]))
    assert total(world.sync("sf")) == (1, 0, 0)
    fields = crm.fields()[KEYS[0]]
    assert fields.pop("Publication__c") == name
    assert set(fields.values()) == {None}


# Logins that are answered at all are tried once: users get locked.
@pytest.mark.parametrize(
    ("kind", "on"),
    [
        *(
            (kind, on)
            for kind in ("cut", "status", "malformed", "html")
            for on in ("query", "write")
        ),
        ("cut", "token"),
    ],
)
def test_what_is_not_answered_is_tried_again(world: World, crm: Crm, kind: str, on: str) -> None:
    name = world.publish(rows())
    crm.faults.append(Fault(kind, on=on))
    assert total(world.sync("sf")) == (12, 0, 0)
    assert crm.fields() == {key: in_salesforce(key, name) for key in KEYS}


def test_a_lookup_that_fails_is_no_doubt_about_records(world: World, crm: Crm) -> None:
    world.configure("sf", **salesforce(crm))
    world.publish(rows())
    crm.faults.extend([Fault("cut", takes_effect=True, on="query")] * 3)
    assert "closed the connection without an answer, 3 times" in refused(world).message
    with ledgers.looked_at(ledgers.path_of(world.settings, "sf")) as ledger:
        assert ledger is not None and ledger.records() == {}


def test_a_lookup_that_is_repeated_is_no_doubt_either(world: World, crm: Crm) -> None:
    world.configure("sf", **salesforce(crm))
    crm.rejects[KEYS[0]] = "no"
    world.publish(rows())
    crm.faults.append(Fault("cut", takes_effect=True, on="query"))
    assert total(world.sync("sf")) == (11, 1, 0)
    with ledgers.looked_at(ledgers.path_of(world.settings, "sf")) as ledger:
        assert ledger is not None and not ledger.records()[KEYS[0]].is_unsure


@pytest.mark.parametrize("body", [[], [{"success": True}], {"success": True}])
def test_an_answer_about_other_records_confirms_nothing(world: World, crm: Crm, body: Any) -> None:
    world.configure("sf", **salesforce(crm))
    world.publish(rows())
    crm.faults.append(Fault("status", status=200, body=body))
    message = refused(world).message
    assert "Salesforce's answer is not about the records that were sent" in message
    assert "(0 of 12 records are confirmed, 12 wait" in message
    assert world.sync("sf").counts["again"] == 12
    assert len(crm.fields()) == 12


def test_a_lookup_that_is_refused_stops(world: World, crm: Crm) -> None:
    world.configure("sf", **salesforce(crm, key="Nothing__c"))
    world.publish(rows())
    message = refused(world).message
    assert "the query for the records: Salesforce answers 400: No such column" in message
    assert "look at sync.yml" in message


# -- logins --------------------------------------------------------------------------------------
def without_nulls(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not None}


def test_a_user_can_log_in_too(world: World, crm: Crm) -> None:
    world.configure("sf", **without_nulls(salesforce(crm, **USER, login_url=crm.base_url)))
    world.publish(rows())
    assert total(world.sync("sf")) == (12, 0, 0)
    assert "/services/Soap/u/62.0" in crm.requests[0].path


@pytest.mark.parametrize("variable", ["SF_CLIENT_SECRET", "SF_PASSWORD"])
def test_a_refused_login_is_tried_once_and_names_the_variables(
    world: World, crm: Crm, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "wrong-never-shown")
    if variable == "SF_PASSWORD":
        world.configure("sf", **without_nulls(salesforce(crm, **USER, login_url=crm.base_url)))
    world.publish(rows())
    error = refused(world)
    assert "Salesforce refuses the login" in error.message
    assert variable in error.message
    assert "wrong-never-shown" not in error.message
    assert crm.kinds() == {"token": 1}, "users get locked by more"


@pytest.mark.parametrize("kind", ["html", "malformed", "status"])
@pytest.mark.parametrize("user", [False, True])
def test_a_login_that_answers_nonsense_is_one_line(
    world: World, crm: Crm, kind: str, user: bool
) -> None:
    if user:
        world.configure("sf", **without_nulls(salesforce(crm, **USER, login_url=crm.base_url)))
    world.publish(rows())
    crm.faults.append(Fault(kind, on="token"))
    assert "Salesforce refuses the login" in refused(world).message
    assert crm.kinds() == {"token": 1}


def test_a_login_to_another_org_writes_nothing(world: World, crm: Crm) -> None:
    settings = salesforce(crm, **USER, login_url=crm.base_url)
    settings["instance_url"] = "https://other.my.salesforce.com"
    world.configure("sf", **without_nulls(settings))
    world.publish(rows())
    assert "sync.yml says instance_url: https://other.my.salesforce.com" in refused(world).message
    assert crm.kinds() == {"token": 1}


def test_a_certificate_that_nobody_vouches_for_is_refused(world: World, crm: Crm) -> None:
    settings = salesforce(crm)
    del settings["ca_file"]
    world.configure("sf", **settings)
    world.publish(rows())
    assert "is not trusted" in refused(world).message
    assert crm.requests == []


def test_only_the_authority_of_the_file_is_trusted(world: World, crm: Crm, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    world.configure("sf", **salesforce(crm, ca_file=str(other)))
    world.publish(rows())
    assert "is not trusted" in refused(world).message
    assert crm.requests == []


def test_without_the_package_it_says_which(
    world: World, crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "simple_salesforce", None)
    world.publish(rows())
    assert "pip install 'customer-health[salesforce]'" in refused(world).message


def test_a_session_that_ends_stops_and_the_next_sync_goes_on(world: World, crm: Crm) -> None:
    world.configure("sf", **salesforce(crm, batch_size=5, limits=LIMITS))
    world.publish(rows())
    expired = [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]
    crm.faults.append(Fault("status", status=401, body=expired, on="query"))
    assert "the session has ended; sync again" in refused(world).message
    assert total(world.sync("sf")) == (12, 0, 0)
