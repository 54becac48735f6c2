"""CRMs: who is a customer and since when, what merges leave behind, what counts as a touch."""

from __future__ import annotations

from typing import Any

import pytest
from connector_world import ConnectorWorld

TABLES = ("crm_accounts", "crm_contacts", "crm_opportunities", "crm_touchpoints")
SELECT = ("path:models/staging/connectors", *(f"stg_health__{table}" for table in TABLES))
HUBSPOT = (
    "create schema hubspot",
    """create table hubspot.company as
    select
        *, upper(id) as property_name, timestamp '2025-01-01' as property_createdate,
        timestamp '2026-05-01' as property_hs_lastmodifieddate,
        timestamp '2026-06-01' as _fivetran_synced
    from (values
        ('stage', 'Customer', '2025-03-01', null, null, null, false),
        ('won', 'lead', null, null, null, null, false),
        ('mql', 'marketingqualifiedlead', null, null, null, null, false),
        ('own_stage', '8675309', null, null, null, null, false),
        ('survivor', 'customer', '2025-02-01', 'loser; older ;never_one', 'x.example;Y.example',
            'https://www.z.example/', false),
        ('loser', 'customer', '2025-02-01', 'older', null, null, false),
        ('never_one', 'lead', null, null, null, null, true),
        ('deleted', 'customer', '2025-02-01', null, null, null, true),
        ('before', 'customer', '2025-06-01', null, null, null, false)
    ) as companies (
        id, property_lifecyclestage, property_hs_v_2_date_entered_customer,
        property_hs_merged_object_ids, property_hs_additional_domains, property_website, is_deleted
    )""",
    """create table hubspot.contact as
    select
        *, timestamp '2025-01-01' as property_createdate
    from (values
        ('c1', 'stage', 'CHAMPION', 'c9;c8:1617', false),
        ('c9', 'stage', 'CHAMPION', null, true), ('c8', 'stage', null, null, true),
        ('c2', 'won', 'END_USER', null, true), ('c3', 'mql', null, null, false),
        ('c4', null, null, null, false)
    ) as contacts (
        id, property_associatedcompanyid, property_hs_buying_role, property_hs_merged_object_ids,
        _fivetran_deleted
    )""",
    """create table hubspot.deal as
    select
        deal_id, deal_pipeline_id, deal_pipeline_stage_id, property_dealtype, property_hs_is_closed,
        property_hs_is_closed_won, 100 as property_amount,
        strptime(created, '%Y-%m-%d') as property_createdate,
        strptime(closed, '%Y-%m-%d') as property_closedate
    from (values
        ('new', 'sales', 's1', 'newbusiness', null, null, '2025-04-01', '2025-05-01'),
        ('entered_later', 'sales', 's1', null, null, null, '2026-04-01', '2025-02-01'),
        ('renewal', 'renewals', 's2', 'existingbusiness', null, null, '2026-04-01', '2026-05-01'),
        ('lost', 'sales', 's3', 'existingbusiness', null, null, '2026-04-01', '2026-05-01'),
        ('open', 'sales', 's9', 'Upsell', null, null, '2026-04-01', '2026-09-01'),
        ('said_itself', 'sales', 's9', null, true, false, '2026-04-01', '2026-05-01'),
        ('default', null, 'closedwon', null, null, null, '2026-04-01', '2026-05-01'),
        ('nobodys', 'sales', 's1', null, null, null, '2026-04-01', '2026-05-01'),
        ('hopeful', 'sales', 's9', null, null, null, '2026-04-01', '2026-05-01')
    ) as deals (
        deal_id, deal_pipeline_id, deal_pipeline_stage_id, property_dealtype, property_hs_is_closed,
        property_hs_is_closed_won, created, closed
    )""",
    """create table hubspot.deal_company as
    select * from (values
        ('new', 'stage', 341), ('entered_later', 'won', 5), ('entered_later', 'agency', 341),
        ('renewal', 'stage', 5), ('lost', 'stage', 5), ('open', 'stage', 5),
        ('said_itself', 'stage', 5), ('default', 'stage', 5), ('hopeful', 'mql', 5)
    ) as companies (deal_id, company_id, type_id)""",
    """create table hubspot.deal_pipeline as
    select * from (values ('sales', 'Sales'), ('renewals', 'Renewals EMEA')) as pipelines (
        pipeline_id, label
    )""",
    """create table hubspot.deal_pipeline_stage as
    select * from (values ('s1', true, 1.0), ('s2', true, 1.0), ('s3', false, 0.0),
        ('s9', false, 0.4)) as stages (stage_id, closed_won, probability)""",
    """create table hubspot.engagement_call as
    select
        engagement_id, strptime(moment, '%Y-%m-%d') as property_hs_timestamp,
        direction as property_hs_call_direction, status as property_hs_call_status,
        disposition as property_hs_call_disposition
    from (values
        ('talk', '2026-05-01', 'OUTBOUND', 'COMPLETED', 'f240bbac-87c9-4f6e-bf70-924b57d47db7'),
        ('voicemail', '2026-05-01', 'OUTBOUND', 'COMPLETED',
            'b2cf5968-551e-4856-9783-52b3da59a7d0'),
        ('missed', '2026-05-01', 'INBOUND', 'MISSED', null),
        ('failed', '2026-05-01', 'OUTBOUND', 'FAILED', null),
        ('selling', '2025-01-15', 'OUTBOUND', 'COMPLETED', null),
        ('by_person', '2026-05-01', 'OUTBOUND', 'COMPLETED', null),
        ('of_two', '2026-05-01', 'OUTBOUND', 'COMPLETED', null),
        ('prospect', '2026-05-01', 'OUTBOUND', 'COMPLETED', null)
    ) as calls (engagement_id, moment, direction, status, disposition)""",
    """create table hubspot.engagement_email as
    select
        engagement_id, timestamp '2026-05-02' as property_hs_timestamp,
        direction as property_hs_email_direction, status as property_hs_email_status
    from (values ('mail', 'EMAIL', 'SENT'), ('reply', 'INCOMING_EMAIL', null),
        ('bounced', 'EMAIL', 'BOUNCED')) as emails (engagement_id, direction, status)""",
    """create table hubspot.engagement_company as
    select * from (values ('talk', 'stage'), ('talk', 'stage'), ('voicemail', 'stage'),
        ('missed', 'stage'), ('failed', 'stage'), ('selling', 'stage'), ('of_two', 'stage'),
        ('of_two', 'won'), ('prospect', 'mql'), ('mail', 'stage'), ('reply', 'stage'),
        ('bounced', 'stage')) as companies (engagement_id, company_id)""",
    """create table hubspot.engagement_contact as
    select * from (values ('of_two', 'c2'), ('of_two', 'c1'), ('by_person', 'c1'),
        ('talk', 'c3')) as contacts (engagement_id, contact_id)""",
)
SALESFORCE = (
    "create schema salesforce",
    # loaders other than Fivetran keep the words of Salesforce together: IsDeleted
    """create table salesforce.account as
    select
        *, upper(id) as "Name", timestamp '2025-01-01' as "CreatedDate",
        timestamp '2026-05-01' as "SystemModstamp"
    from (values
        ('typed', 'Customer - Direct', null, false), ('won', null, null, false),
        ('hope', 'Prospective Customer', null, false), ('partner', 'Partner', null, false),
        ('loser', 'Customer - Channel', 'survivor', true), ('survivor', null, null, false),
        ('duplicate', null, 'typed', true), ('deleted', 'Customer', null, true)
    ) as accounts (id, "Type", "MasterRecordId", "IsDeleted")""",
    """create table salesforce.contact as
    select
        *, timestamp '2025-01-01' as created_date
    from (values
        ('c1', 'typed', null, false), ('c2', 'typed', 'c1', true), ('c3', 'typed', null, true),
        ('c4', 'partner', null, false), ('c5', null, null, false)
    ) as contacts (id, account_id, master_record_id, is_deleted)""",
    """create table salesforce.opportunity as
    select
        id, account_id, type, is_won, is_closed, 100 as amount, _fivetran_active,
        strptime(created, '%Y-%m-%d %H') as created_date, cast(closed as date) as close_date
    from (values
        ('entered_later', 'won', 'New Business', true, true, '2026-04-01 10', '2025-02-01', true),
        ('same_day', 'typed', 'Existing - Upgrade', true, true, '2026-04-01 10', '2026-04-01',
            true),
        ('lost', 'typed', 'Renewal', false, true, '2026-04-01 10', '2026-05-01', true),
        ('lost', 'typed', 'Renewal', false, false, '2026-04-01 10', '2026-05-01', false),
        ('open', 'typed', null, false, false, '2026-04-01 10', '2026-09-01', true),
        ('hope', 'hope', null, false, false, '2026-04-01 10', '2026-09-01', true)
    ) as opportunities (
        id, account_id, type, is_won, is_closed, created, closed, _fivetran_active
    )""",
    """create table salesforce.task as
    select
        *, timestamp '2026-05-01' as completed_date_time, timestamp '2026-04-01' as created_date
    from (values
        ('call', 'typed', 'c1', 'Call', null, null, 'Connected', true),
        ('voicemail', 'typed', 'c1', 'Call', null, 'Outbound', 'Left Voicemail', true),
        ('inbound', 'typed', null, 'Call', null, 'Inbound', null, true),
        ('by_tool', null, 'c1', 'Task', 'Call', null, null, true),
        ('mail', 'typed', null, 'Email', null, null, null, true),
        ('reply', 'typed', null, 'Email', null, null, null, true),
        ('newsletter', 'typed', null, 'ListEmail', null, null, null, true),
        ('to_do', 'typed', null, 'Task', 'Other', null, null, true),
        ('not_yet', 'typed', null, 'Call', null, null, null, false),
        ('prospect', 'hope', null, 'Call', null, null, null, true)
    ) as tasks (
        id, account_id, who_id, task_subtype, type, call_type, call_disposition, is_closed
    )""",
    """create table salesforce.event as
    select
        id, 'typed' as account_id, null as who_id, is_child, is_recurrence,
        strptime(moment, '%Y-%m-%d') as start_date_time
    from (values ('meeting', '2026-05-03', false, false), ('copy', '2026-05-03', true, false),
        ('series', '2026-05-03', false, true), ('planned', '2026-08-01', false, false),
        ('selling', '2024-12-01', false, false)) as events (id, moment, is_child, is_recurrence)""",
    "create table salesforce.email_message as select 'reply' as activity_id, true as incoming",
)


def staged(world: ConnectorWorld, table: str, columns: str) -> dict[str, tuple[Any, ...]]:
    """Rows of a staging model by their key; none may be unusable or there twice."""
    key = {
        "crm_accounts": "account_id",
        "crm_contacts": "contact_id",
        "crm_opportunities": "opportunity_id",
        "crm_touchpoints": "touchpoint_id",
    }[table]
    found = world.rows(
        f"select {key}, rejection_reason, {columns} "
        f"from customer_health_staging.stg_health__{table}"
    )
    assert {row[1] for row in found} <= {None}
    assert len({row[0] for row in found}) == len(found)
    return {row[0]: row[2:] for row in found}


def day(column: str) -> str:
    return f"strftime({column}, '%Y-%m-%d')"


@pytest.fixture(scope="module")
def hubspot(tmp_path_factory: pytest.TempPathFactory) -> ConnectorWorld:
    made = ConnectorWorld(tmp_path_factory.mktemp("hubspot"))
    made.land(*HUBSPOT)
    made.build({"crm_connector": "hubspot"}, SELECT)
    return made


def test_hubspot_customers_have_the_day_on_which_they_became_one(hubspot: ConnectorWorld) -> None:
    found = staged(hubspot, "crm_accounts", f"{day('created_at')}, is_deleted")
    assert {account: row for account, row in found.items() if account != "loser"} == {
        "stage": ("2025-03-01", False),
        "won": ("2025-02-01", False),  # of the deal, though it was entered a year later
        "survivor": ("2025-02-01", False),
        "deleted": ("2025-02-01", True),
        "before": ("2025-06-01", False),
    }


def test_hubspot_merged_companies_lead_to_the_one_that_is_left(hubspot: ConnectorWorld) -> None:
    found = staged(
        hubspot,
        "crm_accounts",
        f"merged_into_account_id, is_deleted, churn_reason, {day('churned_at')}",
    )
    assert found["loser"] == ("survivor", False, "merged", "2026-05-01")
    assert found["survivor"] == (None, False, None, None)
    assert "never_one" not in found
    assert hubspot.rows(
        "select source_account_id, link_method, link_value "
        "from customer_health_staging.con_health__hubspot__account_links order by 2, 3"
    ) == [
        ("survivor", "domain", "Y.example"),
        ("survivor", "domain", "https://www.z.example/"),
        ("survivor", "domain", "x.example"),
        ("survivor", "external_id", "loser"),
        ("survivor", "external_id", "never_one"),
        ("survivor", "external_id", "older"),
    ]


def test_hubspot_people_who_were_merged_have_not_left(hubspot: ConnectorWorld) -> None:
    assert staged(hubspot, "crm_contacts", "account_id, role, is_active") == {
        "c1": ("stage", "champion", True),
        "c2": ("won", "user", False),
    }


def test_hubspot_deals_know_company_kind_and_result(hubspot: ConnectorWorld) -> None:
    columns = f"account_id, opportunity_type, stage, {day('created_at')}, {day('closed_at')}"
    assert staged(hubspot, "crm_opportunities", columns) == {
        "new": ("stage", "new", "won", "2025-04-01", "2025-05-01"),
        "entered_later": ("won", "new", "won", "2025-02-01", "2025-02-01"),
        "renewal": ("stage", "renewal", "won", "2026-04-01", "2026-05-01"),
        "lost": ("stage", "expansion", "lost", "2026-04-01", "2026-05-01"),
        "open": ("stage", "expansion", "open", "2026-04-01", None),
        "said_itself": ("stage", "new", "lost", "2026-04-01", "2026-05-01"),
        "default": ("stage", "new", "won", "2026-04-01", "2026-05-01"),
    }


def test_hubspot_touches_are_those_that_reached_a_customer(hubspot: ConnectorWorld) -> None:
    """Not failed, bounced or of the selling; by the company, else by its people."""
    assert staged(hubspot, "crm_touchpoints", "account_id, contact_id, channel, direction") == {
        "talk-stage": ("stage", None, "call", "two_way"),
        "voicemail-stage": ("stage", None, "call", "outbound"),
        "missed-stage": ("stage", None, "call", "inbound"),
        "by_person-stage": ("stage", "c1", "call", "two_way"),
        "of_two-stage": ("stage", "c1", "call", "two_way"),
        "of_two-won": ("won", "c2", "call", "two_way"),
        "mail-stage": ("stage", None, "email", "outbound"),
        "reply-stage": ("stage", None, "email", "inbound"),
    }


def test_hubspot_stages_of_ones_own_and_tables_that_are_missing(hubspot: ConnectorWorld) -> None:
    """The last test of HubSpot: it builds anew. A CRM that knows no calls has no calls."""
    hubspot.land(
        "drop table hubspot.engagement_call",
        "drop table hubspot.deal_pipeline",
        "drop table hubspot.deal_pipeline_stage",
    )
    hubspot.build({"crm_connector": "hubspot", "customer_stages": [8675309, "Evangelist"]}, SELECT)
    # the stage of a customer no longer makes one, but the day on which it was reached does
    assert "own_stage" in staged(hubspot, "crm_accounts", "account_name")
    assert set(staged(hubspot, "crm_touchpoints", "1")) == {"mail-stage", "reply-stage"}
    found = staged(hubspot, "crm_opportunities", "opportunity_type, stage")
    assert found["renewal"] == ("expansion", "open")
    assert found["default"] == ("new", "won")
    said = hubspot.refusal(
        {"crm_connector": "hubspot", "customer_stages": ["a'b"]},
        ["con_health__hubspot__crm_accounts"],
    )
    assert "customer_health__customer_stages: 'a'b' may hold letters" in said
    hubspot.land("alter table hubspot.company rename column property_createdate to created_on")
    said = hubspot.refusal({"crm_connector": "hubspot"}, ["con_health__hubspot__crm_accounts"])
    assert (
        "hubspot table company has no column property_createdate or properties.createdate or "
        "created_at or createdat (nearest: " in said
    )


@pytest.fixture(scope="module")
def salesforce(tmp_path_factory: pytest.TempPathFactory) -> ConnectorWorld:
    made = ConnectorWorld(tmp_path_factory.mktemp("salesforce"))
    made.land(*SALESFORCE)
    made.build({"crm_connector": "salesforce"}, SELECT)
    return made


def test_salesforce_customers_and_what_was_merged(salesforce: ConnectorWorld) -> None:
    """An account into which a customer was merged is a customer, whatever it says of itself."""
    columns = f"{day('created_at')}, is_deleted, churn_reason, merged_into_account_id"
    assert staged(salesforce, "crm_accounts", columns) == {
        "typed": ("2026-04-01", False, None, None),
        "won": ("2025-02-01", False, None, None),
        "loser": ("2025-01-01", False, "merged", "survivor"),
        "survivor": ("2025-01-01", False, None, None),
        "deleted": ("2025-01-01", True, None, None),
    }
    assert salesforce.rows(
        "select source_account_id, link_value "
        "from customer_health_staging.con_health__salesforce__account_links order by 1"
    ) == [("survivor", "loser"), ("typed", "duplicate")]


def test_salesforce_people_who_were_merged_have_not_left(salesforce: ConnectorWorld) -> None:
    assert staged(salesforce, "crm_contacts", "account_id, is_active") == {
        "c1": ("typed", True),
        "c3": ("typed", False),
    }


def test_salesforce_opportunities_in_their_newest_version(salesforce: ConnectorWorld) -> None:
    columns = (
        "account_id, opportunity_type, stage, "
        f"strftime(created_at, '%Y-%m-%d %H'), {day('closed_at')}"
    )
    assert staged(salesforce, "crm_opportunities", columns) == {
        "entered_later": ("won", "new", "won", "2025-02-01 00", "2025-02-01"),
        "same_day": ("typed", "expansion", "won", "2026-04-01 10", "2026-04-01"),
        "lost": ("typed", "renewal", "lost", "2026-04-01 10", "2026-05-01"),
        "open": ("typed", "new", "open", "2026-04-01 10", None),
    }


def test_salesforce_touches_are_done_and_counted_once(salesforce: ConnectorWorld) -> None:
    assert staged(salesforce, "crm_touchpoints", "account_id, contact_id, channel, direction") == {
        "call": ("typed", "c1", "call", "two_way"),
        "voicemail": ("typed", "c1", "call", "outbound"),
        "inbound": ("typed", None, "call", "inbound"),
        "by_tool": ("typed", "c1", "call", "two_way"),
        "mail": ("typed", None, "email", "outbound"),
        "reply": ("typed", None, "email", "inbound"),
        "meeting": ("typed", None, "meeting", "two_way"),
    }


def test_salesforce_what_is_missing_is_named(salesforce: ConnectorWorld) -> None:
    """The last test of Salesforce: it changes tables."""
    salesforce.land("alter table salesforce.opportunity rename column is_won to won")
    said = salesforce.refusal(
        {"crm_connector": "salesforce"}, ["con_health__salesforce__opportunities"]
    )
    assert (
        "salesforce table opportunity has no column is_won or iswon (nearest: won): name it in "
        "customer_health__connector_columns" in said
    )
