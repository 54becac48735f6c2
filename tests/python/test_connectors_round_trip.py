"""Rows of the input contract, put into a vendor's tables, come back through its connector.

Five deployments with other vendors each; each is built once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from connector_world import ConnectorWorld

from customer_health.settings import CONNECTORS


@dataclass(frozen=True)
class Deployment:
    """One vendor per domain, and what its project says besides.

    Attributes:
        vendors: domain to vendor.
        more: further variables, without prefix.
    """

    vendors: dict[str, str]
    more: dict[str, object] = field(default_factory=dict)

    @property
    def variables(self) -> dict[str, object]:
        return {
            f"{domain}_connector": vendor for domain, vendor in self.vendors.items()
        } | self.more


SHAPES = Path(__file__).parent / "vendor_shapes"
HUBSPOT_PLAN = {"crm_accounts": {"plan": "property_plan_tier"}}
DEPLOYMENTS = {
    "hubspot": Deployment(
        {
            "crm": "hubspot",
            "support": "zendesk",
            "billing": "stripe",
            "product": "segment",
            "surveys": "delighted",
        },
        {
            "connector_columns": HUBSPOT_PLAN
            | {"support_tickets": {"complexity": "custom_complexity"}}
        },
    ),
    "salesforce": Deployment(
        {
            "crm": "salesforce",
            "support": "intercom",
            "billing": "chargebee",
            "product": "mixpanel",
            "surveys": "qualtrics",
        }
    ),
    "pendo": Deployment({"product": "pendo", "surveys": "pendo"}),
    "posthog": Deployment({"support": "zendesk", "surveys": "zendesk", "product": "posthog"}),
    "amplitude": Deployment({"product": "amplitude"}),
}

# What a vendor gives back: columns, and how those that it cannot tell exactly are expected.
ACCOUNT_COLUMNS = (
    "account_id account_name parent_account_id segment industry region plan seats_licensed csm_id "
    "trial_ends_at churned_at churn_reason created_at updated_at"
)
SAME = {
    "hubspot": {
        "crm_accounts": f"{ACCOUNT_COLUMNS} domain",
        "crm_contacts": "contact_id account_id user_id role left_at created_at updated_at",
        "crm_opportunities": "opportunity_id account_id opportunity_type stage amount "
        "currency_code created_at closed_at",
        "crm_touchpoints": "account_id contact_id channel direction occurred_at",
    },
    "salesforce": {
        "crm_accounts": f"{ACCOUNT_COLUMNS} review_cadence_days",
        "crm_contacts": "contact_id account_id user_id role left_at created_at updated_at",
        "crm_opportunities": "opportunity_id account_id opportunity_type stage amount "
        "currency_code created_at closed_at",
        "crm_touchpoints": "touchpoint_id account_id contact_id channel direction occurred_at",
    },
    "zendesk": {
        "support_tickets": "ticket_id account_id contact_id opened_at first_response_at solved_at "
        "status priority ticket_type reopen_count csat_score csat_scale_max updated_at",
        "survey_responses": "account_id contact_id survey_type score scale_min scale_max "
        "responded_at",
    },
    "intercom": {
        "support_tickets": "ticket_id account_id opened_at first_response_at solved_at "
        "reopen_count csat_score csat_scale_max updated_at"
    },
    "stripe": {
        "billing_subscriptions": "subscription_id account_id plan seats mrr_amount currency_code "
        "started_at ended_at renews_at cancel_requested_at status billing_period_months",
        "billing_invoices": "invoice_id account_id invoice_type amount currency_code issued_at "
        "due_at paid_at",
    },
    "chargebee": {
        "billing_subscriptions": "subscription_id account_id plan seats mrr_amount currency_code "
        "started_at status billing_period_months updated_at",
        "billing_invoices": "invoice_id account_id subscription_id invoice_type amount "
        "currency_code issued_at paid_at",
    },
    "segment": {
        "product_users": "user_id account_id role created_at deactivated_at",
        "product_events": "event_id account_id user_id event_name occurred_at duration_seconds",
    },
    "mixpanel": {
        "product_users": "user_id account_id role created_at",
        "product_events": "event_id account_id user_id event_name occurred_at duration_seconds",
    },
    "pendo": {
        "product_users": "user_id account_id role created_at",
        "product_events": "account_id user_id event_name occurred_at duration_seconds",
        "survey_responses": "account_id survey_type score scale_min scale_max responded_at",
    },
    "amplitude": {"product_events": "event_id account_id user_id event_name occurred_at"},
    "posthog": {
        "product_users": "user_id account_id role created_at",
        "product_events": "event_id account_id user_id event_name occurred_at",
    },
    "delighted": {
        "survey_responses": "response_id account_id survey_type score scale_min scale_max "
        "responded_at"
    },
    "qualtrics": {
        "survey_responses": "account_id survey_type score scale_min scale_max responded_at"
    },
}
# Where the vendor's words are fewer or others than those of the contract.
EXPECTED = {
    ("pendo", "product_events", "event_name"): (
        "case hash(event_name) % 2 when 0 then 'feature: ' else 'page: ' end || event_name"
    ),
    # a refund is due and paid when it is made
    **{
        (vendor, "billing_invoices", column): (
            f"case when invoice_type = 'refund' then issued_at else {column} end"
        )
        for vendor in ("stripe", "chargebee")
        for column in ("due_at", "paid_at")
    },
    # good or bad, as two steps
    ("zendesk", "support_tickets", "csat_score"): (
        "case when csat_score >= 4 then 2.0 when csat_score is not null then 1.0 end"
    ),
    ("zendesk", "support_tickets", "csat_scale_max"): (
        "case when csat_score is not null then 2.0 end"
    ),
    # in this deployment ratings are survey responses, and count once
    ("posthog", "support_tickets", "csat_score"): "cast(null as double)",
    ("posthog", "support_tickets", "csat_scale_max"): "cast(null as double)",
    ("zendesk", "survey_responses", "survey_type"): "'csat'",
    ("zendesk", "survey_responses", "score"): "case when csat_score >= 4 then 1.0 else 0.0 end",
    ("zendesk", "survey_responses", "scale_min"): "0.0",
    ("zendesk", "survey_responses", "scale_max"): "1.0",
    ("zendesk", "survey_responses", "responded_at"): "solved_at + interval 2 hour",
}
FROM = {("zendesk", "survey_responses"): "support_tickets"}
ONLY = {
    ("zendesk", "survey_responses"): "csat_score is not null and solved_at is not null",
    ("pendo", "survey_responses"): "survey_type = 'nps'",
    ("qualtrics", "survey_responses"): "survey_type = 'nps'",
}
# Rows that the shapes have besides and a connector keeps: a company that won a deal and that deal,
# accounts that were deleted or merged, events that only their devices number.
ALSO = {
    ("amplitude", "product_events"): 2,
    ("hubspot", "crm_accounts"): 2,
    ("hubspot", "crm_opportunities"): 1,
    ("salesforce", "crm_accounts"): 2,
}
CASES = [
    (name, vendor, table)
    for name, deployment in DEPLOYMENTS.items()
    for domain, vendor in deployment.vendors.items()
    for table in CONNECTORS[domain][vendor]
    if SAME[vendor].get(table)
]


def landed(home: Path, deployment: Deployment) -> ConnectorWorld:
    """A world with the tables of a deployment's vendors; nothing is built."""
    world = ConnectorWorld(home, accounts=60, days=200)
    for vendor in ("base", *sorted(set(deployment.vendors.values()))):
        world.land((SHAPES / f"{vendor}.ddl").read_text(encoding="utf-8"))
    return world


@pytest.fixture(scope="module", params=list(DEPLOYMENTS))
def deployed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, ConnectorWorld]]:
    deployment = DEPLOYMENTS[request.param]
    world = landed(tmp_path_factory.mktemp(request.param), deployment)
    world.build(deployment.variables)
    yield request.param, world


def test_rows_come_back_as_they_were(deployed: tuple[str, ConnectorWorld]) -> None:
    name, world = deployed
    wrong = []
    for case, vendor, table in CASES:
        if case != name:
            continue
        columns = SAME[vendor][table].split()
        told = {
            column: EXPECTED.get((name, table, column))
            or EXPECTED.get((vendor, table, column), column)
            for column in columns
        }
        expected = ", ".join(f"{told[column]} as {column}" for column in columns)
        doubles = {"amount", "mrr_amount", "duration_seconds", "score"}
        found = ", ".join(
            f"round({column}, 6) as {column}" if column in doubles else column for column in columns
        )
        condition = ONLY.get((vendor, table), "true")
        source = FROM.get((vendor, table), table)
        base = (
            f"select {found} from (select {expected} from landing.base.{source} where {condition})"
        )
        staged = (
            f"select {found} from customer_health_staging.stg_health__{table} "
            "where rejection_reason is null"
        )
        missing = world.rows(f"{base} except all {staged}")
        added = world.rows(f"{staged} except all {base}")
        total = world.rows(f"select count(*) from ({base})")[0][0]
        assert total > 20, (vendor, table, total)
        if missing or len(added) != ALSO.get((vendor, table), 0):
            wrong.append(
                f"{vendor} {table}: {len(missing)} of {total} missing, {len(added)} added; "
                f"{columns}: missing {missing[:2]} added {added[:2]}"
            )
    assert not wrong, "\n".join(wrong)


def test_what_the_shapes_have_besides(deployed: tuple[str, ConnectorWorld]) -> None:
    """Merged and deleted accounts, mapped columns, links by former ids, events without an id."""
    name, world = deployed
    if name == "amplitude":
        assert world.rows(
            "select event_id from customer_health_staging.stg_health__product_events "
            "where event_name = 'page' and user_id = 'u' order by 1"
        ) == [("laptop|7",), ("phone|7",)]
    if name == "hubspot":
        # a krona has no cents, and Stripe counts a hundred of them all the same
        assert world.rows(
            "select amount, currency_code "
            "from customer_health_staging.con_health__stripe__billing_invoices "
            "where invoice_id = 'krona'"
        ) == [(5.0, "ISK")]
        # what has no single amount is not free
        assert world.rows(
            "select subscription_id, mrr_amount, seats "
            "from customer_health_staging.con_health__stripe__billing_subscriptions "
            "where subscription_id in ('free', 'test', 'tiers') order by 1"
        ) == [("free", 0.0, 1), ("tiers", None, 1)]
        assert world.rows(
            "select account_id, is_deleted, created_at::date::text "
            "from customer_health_staging.stg_health__crm_accounts "
            "where account_id in ('won', 'deleted', 'prospect') order by 1"
        ) == [("deleted", True, "2026-01-01"), ("won", False, "2026-03-01")]
        assert world.rows(
            "select count(*) from customer_health_staging.stg_health__support_tickets as staged "
            "inner join landing.base.support_tickets as base using (ticket_id) "
            "where staged.complexity is distinct from base.complexity"
        ) == [(0,)]
        assert world.rows(
            "select count(*), count(distinct source_account_id) "
            "from customer_health_staging.con_health__hubspot__account_links "
            "where link_value in ('old-' || source_account_id, 'older-' || source_account_id)"
        ) == world.rows("select 2 * count(*), count(*) from landing.base.crm_accounts")
    elif name == "salesforce":
        assert world.rows(
            "select account_id, is_deleted, churn_reason, churned_at::date::text, "
            "merged_into_account_id = (select min(account_id) from landing.base.crm_accounts) "
            "from customer_health_staging.stg_health__crm_accounts "
            "where account_id in ('merged', 'deleted', 'prospect', 'duplicate') order by 1"
        ) == [("deleted", True, None, None, None), ("merged", False, "merged", "2026-02-01", True)]
        assert world.rows(
            "select link_value from customer_health_staging.con_health__salesforce__account_links "
            "where link_value in ('merged', 'duplicate') order by 1"
        ) == [("duplicate",), ("merged",)]
    links = world.rows(
        "select source_system, source_account_id "
        "from customer_health_intermediate.int_health__account_identity "
        "where link_state <> 'linked'"
    )
    # a group of nobody, and former companies and accounts that nothing belongs to any more
    assert {account for _, account in links} <= {"anonymous", "a-former-one"}
