"""The webhook: signatures, repeats, answers record by record; and the signatures by themselves."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crm_double import HOOK, SECRET, SECRETS, Crm, Fault, serving
from hypothesis import given
from hypothesis import strategies as st
from sync_world import ENVIRONMENT, FIELDS, World, account, action, expected_fields, webhook

from customer_health.errors import HealthError
from customer_health.sync import ledger as ledgers
from customer_health.sync.run import Result
from customer_health.sync.signing import (
    IDEMPOTENCY_HEADER,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    SignatureError,
    sign,
    verify,
)

KEYS = [f"A{number:03d}" for number in range(12)]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return World(tmp_path)


@pytest.fixture
def crm(world: World) -> Iterator[Crm]:
    with serving(Crm(KEYS)) as crm:
        world.configure("hook", **webhook(crm, batch_size=5))
        yield crm


def rows(*keys: str, **changes: Any) -> list[dict[str, Any]]:
    return [account(key, **changes) for key in keys or KEYS]


def total(result: Result) -> tuple[int, int, int]:
    return result.confirmed, sum(result.rejected.values()), result.waiting


def refused(world: World) -> HealthError:
    with pytest.raises(HealthError) as caught:
        world.sync("hook")
    assert not any(secret in caught.value.message for secret in SECRETS)
    return caught.value


def test_records_arrive_signed_with_their_publication(world: World, crm: Crm) -> None:
    name = world.publish(rows())
    assert total(world.sync("hook")) == (12, 0, 0)
    assert crm.fields() == {key: expected_fields(account(key), name) for key in KEYS}
    first = json.loads(crm.requests[0].body)
    assert {key: first[key] for key in ("publication_id", "as_of_date", "destination")} == {
        "publication_id": name,
        "as_of_date": "2026-06-02",
        "destination": "hook",
    }
    assert [each["operation"] for each in first["records"]] == ["update"] * 5
    for request in crm.requests:
        verify(SECRET, request.headers, request.body)
    keys = {request.headers[IDEMPOTENCY_HEADER] for request in crm.requests}
    assert keys == {json.loads(request.body)["batch_id"] for request in crm.requests}
    assert len(keys) == 3


def test_what_left_is_cleared_by_name(world: World, crm: Crm) -> None:
    world.publish(rows())
    world.sync("hook")
    name = world.publish(rows(*KEYS[1:]))
    world.sync("hook")
    (record,) = json.loads(crm.requests[-1].body)["records"]
    assert (record["key"], record["operation"]) == (KEYS[0], "clear")
    assert record["fields"] == dict.fromkeys(FIELDS) | {"publication": name}


def test_a_repeat_has_the_same_key_and_a_new_timestamp(
    world: World, crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter(range(int(time.time()) - 5, int(time.time()) + 100))
    monkeypatch.setattr("customer_health.sync.webhook.time.time", lambda: next(moments))
    world.configure("hook", **webhook(crm, limits={"tries": 2, "backoff_seconds": 0}))
    world.publish(rows())
    crm.faults.extend([Fault("cut", takes_effect=True)] * 2)
    refused(world)
    world.sync("hook")
    keys = {request.headers[IDEMPOTENCY_HEADER] for request in crm.requests}
    stamps = {request.headers[TIMESTAMP_HEADER] for request in crm.requests}
    assert (len(crm.requests), len(keys), len(stamps)) == (3, 1, 3)


def test_the_same_records_of_another_delivery_have_another_key(world: World, crm: Crm) -> None:
    name = world.publish(rows())
    world.sync("hook")
    world.configure("hook", **webhook(crm, batch_size=5, fields={"other": "health_score"}))
    world.sync("hook")
    world.configure("hook", **webhook(crm, batch_size=5))
    world.sync("hook")
    bodies = [json.loads(request.body) for request in crm.requests]
    assert bodies[0]["records"] == bodies[6]["records"]
    assert {body["publication_id"] for body in bodies} == {name}
    assert bodies[0]["batch_id"] != bodies[6]["batch_id"]


def test_an_answer_without_results_takes_everything(world: World, crm: Crm) -> None:
    crm.answers_by_record = False
    world.publish(rows())
    assert total(world.sync("hook")) == (12, 0, 0)


def test_the_receiver_may_reject_single_records(world: World, crm: Crm) -> None:
    crm.add(KEYS[1])
    crm.rejects[KEYS[2]] = "no such team"
    world.publish(rows(*KEYS, "NOWHERE"))
    result = world.sync("hook")
    assert result.rejected == {
        "0 records have this key": 1, "2 records have this key": 1, "no such team": 1
    }  # fmt: skip
    assert result.confirmed == 10


def test_who_is_missing_at_the_receiver_is_cleared(world: World, crm: Crm) -> None:
    world.publish(rows())
    world.sync("hook")
    crm.remove(KEYS[0])
    world.publish(rows(*KEYS[1:]))
    assert total(world.sync("hook")) == (1, 0, 0)


@pytest.mark.parametrize(
    ("body", "reason", "is_unsure"),
    [
        ({"results": []}, "the answer does not name it", True),
        ({"results": [{"key": "A000", "status": "rejected"}]}, "no reason given", False),
        ({"results": [5, {"key": "A000", "status": "perhaps", "reason": "r"}]}, "r", True),
    ],
)
def test_answers_that_do_not_take_a_record(
    world: World, crm: Crm, body: Any, reason: str, is_unsure: bool
) -> None:
    world.publish(rows("A000"))
    crm.faults.append(Fault("status", status=200, body=body))
    assert world.sync("hook").rejected == {reason: 1}
    with ledgers.looked_at(ledgers.path_of(world.settings, "hook")) as ledger:
        assert ledger is not None and ledger.records()["A000"].is_unsure == is_unsure


@pytest.mark.parametrize("body", [{"ok": True}, [], "<fine/>", {"results": "all"}])
def test_any_other_answer_of_2xx_takes_everything(world: World, crm: Crm, body: Any) -> None:
    world.publish(rows("A000"))
    crm.faults.append(Fault("status", status=202, body=body))
    assert total(world.sync("hook")) == (1, 0, 0)


@pytest.mark.parametrize("kind", ["html", "malformed", "cut"])
def test_a_page_or_broken_json_is_no_answer(world: World, crm: Crm, kind: str) -> None:
    world.publish(rows("A000"))
    crm.faults.extend([Fault(kind)] * 3)
    error = refused(world)
    assert "127.0.0.1" in error.message
    assert HOOK not in error.message
    assert total(world.sync("hook")) == (1, 0, 0)


def test_a_wrong_secret_says_where_to_look(
    world: World, crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_SECRET", "another")
    world.publish(rows())
    assert "do both sides have the secret of HOOK_SECRET?" in refused(world).message
    assert len(crm.requests) == 1


def test_the_address_itself_may_be_a_secret(
    world: World, crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = webhook(crm, url_env="HOOK_URL")
    del settings["url"]
    world.configure("hook", **settings)
    monkeypatch.setenv("HOOK_URL", crm.base_url + HOOK)
    world.publish(rows())
    assert total(world.sync("hook")) == (12, 0, 0)
    monkeypatch.setenv("HOOK_URL", crm.base_url + "/elsewhere")
    assert "is that of another destination" in refused(world).message
    assert SECRET.encode() not in world.ledgers.joinpath("hook.sqlite").read_bytes()
    assert HOOK.encode() not in world.ledgers.joinpath("hook.sqlite").read_bytes()


def test_actions_are_sent_and_cleared_when_they_are_no_longer_open(world: World, crm: Crm) -> None:
    actions = [action(f"act-{number}", KEYS[0], priority=number) for number in range(10)]
    crm.add(*(each["action_id"] for each in actions))
    fields = {"account": "account_id", "what": "action_text", "due": "due_date", "p": "priority"}
    world.configure("hook", **webhook(crm, records="actions", fields=fields))
    world.publish(rows(), actions)
    assert total(world.sync("hook")) == (10, 0, 0)
    assert crm.fields()["act-3"] == {
        "account": "A000", "what": "Call the champion", "due": "2026-07-01", "p": 3
    }  # fmt: skip
    world.publish(rows(), actions[6:])
    result = world.sync("hook")
    assert result.counts["cleared"] == 6, "actions come and go; the breaker watches accounts"
    assert set(crm.fields()["act-3"].values()) == {None}


# -- signatures ----------------------------------------------------------------------------------
def signed(body: bytes, moment: int = 1_800_000_000, secret: str = SECRET) -> dict[str, str]:
    return {TIMESTAMP_HEADER: str(moment), SIGNATURE_HEADER: sign(secret, moment, body)}


def test_a_known_signature() -> None:
    """By hand: printf '1800000000.{}' | openssl dgst -sha256 -hmac key."""
    assert sign("key", 1_800_000_000, b"{}") == (
        "v1=7321475872b03ff21bdc2dfd86ea2d99ec29c479fbe4a77aa6acf4509505493f"
    )


@given(st.binary(max_size=50), st.binary(max_size=50), st.text(min_size=1, max_size=8))
def test_only_this_body_and_secret_pass(body: bytes, other: bytes, secret: str) -> None:
    headers = signed(body)
    verify(SECRET, headers, body, now=1_800_000_299)
    lower = {name.lower(): value for name, value in headers.items()}
    verify(SECRET, lower, body, now=1_799_999_701)
    if other != body:
        with pytest.raises(SignatureError, match="not of this body and secret"):
            verify(SECRET, headers, other, now=1_800_000_000)
    if secret != SECRET:
        with pytest.raises(SignatureError, match="not of this body and secret"):
            verify(secret, headers, body, now=1_800_000_000)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({TIMESTAMP_HEADER: "1800000001"}, "not of this body"),
        ({TIMESTAMP_HEADER: ""}, "no timestamp"),
        ({TIMESTAMP_HEADER: "-1800000000"}, "no timestamp"),
        ({TIMESTAMP_HEADER: "1.8e9"}, "no timestamp"),
        ({TIMESTAMP_HEADER: "٣"}, "no timestamp"),
        ({SIGNATURE_HEADER: ""}, "not of this body"),
        ({SIGNATURE_HEADER: "v1="}, "not of this body"),
        ({SIGNATURE_HEADER: "é"}, "not of this body"),
    ],
)
def test_other_headers_do_not_pass(change: dict[str, str], message: str) -> None:
    with pytest.raises(SignatureError, match=message):
        verify(SECRET, signed(b"{}") | change, b"{}", now=1_800_000_000)


@pytest.mark.parametrize("now", [1_800_000_301, 1_799_999_699])
def test_an_old_request_does_not_pass(now: int) -> None:
    with pytest.raises(SignatureError, match="too far from this clock"):
        verify(SECRET, signed(b"{}"), b"{}", now=now)
