"""What all connectors share: whose rows they are, and what a vendor's table may lack."""

from __future__ import annotations

import pytest
import yaml
from connector_world import PROJECT_DIR, ConnectorWorld

from customer_health.errors import HealthError
from customer_health.settings import CONNECTORS, validate_vars

ZENDESK = {
    "support_connector": "zendesk",
    "connector_schemas": {"zendesk": "help"},
}
# Accounts of the CRM, and a help desk that knows some of them under names of its own.
LANDED = (
    "create schema help",
    "drop view raw.crm_accounts",
    """create table raw.crm_accounts as
    select
        *, account_id as account_name, timestamp '2025-01-01' as created_at,
        timestamp '2026-01-01' as updated_at
    from (values
        ('A1', 'd1.example', null), ('a2', 'https://WWW.D2.example/shop', null),
        ('A3', 'd3.example', null), ('A4', 'd4.example', null), ('A5', 'd4.example', null),
        ('A6', 'gmail.com', null), ('A7', 'd7.example', 'A8'), ('A8', null, 'A1')
    ) as accounts (account_id, domain, merged_into_account_id)""",
    """create table help.organization as
    select * from (values
        ('by_id', 'A2', false), ('by_domain', null, false), ('by_map', 'A3', false),
        ('unknown', 'A99', false), ('two', null, false), ('merged', 'A7', false),
        ('contradicted', 'A1', false), ('gone', 'A3', true)
    ) as organizations (id, external_id, _fivetran_deleted)""",
    """create table help.domain_name as
    select * from (values
        ('by_domain', 'WWW.d3.example'), ('two', 'd4.example'), ('contradicted', 'd3.example')
    ) as names (organization_id, domain_name)""",
    """create table help."user" as
    select * from (values
        ('u3', null, 'jo@D3.example', 'end-user'), ('ufree', null, 'jo@GMAIL.com', 'end-user'),
        ('unone', null, 'nobody', 'end-user'), ('agent', null, 'agent@d1.example', 'agent'),
        ('uorg', 'by_id', 'x@elsewhere.example', 'end-user')
    ) as users (id, organization_id, email, role)""",
    """create table help.ticket as
    select
        id, organization_id, requester_id, ' OPEN ' as status,
        timestamptz '2026-05-01 12:00:00+02' as created_at, 1777723200000 as updated_at,
        id = 'deleted' as _fivetran_deleted
    from (values
        ('id', 'by_id', 'uorg'), ('domain', 'by_domain', null), ('map', 'by_map', null),
        ('unknown', 'unknown', 'u3'), ('two', 'two', null), ('merged', 'merged', null),
        ('contradicted', 'contradicted', null), ('person', null, 'u3'), ('free', null, 'ufree'),
        ('none', null, 'unone'), ('by_user', null, 'uorg'), ('deleted', 'by_id', null),
        ('gone', 'gone', null)
    ) as tickets (id, organization_id, requester_id)""",
)
MERGE = "update raw.crm_accounts set merged_into_account_id = {} where account_id = 'A1'"
SELECT = (
    "path:models/staging/connectors/zendesk",
    "stg_health__crm_accounts",
    "stg_health__support_tickets",
    "path:models/intermediate/identity",
    "dim_health__account_links",
    "account_map",
    "account_link_methods",
    "free_mail_domains",
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> ConnectorWorld:
    made = ConnectorWorld(tmp_path_factory.mktemp("connectors"), accounts=40)
    made.land(*LANDED)
    made.build(ZENDESK, SELECT)
    # the seed is empty in the project: what a deployment writes into its own is put there here
    made.change(
        "insert into customer_health_policy.account_map values "
        "('zendesk', 'by_map', 'A1'), ('zendesk', 'domain:d3.example', 'A99'), ('crm', 'OLD', 'A7')"
    )
    made.build(ZENDESK, [name for name in SELECT if name != "account_map"])
    return made


def tickets(world: ConnectorWorld) -> dict[str, tuple[str, str | None]]:
    found = world.rows(
        "select ticket_id, account_id, rejection_reason "
        "from customer_health_staging.stg_health__support_tickets"
    )
    return {ticket: (account, reason) for ticket, account, reason in found}


def test_every_ticket_is_there_with_its_account_or_the_reason_why_not(
    world: ConnectorWorld,
) -> None:
    assert tickets(world) == {
        "id": ("a2", None),
        "domain": ("A3", None),
        "map": ("A1", None),
        "merged": ("A1", None),
        "contradicted": ("A1", None),
        "by_user": ("a2", None),
        # the map names an account that the CRM does not know: the e-mail domain decides
        "person": ("A3", None),
        "unknown": ("unknown", "unmatched_account"),
        "two": ("two", "ambiguous_account"),
        "free": ("domain:gmail.com", "unmatched_account"),
        "none": (None, "unmatched_account"),
        "gone": ("gone", "unmatched_account"),
    }


def test_links_tell_how_they_were_found_and_what_speaks_against_them(
    world: ConnectorWorld,
) -> None:
    found = world.rows(
        "select source_account_id, account_id, link_state, link_method, confidence, "
        "candidate_account_ids, candidate_count, has_public_domain, is_contradicted "
        "from marts.customer_health.dim_health__account_links"
    )
    links = {row[0]: row[1:] for row in found}
    assert links == {
        "by_id": ("a2", "linked", "external_id", 0.95, "a2", 1, False, False),
        "by_domain": ("A3", "linked", "domain", 0.8, "A3", 1, False, False),
        "by_map": ("A1", "linked", "map", 1.0, "A1, A3", 2, False, True),
        "unknown": (None, "unmatched", None, None, None, 0, False, False),
        "two": (None, "conflict", "domain", None, "A4, A5", 2, False, False),
        "merged": ("A1", "linked", "external_id", 0.95, "A1", 1, False, False),
        "contradicted": ("A1", "linked", "external_id", 0.95, "A1, A3", 2, False, True),
        "domain:d3.example": ("A3", "linked", "domain", 0.8, "A3", 1, False, False),
        "domain:gmail.com": (None, "unmatched", None, None, None, 0, True, False),
    }


def test_numbers_are_instants_and_codes_lose_their_blanks(world: ConnectorWorld) -> None:
    assert world.rows(
        "select opened_at::text, updated_at::text, status, priority "
        "from customer_health_staging.stg_health__support_tickets where ticket_id = 'id'"
    ) == [("2026-05-01 10:00:00", "2026-05-02 12:00:00", "open", "normal")]


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"connector_schemas": {"zendesk": "nowhere"}}, "zendesk table ticket does not exist"),
        (
            {"connector_columns": {"support_tickets": {"complexity": "custom_complexity"}}},
            "zendesk table ticket has no column custom_complexity",
        ),
        (
            {"connector_columns": {"support_tickets": {"complexty": "x"}}},
            "no such column (nearest: complexity)",
        ),
        ({"support_connector": "zendsk"}, "there is zendesk, intercom"),
    ],
)
def test_what_cannot_be_read_is_named(
    world: ConnectorWorld, variables: dict[str, object], says: str
) -> None:
    said = world.refusal(ZENDESK | variables, ["con_health__zendesk__support_tickets"])
    assert says in said


def test_merges_that_go_round_in_a_circle_stop_the_build(world: ConnectorWorld) -> None:
    world.land(MERGE.format("'A7'"))
    try:
        said = world.refusal(ZENDESK, ["stg_health__crm_accounts", "int_health__account_aliases"])
    finally:
        world.land(
            "update raw.crm_accounts set merged_into_account_id = null where account_id = 'A1'"
        )
    assert "merges_come_to_an_end" in said or "Got 1 result" in said


def test_the_command_line_knows_the_connectors_that_dbt_knows() -> None:
    macro = (PROJECT_DIR / "macros" / "sources" / "connectors.sql").read_text(encoding="utf-8")
    body = macro[macro.index("-%}") + 3 :]
    names: dict[str, object] = {}
    lists = {}
    for line in body.splitlines():
        if "{%- set" in line:
            name, _, value = line.split("set", 1)[1].strip().removesuffix("-%}").partition("=")
            lists[name.strip()] = yaml.safe_load(value)
    written = body[body.index("return({") + 7 : body.index("}) -%}") + 1]
    names = eval(written, {"__builtins__": {}}, lists)  # the macro's own literal
    assert names == {
        domain: {vendor: list(tables) for vendor, tables in vendors.items()}
        for domain, vendors in CONNECTORS.items()
    }


@pytest.mark.parametrize(
    "variables",
    [
        {"crm_connector": "zendesk"},
        {"connector_schemas": {"hubspt": "x"}},
        {"connector_schemas": {"hubspot": "x; drop"}},
        {"connector_schemas": "hubspot"},
        {"connector_columns": {"crm_acounts": {"plan": "x"}}},
        {"connector_columns": {"crm_accounts": {"plan": "x'y"}}},
        {"connector_columns": {"crm_accounts": "plan"}},
        {"connector_database": "a b"},
    ],
)
def test_vars_of_connectors_are_checked_at_the_door(variables: dict[str, object]) -> None:
    with pytest.raises(HealthError) as refused:
        validate_vars(variables)
    assert next(iter(variables)) in str(refused.value)


def test_right_vars_of_connectors_pass() -> None:
    validate_vars(
        {
            "crm_connector": "hubspot",
            "surveys_connector": None,
            "connector_schemas": {"hubspot": "raw_hubspot"},
            "connector_columns": {"product_events": {"account_id": "properties.company id"}},
        }
    )
