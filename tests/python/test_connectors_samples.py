"""Connectors on tables that a loader really landed: columns, types and values.

The rows come from the samples that the loader's own packages are tested with; their ids do not join
across vendors. Not part of the repository.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from connector_world import PROJECT_DIR, ConnectorWorld

SAMPLES = Path(
    os.environ.get("VENDOR_SCHEMAS_DATA", PROJECT_DIR.parent / "shared" / "data" / "vendor_schemas")
)
NAMES = {
    "hubspot": """
        company deal deal_company deal_pipeline_stage engagement_call engagement_meeting
        engagement_email engagement_company engagement_contact
    """,
    "zendesk": "ticket ticket_comment ticket_field_history user organization domain_name",
    "stripe": """
        customer subscription subscription_history subscription_item price plan product invoice
        charge refund
    """,
    "pendo": """
        feature_event page_event feature_history page_history visitor_history account_history
        poll poll_event
    """,
    "mixpanel": "event",
}
PLAIN = {"pendo", "mixpanel"}  # the files of the others end in _data
TABLES = {
    vendor: {
        name: f"{name}.csv" if vendor in PLAIN else f"{name}_data.csv" for name in names.split()
    }
    for vendor, names in NAMES.items()
}
# The samples of HubSpot name no customers: here every company was one from the day it was entered.
HUBSPOT = {
    "crm_connector": "hubspot",
    "connector_columns": {"crm_accounts": {"created_at": "property_createdate"}},
    "using_crm_contacts": False,  # no sample has them
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> ConnectorWorld:
    missing = [
        f"{vendor}/{file}"
        for vendor, files in TABLES.items()
        for file in files.values()
        if not (SAMPLES / vendor / file).is_file()
    ]
    if missing:
        pytest.skip(f"VENDOR_SCHEMAS_DATA: no {missing[0]} in {SAMPLES}")
    made = ConnectorWorld(tmp_path_factory.mktemp("samples"))
    for vendor, files in TABLES.items():
        made.land_csv(vendor, {name: SAMPLES / vendor / file for name, file in files.items()})
    made.build(
        HUBSPOT
        | {
            "support_connector": "zendesk",
            "billing_connector": "stripe",
            "product_connector": "pendo",
            "surveys_connector": "pendo",
        },
        # ids of the samples do not meet, so that some tables have no row: see the test below
        exclude=["assert_connected_tables_have_rows"],
    )
    return made


def rows(world: ConnectorWorld, query: str) -> list[tuple[Any, ...]]:
    return world.rows(query.replace("{staging}", "customer_health_staging"))


def test_companies_are_read_with_their_deletions(world: ConnectorWorld) -> None:
    found = rows(
        world,
        "select count(*), count(*) filter (where rejection_reason is not null), "
        "count(created_at), count(distinct region) from {staging}.stg_health__crm_accounts",
    )
    landed = rows(world, "select count(*) from landing.hubspot.company")[0][0]
    assert found[0][:3] == (landed, 0, landed)
    assert rows(
        world,
        "select created_at::text from {staging}.stg_health__crm_accounts "
        "where account_id = '2182162682'",
    ) == [("2019-07-05 20:35:26",)]


def test_tickets_are_read_without_those_that_were_deleted(world: ConnectorWorld) -> None:
    assert rows(
        world, "select count(*) from {staging}.con_health__zendesk__support_tickets"
    ) == rows(world, "select count(*) from landing.zendesk.ticket where status <> 'deleted'")
    assert rows(
        world,
        "select account_id, status, opened_at::text, ticket_type "
        "from {staging}.con_health__zendesk__support_tickets where ticket_id = '16988'",
    ) == [("370469077513", "solved", "2020-12-22 00:19:23", None)]


def test_cents_become_money_and_test_mode_stays_out(world: ConnectorWorld) -> None:
    # 2 items at 1,500.00 a month; 1 item at the same
    assert rows(
        world,
        "select subscription_id, mrr_amount, currency_code, seats, billing_period_months, status "
        "from {staging}.con_health__stripe__billing_subscriptions order by 1",
    ) == [
        ("sdgfs4536", 1500.0, "USD", 1, 1, "active"),
        ("sfjytkyu876", 3000.0, "USD", 2, 1, "active"),
    ]
    assert rows(
        world,
        "select invoice_id, amount, currency_code, status "
        "from {staging}.con_health__stripe__billing_invoices",
    ) == [("ab1111", 10.0, "USD", "paid")]
    assert rows(
        world,
        "select link_value from {staging}.con_health__stripe__account_links "
        "where source_account_id = 'cus_ImVzJQmSlYHjZL' and link_method = 'external_id'",
    ) == [("80755622-45b3-40a6-9544-25af39e0e50c",)]


def test_features_and_pages_are_events_by_their_newest_name(world: ConnectorWorld) -> None:
    assert rows(world, "select count(*) from {staging}.con_health__pendo__product_events") == rows(
        world,
        "select (select count(*) from landing.pendo.feature_event) "
        "+ (select count(*) from landing.pendo.page_event)",
    )
    assert rows(
        world,
        "select account_id, user_id, event_name, occurred_at::text, duration_seconds "
        "from {staging}.con_health__pendo__product_events "
        "where account_id = 'extinguished_cool'",
    ) == [
        (
            "extinguished_cool",
            "billy_idol_again",
            "feature: Add New thing",
            "2021-06-03 05:00:00",
            60,
        )
    ]


def test_mixpanel_events_without_a_table_of_people(world: ConnectorWorld) -> None:
    world.build(
        {"product_connector": "mixpanel", "using_product_users": False}
        | {"connector_columns": {"product_events": {"account_id": "properties.user_id"}}},
        ["con_health__mixpanel__product_events", "con_health__mixpanel__account_links"],
    )
    assert rows(
        world,
        "select account_id, event_name, occurred_at::text, user_id "
        "from {staging}.con_health__mixpanel__product_events where event_name = 'plays' "
        "order by occurred_at limit 1",
    ) == [("114521", "plays", "2020-08-01 10:16:46", "9e308c27-42ab-57af-beef-555708cde092")]


def test_tables_without_a_row_would_stop_a_run(world: ConnectorWorld) -> None:
    said = world.refusal(
        HUBSPOT | {"surveys_connector": "pendo"}, ["assert_connected_tables_have_rows"]
    )
    assert re.search(r"Got [1-9]\d* results?", said)
