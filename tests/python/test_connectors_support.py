"""Help desks: what a ticket's history and comments say, and whose conversations are no tickets."""

from __future__ import annotations

from typing import Any

import pytest
from connector_world import ConnectorWorld

SELECT = (
    "path:models/staging/connectors",
    "stg_health__crm_accounts",
    "stg_health__support_tickets",
    "path:models/intermediate/identity",
    "account_map",
    "account_link_methods",
    "free_mail_domains",
)
ACCOUNTS = (
    "drop view raw.crm_accounts",
    """create table raw.crm_accounts as
    select
        *, account_id as account_name, timestamp '2025-01-01' as created_at,
        timestamp '2026-01-01' as updated_at
    from (values
        ('A1', 'd1.example', false), ('A2', 'd2.example', false), ('gone', 'd2.example', true)
    ) as accounts (account_id, domain, is_deleted)""",
)
# Day and hour of what happened to a ticket: ('1 08', 'solved') is May 1st, 8 o'clock.
ZENDESK = (
    "create schema zendesk",
    """create table zendesk.organization as
    select * from (values (1, 'A1'), (2, null)) as organizations (id, external_id)""",
    "create table zendesk.domain_name as select 2 as organization_id, 'D2.example' as domain_name",
    """create table zendesk."user" as
    select * from (values
        (10, 1, 'jo@d1.example', 'end-user'), (20, null, 'flo@d2.example', 'end-user'),
        (90, null, 'agent@us.example', 'agent'), (91, null, 'boss@us.example', 'admin')
    ) as users (id, organization_id, email, role)""",
    """create table zendesk.ticket as
    select
        id, organization_id, requester_id, status, priority, type,
        timestamp '2026-05-01 08:00:00' as created_at, timestamp '2026-05-20' as updated_at,
        id = 'erased' as _fivetran_deleted
    from (values
        ('plain', 1, 10, 'solved', 'urgent', 'problem'),
        ('reopened', 1, 10, 'closed', null, 'task'),
        ('open_again', 1, 10, 'open', 'low', null),
        ('held', null, 20, 'hold', null, 'question'),
        ('on_behalf', 1, 10, 'new', null, null),
        ('for_customer', 1, 90, 'open', null, null),
        ('our_own', null, 90, 'open', null, null),
        ('merged', 1, 10, 'closed', null, null),
        ('spam', 1, 10, 'deleted', null, null),
        ('erased', 1, 10, 'open', null, null),
        ('no_history', 1, 10, 'solved', null, null)
    ) as tickets (id, organization_id, requester_id, status, priority, type)""",
    """create table zendesk.ticket_tag as
    select * from (values ('merged', 'closed_by_merge'), ('plain', 'vip')) as tags (ticket_id, tag)
    """,
    """create table zendesk.ticket_comment as
    select
        ticket_id, user_id, public,
        strptime('2026-05-' || moment, '%Y-%m-%d %H') as created
    from (values
        ('plain', 10, true, '1 08'), ('plain', 90, false, '1 09'), ('plain', 91, true, '1 10'),
        ('plain', 90, true, '2 10'),
        ('on_behalf', 90, true, '1 08'), ('on_behalf', 90, true, '1 12'),
        ('for_customer', 90, true, '1 08'), ('for_customer', 90, true, '1 09'),
        ('for_customer', 91, true, '1 11'),
        ('reopened', 10, true, '1 08'), ('reopened', 20, true, '1 09')
    ) as comments (ticket_id, user_id, public, moment)""",
    """create table zendesk.ticket_field_history as
    select
        ticket_id, field_name, value, user_id,
        strptime('2026-05-' || moment, '%Y-%m-%d %H') as updated
    from (values
        ('plain', 'status', 'new', 10, '1 08'), ('plain', 'status', 'pending', 90, '1 10'),
        ('plain', 'status', 'solved', 90, '2 10'),
        ('plain', 'satisfaction_score', 'offered', null, '3 10'),
        ('plain', 'satisfaction_score', 'bad', 10, '3 11'),
        ('plain', 'satisfaction_score', 'goodwithcomment', 10, '3 12'),
        ('reopened', 'status', 'new', 10, '1 08'), ('reopened', 'status', 'solved', 90, '2 08'),
        ('reopened', 'status', 'open', 10, '3 08'), ('reopened', 'status', 'solved', 90, '4 08'),
        ('reopened', 'status', 'closed', null, '8 08'),
        ('reopened', 'satisfaction_score', 'offered', null, '5 10'),
        ('open_again', 'status', 'new', 10, '1 08'), ('open_again', 'status', 'solved', 10, '2 08'),
        ('open_again', 'status', 'open', 10, '3 08'),
        ('open_again', 'satisfaction_score', 'badwithcomment', 10, '2 09'),
        ('spam', 'satisfaction_score', 'good', 10, '2 09'),
        ('held', 'status', 'new', 20, '1 08'), ('held', 'status', 'hold', 90, '1 09')
    ) as changes (ticket_id, field_name, value, user_id, moment)""",
)
# Milliseconds, text and instants: loaders write all of them.
INTERCOM = (
    "create schema intercom",
    """create table intercom.company_history as
    select * from (values
        ('c1', 'A99', 'old.example', timestamp '2026-01-01', false),
        ('c1', 'a1', null, timestamp '2026-02-01', true),
        ('c2', null, 'https://www.D2.example/de', timestamp '2026-02-01', true)
    ) as companies (id, company_id, website, updated_at, _fivetran_active)""",
    """create table intercom.contact_history as
    select * from (values
        ('p1', 'jo@d2.example', timestamp '2026-02-01', true),
        ('p1', 'jo@old.example', timestamp '2026-03-01', false),
        ('p2', 'flo@d2.example', timestamp '2026-02-01', true),
        ('lead', null, timestamp '2026-02-01', true)
    ) as contacts (id, email, updated_at, _fivetran_active)""",
    """create table intercom.contact_company_history as
    select * from (values
        ('p1', 'a-former-one', timestamp '2026-01-01'), ('p1', 'c1', timestamp '2026-02-01')
    ) as companies (contact_id, company_id, contact_updated_at)""",
    """create table intercom.conversation_contact_history as
    select * from (values
        ('plain', 'a-colleague', timestamp '2026-05-01'), ('plain', 'p1', timestamp '2026-05-09'),
        ('sent', 'p1', timestamp '2026-05-09'), ('sent_answered', 'p2', timestamp '2026-05-09'),
        ('reopened', 'p1', timestamp '2026-05-09')
    ) as participants (conversation_id, contact_id, conversation_updated_at)""",
    """create table intercom.conversation_history as
    select
        id, state, priority, source_author_id, source_delivered_as, rating as
        conversation_rating_value, '1777622400' as created_at,
        cast(epoch_ms(updated_at) as bigint) as updated_at, _fivetran_active
    from (values
        ('plain', 'open', 'not_priority', 'p2', 'customer_initiated', null,
            timestamp '2026-05-01', false),
        ('plain', 'closed', 'priority', 'p2', 'customer_initiated', 4,
            timestamp '2026-05-09', true),
        ('reopened', 'closed', null, null, 'customer_initiated', null,
            timestamp '2026-05-09', true),
        ('asleep', 'snoozed', null, 'p2', 'customer_initiated', 1, timestamp '2026-05-09', true),
        ('silent', 'open', null, 'lead', 'customer_initiated', null, timestamp '2026-05-09', true),
        ('sent', 'closed', null, 'us', 'admin_initiated', null, timestamp '2026-05-09', true),
        ('sent_answered', 'open', null, 'us', 'automated', null, timestamp '2026-05-09', true)
    ) as conversations (
        id, state, priority, source_author_id, source_delivered_as, rating, updated_at,
        _fivetran_active
    )""",
    """create table intercom.conversation_part_history as
    select
        row_number() over () as id, conversation_id, part_type, author_type, body,
        strptime('2026-05-' || moment, '%Y-%m-%d %H') as created_at
    from (values
        ('plain', 'comment', 'bot', 'hello', '1 09'), ('plain', 'note', 'admin', 'look', '1 10'),
        ('plain', 'assignment', 'admin', null, '1 11'),
        ('plain', 'assignment', 'admin', 'I pass you on', '1 12'),
        ('plain', 'comment', 'admin', 'done', '1 13'), ('plain', 'close', 'admin', null, '2 08'),
        ('plain', 'close', 'bot', null, '2 09'),
        ('reopened', 'close', 'admin', 'bye', '2 08'), ('reopened', 'open', 'user', 'no', '3 08'),
        ('reopened', 'close', 'admin', null, '4 08'),
        ('sent', 'close', 'admin', null, '4 08'),
        ('sent_answered', 'comment', 'user', 'thanks', '4 08')
    ) as parts (conversation_id, part_type, author_type, body, moment)""",
    # every part is landed again with the next version of its conversation
    "insert into intercom.conversation_part_history from intercom.conversation_part_history",
)


def tickets(world: ConnectorWorld, columns: str) -> dict[str, tuple[Any, ...]]:
    found = world.rows(
        f"select ticket_id, {columns} from customer_health_staging.stg_health__support_tickets"
    )
    assert len({row[0] for row in found}) == len(found)
    return {row[0]: row[1:] for row in found}


def hour(column: str) -> str:
    return f"strftime({column}, '%-d %H')"


@pytest.fixture(scope="module")
def zendesk(tmp_path_factory: pytest.TempPathFactory) -> ConnectorWorld:
    made = ConnectorWorld(tmp_path_factory.mktemp("zendesk"))
    made.land(*ACCOUNTS, *ZENDESK)
    made.build({"support_connector": "zendesk"}, SELECT)
    return made


def test_zendesk_tickets_of_nobody_stay_out_and_the_others_have_an_account(
    zendesk: ConnectorWorld,
) -> None:
    """Deleted, merged and our own ones; a deleted duplicate does not make a domain ambiguous."""
    found = tickets(zendesk, "account_id, rejection_reason")
    assert found == dict.fromkeys(
        ["plain", "reopened", "open_again", "on_behalf", "for_customer", "no_history"],
        ("A1", None),
    ) | {"held": ("A2", None)}


def test_zendesk_words_become_those_of_the_contract(zendesk: ConnectorWorld) -> None:
    found = tickets(zendesk, "status, priority, ticket_type")
    assert found["plain"] == ("solved", "urgent", "defect")
    assert found["reopened"] == ("closed", "normal", "request")
    assert found["held"] == ("pending", "normal", "question")
    assert found["on_behalf"] == ("open", "normal", None)


def test_zendesk_first_answer_is_an_agents_public_comment_after_the_question(
    zendesk: ConnectorWorld,
) -> None:
    found = tickets(zendesk, hour("first_response_at"))
    assert {ticket: row[0] for ticket, row in found.items() if row[0]} == {
        "plain": "1 10",  # not the note at 9
        "on_behalf": "1 12",  # not what the agent opened it with
        "for_customer": "1 11",  # not what the requester wrote, an agent or not
    }


def test_zendesk_last_solution_and_reopenings_come_from_the_history(
    zendesk: ConnectorWorld,
) -> None:
    found = tickets(zendesk, f"{hour('solved_at')}, reopen_count")
    assert found["plain"] == ("2 10", 0)
    assert found["reopened"] == ("4 08", 1)
    assert found["open_again"] == (None, 1)
    assert found["no_history"] == ("20 00", None)


def test_zendesk_last_rating_counts_and_an_offer_is_none(zendesk: ConnectorWorld) -> None:
    found = tickets(zendesk, "csat_score, csat_scale_max")
    assert {ticket: row for ticket, row in found.items() if row[0] is not None} == {
        "plain": (2, 2),
        "open_again": (1, 2),
    }


# The tests from here on build models anew, after those that read what the fixture built.
def test_zendesk_ratings_as_surveys_count_once(zendesk: ConnectorWorld) -> None:
    zendesk.build(
        {"support_connector": "zendesk", "surveys_connector": "zendesk"},
        [
            f"{layer}_health__{name}"
            for layer, names in (
                ("con", ("zendesk__support_tickets", "zendesk__survey_responses")),
                ("stg", ("support_tickets", "survey_responses")),
            )
            for name in names
        ],
    )
    assert zendesk.rows(
        "select response_id, account_id, contact_id, score, scale_min, scale_max, "
        f"{hour('responded_at')}, rejection_reason "
        "from customer_health_staging.stg_health__survey_responses order by 1"
    ) == [
        ("csat|open_again", "A1", "10", 0, 0, 1, "2 09", None),
        ("csat|plain", "A1", "10", 1, 0, 1, "3 12", None),
    ]
    assert set(tickets(zendesk, "csat_score").values()) == {(None,)}


def test_zendesk_without_comments_and_history(zendesk: ConnectorWorld) -> None:
    """An agent's first change of the status stands for an answer; then Zendesk's own metrics do."""
    models = ["con_health__zendesk__support_tickets", "stg_health__support_tickets"]
    zendesk.land(
        "alter table zendesk.ticket_comment rename to kept_comment",
        """create table zendesk.ticket_metrics as
        select
            'no_history' as ticket_id, 3 as reopens, '2026-05-02T08:00:00Z' as solved_at,
            '{"calendar": 90, "business": 30}' as reply_time_in_minutes""",
    )
    try:
        zendesk.build({"support_connector": "zendesk"}, models)
        found = tickets(zendesk, hour("first_response_at"))
        assert {ticket: row[0] for ticket, row in found.items() if row[0]} == {
            "plain": "1 10",
            "reopened": "2 08",
            "no_history": "1 09",  # half past nine; not what the customer solved alone
        }
        assert tickets(zendesk, f"{hour('solved_at')}, reopen_count")["no_history"] == ("2 08", 3)
        zendesk.land("alter table zendesk.ticket_field_history rename to kept_history")
        zendesk.build({"support_connector": "zendesk"}, models)
        found = tickets(zendesk, f"first_response_at, {hour('solved_at')}, reopen_count")
        assert found["plain"] == (None, "20 00", None)
    finally:
        zendesk.land(
            "alter table zendesk.kept_comment rename to ticket_comment",
            "drop table zendesk.ticket_metrics",
            "alter table if exists zendesk.kept_history rename to ticket_field_history",
        )


@pytest.fixture(scope="module")
def intercom(tmp_path_factory: pytest.TempPathFactory) -> ConnectorWorld:
    made = ConnectorWorld(tmp_path_factory.mktemp("intercom"))
    made.land(*ACCOUNTS, *INTERCOM)
    made.build({"support_connector": "intercom"}, SELECT)
    return made


def test_intercom_newest_versions_tell_account_and_state(intercom: ConnectorWorld) -> None:
    """What we sent and nobody answered is left out; a lead has no account of the CRM."""
    assert tickets(intercom, "account_id, status, priority, csat_score, rejection_reason") == {
        "plain": ("A1", "solved", "high", 4, None),
        "reopened": ("A1", "solved", "normal", None, None),
        "asleep": ("A2", "pending", "normal", 1, None),
        "silent": ("person:lead", "open", "normal", None, "unmatched_account"),
        "sent_answered": ("A2", "open", "normal", None, None),
    }


def test_intercom_parts_tell_answer_solution_and_reopenings(intercom: ConnectorWorld) -> None:
    found = tickets(
        intercom, f"{hour('first_response_at')}, {hour('solved_at')}, reopen_count, contact_id"
    )
    # neither a bot nor a note nor a silent assignment is an answer; closing twice is one closing
    assert found["plain"] == ("1 12", "2 09", 0, "p1")
    assert found["reopened"] == ("2 08", "4 08", 1, "p1")
    assert found["asleep"] == (None, None, 0, None)


def test_intercom_statistics_in_json_go_before_parts(intercom: ConnectorWorld) -> None:
    """Seconds since 1970 under a key of a document, as Airbyte lands them."""
    intercom.land(
        "alter table intercom.conversation_part_history rename to kept_parts",
        "alter table intercom.conversation_history add column statistics varchar",
        """update intercom.conversation_history set statistics =
        '{"first_admin_reply_at": 1777626000, "last_close_at": 1777708800, "count_reopens": 2}'
        where id = 'plain'""",
    )
    try:
        intercom.build(
            {"support_connector": "intercom"},
            ["path:models/staging/connectors/intercom", "stg_health__support_tickets"],
        )
        found = tickets(
            intercom,
            f"{hour('opened_at')}, {hour('first_response_at')}, {hour('solved_at')}, reopen_count",
        )
    finally:
        intercom.land(
            "alter table intercom.kept_parts rename to conversation_part_history",
            "alter table intercom.conversation_history drop column statistics",
        )
    assert found["plain"] == ("1 08", "1 09", "2 08", 2)
    assert found["reopened"] == ("1 08", None, "9 00", None)
    # nothing tells whether somebody answered: kept
    assert "sent" in found


@pytest.mark.parametrize(
    ("statement", "undo", "says"),
    [
        (
            "alter table intercom.conversation_history rename column state to stat",
            "alter table intercom.conversation_history rename column stat to state",
            "intercom table conversation_history has no column state or status (nearest: stat): "
            "name it in customer_health__connector_columns",
        ),
        (
            "alter table intercom.conversation_history rename to conversations",
            "alter table intercom.conversations rename to conversation_history",
            "intercom table conversation_history does not exist in schema intercom: load it, or "
            "name its schema in customer_health__connector_schemas, or set "
            "customer_health__using_support_tickets: false",
        ),
    ],
)
def test_intercom_what_is_missing_is_named(
    intercom: ConnectorWorld, statement: str, undo: str, says: str
) -> None:
    intercom.land(statement)
    try:
        said = intercom.refusal(
            {"support_connector": "intercom"}, ["con_health__intercom__support_tickets"]
        )
    finally:
        intercom.land(undo)
    assert says in said
