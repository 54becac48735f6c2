"""Mapping, hashes, plan and breakers: pure functions, no network and no files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customer_health.errors import HealthError
from customer_health.sync.config import Limits
from customer_health.sync.ledger import Known
from customer_health.sync.mapping import (
    OF_THE_PUBLICATION,
    FieldMapping,
    Published,
    compile_mapping,
    parse_source,
    plain,
)
from customer_health.sync.plan import (
    CLEARED_HASH,
    Plan,
    Why,
    make_plan,
    refuse_older,
    refuse_upheaval,
    shaken,
)

NOW = Published("p1", datetime(2026, 6, 30, 6), date(2026, 6, 30))
LATER = Published("p2", datetime(2026, 7, 1, 6), date(2026, 7, 1))


def mapping(**fields: str) -> FieldMapping:
    return compile_mapping(
        {name: parse_source(written) for name, written in fields.items()},
        key_columns=("sync_key", "account_id"),
        table_columns=("as_of_date", "account_id", "health_score", "band", "renewal_date"),
    )


def hash_of(made: FieldMapping, row: Sequence[Any]) -> bytes:
    return made.digests([row])[0]


def known(hash_: bytes | None, band: str | None = "healthy", **more: Any) -> Known:
    values = {"is_unsure": False, "refused_hash": None, "refused_times": 0, "is_dead": False}
    return Known(hash_, band, **(values | more))


# -- fields --------------------------------------------------------------------------------------
def test_columns_and_templates_become_fields() -> None:
    made = mapping(
        score="health_score",
        link="https://d.example.com/?a={account_id}&b={band}",
        text="{{{band}}} of {account_id}",
        publication="publication_id",
        at="published_at",
        day="as_of_date",
    )
    assert made.columns == ("health_score", "account_id", "band", "as_of_date")
    row = [64, "A 1&x=é", "at_risk", date(2026, 6, 29)]
    assert made.render(row, NOW) == {
        "score": 64,
        "link": "https://d.example.com/?a=A%201%26x%3D%C3%A9&b=at_risk",
        "text": "{at_risk} of A 1&x=é",
        "publication": "p1",
        "at": "2026-06-30T06:00:00Z",
        "day": "2026-06-29",
    }


def test_a_template_with_a_null_is_null() -> None:
    made = mapping(text="{band} until {renewal_date}", score="health_score")
    assert made.render([None, None, 5], NOW) == {"text": None, "score": 5}
    assert made.render(["healthy", date(2026, 1, 2), 5], NOW)["text"] == "healthy until 2026-01-02"


def test_cleared_is_null_in_everything_but_key_and_publication() -> None:
    made = mapping(
        score="health_score", id="account_id", p="publication_id", day="as_of_date",
        text="{publication_id}: {band}", link="https://d.example.com/{account_id}",
    )  # fmt: skip
    assert made.clear(LATER) == {"score": None, "p": "p2", "day": None, "text": None, "link": None}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Decimal("12.50"), 12.5),
        (Decimal("12.00"), 12),
        (datetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05Z"),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05+00:00"),
        (True, True),
        (None, None),
    ],
)
def test_values_are_those_of_json(value: Any, expected: Any) -> None:
    assert plain(value) == expected
    assert type(plain(value)) is type(expected)


# -- hashes --------------------------------------------------------------------------------------
def test_a_new_date_alone_is_no_change() -> None:
    made = mapping(
        score="health_score", day="as_of_date", text="{band} on {as_of_date}", p="publication_id"
    )
    before = hash_of(made, [64, date(2026, 6, 29), "healthy"])
    assert hash_of(made, [64, date(2026, 6, 30), "healthy"]) == before
    assert hash_of(made, [65, date(2026, 6, 29), "healthy"]) != before
    assert hash_of(made, [64, date(2026, 6, 29), "at_risk"]) != before


def test_a_text_with_one_column_changes_with_it() -> None:
    """Also beside what is of the publication, and when it becomes null."""
    made = mapping(text="{band} since {as_of_date}", link="https://d.example.com/{account_id}")
    rows: list[list[Any]] = [
        ["healthy", date(2026, 6, 29), "A"],
        ["healthy", date(2026, 6, 29), "B"],
        ["at_risk", date(2026, 6, 29), "A"],
        [None, date(2026, 6, 29), "A"],
    ]
    assert made.columns == ("band", "as_of_date", "account_id")
    assert len({hash_of(made, row) for row in rows}) == 4
    assert hash_of(made, ["healthy", date(2026, 6, 30), "A"]) == hash_of(made, rows[0])


def test_what_does_not_show_in_a_template_is_no_change() -> None:
    made = mapping(text="{band} until {renewal_date}", score="health_score")
    assert hash_of(made, ["healthy", None, 5]) == hash_of(made, ["at_risk", None, 5])


def test_the_mapping_is_part_of_the_hash() -> None:
    row = [64]
    hashes = {
        hash_of(mapping(score="health_score"), row),
        hash_of(mapping(other="health_score"), row),
        hash_of(mapping(score="{health_score}"), row),
        hash_of(mapping(score="health_score", p="publication_id"), row),
    }
    assert len(hashes) == 4


VALUES = st.none() | st.integers(-5, 5) | st.text(max_size=4) | st.dates()


@given(st.lists(VALUES, min_size=3, max_size=3), st.lists(VALUES, min_size=3, max_size=3))
def test_rows_have_one_hash_exactly_if_their_fields_are_equal(
    one: list[Any], other: list[Any]
) -> None:
    made = mapping(
        a="health_score",
        b="is {band}",
        c="https://d.example.com/{renewal_date}/{band}",
        d="https://d.example.com/{renewal_date}",
    )
    as_json = [json.dumps(made.render(row, NOW)) for row in (one, other)]
    assert (as_json[0] == as_json[1]) == (hash_of(made, one) == hash_of(made, other))


@given(
    st.lists(
        st.tuples(st.text(max_size=3) | st.sampled_from(["]\x1f[", "],[", "\x1f"]), VALUES),
        max_size=6,
    )
)
def test_many_rows_have_the_hashes_that_they_have_one_by_one(rows: list[tuple[Any, Any]]) -> None:
    made = mapping(a="health_score", b="band")
    assert made.digests(rows) == [hash_of(made, row) for row in rows]
    alone = mapping(a="health_score")
    assert alone.digests(rows) == [hash_of(alone, row) for row in rows]


# -- plan ----------------------------------------------------------------------------------------
MADE = mapping(score="health_score")


def digest(score: Any) -> bytes:
    return hash_of(MADE, [score])


def planned(plan: Plan) -> dict[str, str]:
    return {item.key: str(item.why) for item in plan.items}


def test_what_the_destination_has_is_compared_with_the_publication() -> None:
    ledger = {
        "same": known(digest(1)),
        "moved": known(digest(1), "at_risk"),
        "left": known(digest(1)),
        "unsure": known(digest(1), is_unsure=True),
        "unsure_new": known(None, None, is_unsure=True),
        "unsure_left": known(None, None, is_unsure=True),
        "never_had": known(None, None, refused_hash=digest(1), refused_times=2),
    }
    rows = [
        ("same", "healthy", 1),
        ("moved", "healthy", 2),
        ("fresh", "healthy", 1),
        ("unsure", "healthy", 1),
        ("unsure_new", "healthy", 1),
    ]
    plan = make_plan(rows, ledger, MADE)
    assert planned(plan) == {
        "fresh": "new",
        "left": "cleared",
        "moved": "changed",
        "unsure": "again",
        "unsure_left": "cleared",
        "unsure_new": "again",
    }
    assert plan.counts() == {
        "new": 1, "changed": 1, "again": 2, "cleared": 2, "unchanged": 1, "dead": 0
    }  # fmt: skip
    assert plan.moves == {("at_risk", "healthy"): 1}
    assert plan.had == 4
    assert plan.gone == ["never_had"], "the destination never had it, so nothing is to be cleared"
    assert [item.key for item in plan.items] == sorted(planned(plan))


def test_rejected_records_are_sent_again_until_they_are_dead() -> None:
    refused: dict[str, Any] = {"refused_hash": digest(2), "refused_times": 4}
    rows = [("a", "healthy", 2)]
    waiting = make_plan(rows, {"a": known(digest(1), **refused)}, MADE)
    assert planned(waiting) == {"a": "changed"}
    assert waiting.items[0].earlier_refusals == 4
    assert waiting.retried == 1
    dead = {"a": known(digest(1), is_dead=True, **refused)}
    assert make_plan(rows, dead, MADE).counts()["dead"] == 1
    assert planned(make_plan(rows, dead, MADE)) == {}
    assert planned(make_plan(rows, dead, MADE, retry_dead=True)) == {"a": "changed"}
    changed = make_plan([("a", "healthy", 3)], dead, MADE)
    assert planned(changed) == {"a": "changed"}, "another payload is another try"
    assert changed.items[0].earlier_refusals == 0


def test_a_rejection_is_settled_when_the_payload_is_what_the_destination_has() -> None:
    ledger = {"a": known(digest(1), refused_hash=digest(2), refused_times=5, is_dead=True)}
    plan = make_plan([("a", "healthy", 1)], ledger, MADE)
    assert (planned(plan), plan.settled, plan.unchanged) == ({}, ["a"], 1)


def test_a_clearing_can_be_a_dead_letter_too() -> None:
    ledger = {"a": known(digest(1), refused_hash=CLEARED_HASH, refused_times=5, is_dead=True)}
    assert planned(make_plan([], ledger, MADE)) == {}
    assert planned(make_plan([], ledger, MADE, retry_dead=True)) == {"a": Why.CLEARED}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_a_value_that_no_crm_takes_names_its_record(value: Any) -> None:
    with pytest.raises(HealthError, match="record 'A7'"):
        make_plan([("A7", "healthy", value)], {}, MADE)


# -- breakers ------------------------------------------------------------------------------------
def upheaval(had: int, moved: int, cleared: int, fresh: int = 0) -> Plan:
    ledger = {f"A{number}": known(digest(1), "healthy") for number in range(had)}
    rows = [
        (key, "at_risk" if number < moved else "healthy", 2 if number < moved else 1)
        for number, key in enumerate(ledger)
        if number < had - cleared
    ]
    rows += [(f"N{number}", "critical", 1) for number in range(fresh)]
    plan = make_plan(rows, ledger, MADE)
    assert shaken(plan) == (moved, cleared)
    return plan


@pytest.mark.parametrize(
    ("had", "moved", "cleared", "fresh", "is_refused"),
    [
        (100, 20, 0, 0, False),
        (100, 21, 0, 0, True),
        (100, 0, 21, 0, True),
        (100, 11, 10, 0, True),
        (100, 10, 10, 0, False),
        (0, 0, 0, 500, False),
        (100, 20, 0, 500, False),
        (10, 5, 0, 0, False),
        (10, 6, 0, 0, True),
        (5, 0, 5, 0, False),
    ],
)
def test_too_much_at_once_is_refused(
    had: int, moved: int, cleared: int, fresh: int, is_refused: bool
) -> None:
    plan = upheaval(had, moved, cleared, fresh)
    if not is_refused:
        refuse_upheaval(plan, Limits(), "accounts")
        return
    with pytest.raises(HealthError, match=r"--accept-changes \(nothing was sent\)") as caught:
        refuse_upheaval(plan, Limits(), "accounts")
    assert f"{moved + cleared} of the {had} accounts" in caught.value.message


def test_a_band_that_was_rejected_or_waits_for_nothing_is_not_counted() -> None:
    """Only what this sync would send changes the picture."""
    ledger = {
        f"A{n}": known(digest(1), "healthy", refused_hash=digest(2), refused_times=5, is_dead=True)
        for n in range(10)
    }
    plan = make_plan([(key, "at_risk", 2) for key in ledger], ledger, MADE)
    assert shaken(plan) == (0, 0)


def test_limits_change_the_breaker() -> None:
    refuse_upheaval(upheaval(100, 50, 0), Limits(breaker_share=0.5), "accounts")
    with pytest.raises(HealthError):
        refuse_upheaval(upheaval(10, 3, 0), Limits(breaker_least=2), "accounts")


def test_an_older_publication_is_refused() -> None:
    refuse_older(NOW, None)
    refuse_older(NOW, NOW)
    refuse_older(LATER, NOW)
    with pytest.raises(HealthError, match=r"readers have p1.*older.*p2.*--accept-older"):
        refuse_older(NOW, LATER)
    same_day = Published("p3", NOW.published_at - timedelta(seconds=1), LATER.as_of_date)
    with pytest.raises(HealthError):
        refuse_older(same_day, NOW)


def test_what_is_of_the_publication_is_known_to_all() -> None:
    assert set(OF_THE_PUBLICATION) <= set(Published.__dataclass_fields__)
