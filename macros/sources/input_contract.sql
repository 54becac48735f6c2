{#- The raw tables and their columns: the public interface toward the user's data, as data. Staging
    casts by it, the checked models compare by it, and docs/input_contract.md explains it.

    returns: dict of table name to
        key      columns that identify a row
        wins     which of several different rows with one key is kept:
                 `updated` newest updated_at, `last` last loaded, `first` first loaded
        columns  list of [name, kind, need], where
                 kind  id, text (shown as it is), label (trimmed), code (trimmed, lower case),
                       currency (trimmed, upper case), timestamp, date, double, integer, boolean
                 need  key (never null), required (never null), expected (the column exists, its
                       values may be null), optional (the column itself may be absent)

    Every table may also hold `loaded_at`, the instant at which the row reached the warehouse.

    Example: input_contract()['product_features']['key'] -> ['event_name', 'plan']. -#}
{% macro input_contract() -%}
    {%- do return({
        'crm_accounts': {
            'key': ['account_id'],
            'wins': 'updated',
            'columns': [
                ['account_id', 'id', 'key'],
                ['account_name', 'text', 'expected'],
                ['parent_account_id', 'id', 'optional'],
                ['domain', 'label', 'optional'],
                ['segment', 'label', 'optional'],
                ['industry', 'label', 'optional'],
                ['region', 'label', 'optional'],
                ['plan', 'label', 'optional'],
                ['seats_licensed', 'integer', 'optional'],
                ['csm_id', 'id', 'optional'],
                ['created_at', 'timestamp', 'required'],
                ['trial_ends_at', 'timestamp', 'optional'],
                ['churned_at', 'timestamp', 'optional'],
                ['churn_reason', 'code', 'optional'],
                ['merged_into_account_id', 'id', 'optional'],
                ['is_deleted', 'boolean', 'optional'],
                ['review_cadence_days', 'integer', 'optional'],
                ['updated_at', 'timestamp', 'expected'],
            ],
        },
        'crm_contacts': {
            'key': ['contact_id'],
            'wins': 'updated',
            'columns': [
                ['contact_id', 'id', 'key'],
                ['account_id', 'id', 'key'],
                ['user_id', 'id', 'optional'],
                ['role', 'code', 'expected'],
                ['is_active', 'boolean', 'optional'],
                ['left_at', 'timestamp', 'optional'],
                ['created_at', 'timestamp', 'required'],
                ['updated_at', 'timestamp', 'expected'],
            ],
        },
        'crm_opportunities': {
            'key': ['opportunity_id'],
            'wins': 'last',
            'columns': [
                ['opportunity_id', 'id', 'key'],
                ['account_id', 'id', 'key'],
                ['opportunity_type', 'code', 'required'],
                ['stage', 'code', 'required'],
                ['amount', 'double', 'expected'],
                ['currency_code', 'currency', 'expected'],
                ['created_at', 'timestamp', 'required'],
                ['closed_at', 'timestamp', 'optional'],
            ],
        },
        'crm_touchpoints': {
            'key': ['touchpoint_id'],
            'wins': 'first',
            'columns': [
                ['touchpoint_id', 'id', 'key'],
                ['account_id', 'id', 'key'],
                ['contact_id', 'id', 'optional'],
                ['channel', 'code', 'expected'],
                ['direction', 'code', 'required'],
                ['occurred_at', 'timestamp', 'required'],
                ['next_planned_at', 'timestamp', 'optional'],
            ],
        },
        'crm_csm_sentiments': {
            'key': ['sentiment_id'],
            'wins': 'first',
            'columns': [
                ['sentiment_id', 'id', 'key'],
                ['account_id', 'id', 'key'],
                ['sentiment', 'double', 'required'],
                ['note_present', 'boolean', 'optional'],
                ['author_id', 'id', 'expected'],
                ['recorded_at', 'timestamp', 'required'],
            ],
        },
        'crm_health_overrides': {
            'key': ['override_id'],
            'wins': 'first',
            'columns': [
                ['override_id', 'id', 'key'],
                ['account_id', 'id', 'key'],
                ['band_key', 'code', 'required'],
                ['reason', 'text', 'required'],
                ['author_id', 'id', 'required'],
                ['created_at', 'timestamp', 'required'],
                ['expires_at', 'timestamp', 'required'],
            ],
        },
        'product_users': {
            'key': ['user_id'],
            'wins': 'last',
            'columns': [
                ['user_id', 'id', 'key'],
                ['account_id', 'id', 'key'],
                ['role', 'label', 'optional'],
                ['created_at', 'timestamp', 'required'],
                ['deactivated_at', 'timestamp', 'optional'],
            ],
        },
        'product_events': {
            'key': ['event_id'],
            'wins': 'first',
            'columns': [
                ['event_id', 'id', 'key'],
                ['account_id', 'id', 'key'],
                ['user_id', 'id', 'optional'],
                ['event_name', 'label', 'required'],
                ['occurred_at', 'timestamp', 'required'],
                ['duration_seconds', 'double', 'optional'],
            ],
        },
        'product_usage_daily': {
            'key': ['account_id', 'usage_date', 'event_name'],
            'wins': 'last',
            'columns': [
                ['account_id', 'id', 'key'],
                ['usage_date', 'date', 'required'],
                ['event_name', 'label', 'required'],
                ['event_count', 'integer', 'required'],
                ['active_users', 'integer', 'optional'],
                ['duration_seconds', 'double', 'optional'],
            ],
        },
        'product_features': {
            'key': ['event_name', 'plan'],
            'wins': 'last',
            'columns': [
                ['event_name', 'label', 'key'],
                ['feature_key', 'label', 'required'],
                ['plan', 'label', 'optional'],
                ['is_key_success_event', 'boolean', 'optional'],
                ['is_integration', 'boolean', 'optional'],
            ],
        },
        'support_tickets': {
            'key': ['ticket_id'],
            'wins': 'updated',
            'columns': [
                ['ticket_id', 'id', 'key'],
                ['account_id', 'id', 'key'],
                ['contact_id', 'id', 'optional'],
                ['opened_at', 'timestamp', 'required'],
                ['first_response_at', 'timestamp', 'optional'],
                ['solved_at', 'timestamp', 'optional'],
                ['status', 'code', 'expected'],
                ['priority', 'code', 'expected'],
                ['complexity', 'double', 'optional'],
                ['ticket_type', 'code', 'optional'],
                ['reopen_count', 'integer', 'optional'],
                ['is_escalated', 'boolean', 'optional'],
                ['csat_score', 'double', 'optional'],
                ['csat_scale_max', 'double', 'optional'],
                ['updated_at', 'timestamp', 'expected'],
            ],
        },
        'survey_responses': {
            'key': ['response_id'],
            'wins': 'first',
            'columns': [
                ['response_id', 'id', 'key'],
                ['account_id', 'id', 'key'],
                ['contact_id', 'id', 'optional'],
                ['survey_type', 'code', 'required'],
                ['score', 'double', 'required'],
                ['scale_min', 'double', 'required'],
                ['scale_max', 'double', 'required'],
                ['responded_at', 'timestamp', 'required'],
            ],
        },
        'billing_subscriptions': {
            'key': ['subscription_id'],
            'wins': 'updated',
            'columns': [
                ['subscription_id', 'id', 'key'],
                ['account_id', 'id', 'key'],
                ['plan', 'label', 'expected'],
                ['seats', 'integer', 'optional'],
                ['mrr_amount', 'double', 'required'],
                ['currency_code', 'currency', 'required'],
                ['started_at', 'timestamp', 'required'],
                ['ended_at', 'timestamp', 'optional'],
                ['renews_at', 'timestamp', 'optional'],
                ['cancel_requested_at', 'timestamp', 'optional'],
                ['status', 'code', 'expected'],
                ['billing_period_months', 'integer', 'optional'],
                ['updated_at', 'timestamp', 'expected'],
            ],
        },
        'billing_invoices': {
            'key': ['invoice_id'],
            'wins': 'last',
            'columns': [
                ['invoice_id', 'id', 'key'],
                ['account_id', 'id', 'key'],
                ['subscription_id', 'id', 'optional'],
                ['invoice_type', 'code', 'required'],
                ['amount', 'double', 'required'],
                ['currency_code', 'currency', 'required'],
                ['issued_at', 'timestamp', 'required'],
                ['due_at', 'timestamp', 'expected'],
                ['paid_at', 'timestamp', 'optional'],
                ['status', 'code', 'expected'],
            ],
        },
        'billing_exchange_rates': {
            'key': ['currency_code', 'rate_date'],
            'wins': 'last',
            'columns': [
                ['currency_code', 'currency', 'key'],
                ['rate_date', 'date', 'required'],
                ['rate_to_reporting_currency', 'double', 'required'],
            ],
        },
        'onboarding_milestones': {
            'key': ['milestone_id'],
            'wins': 'last',
            'columns': [
                ['milestone_id', 'id', 'key'],
                ['account_id', 'id', 'key'],
                ['milestone_key', 'label', 'required'],
                ['weight', 'double', 'optional'],
                ['due_at', 'timestamp', 'optional'],
                ['completed_at', 'timestamp', 'optional'],
            ],
        },
        'marketing_engagements': {
            'key': ['engagement_id'],
            'wins': 'first',
            'columns': [
                ['engagement_id', 'id', 'key'],
                ['account_id', 'id', 'key'],
                ['contact_id', 'id', 'optional'],
                ['channel', 'code', 'expected'],
                ['engagement_type', 'code', 'required'],
                ['occurred_at', 'timestamp', 'required'],
            ],
        },
        'success_goals': {
            'key': ['goal_id'],
            'wins': 'updated',
            'columns': [
                ['goal_id', 'id', 'key'],
                ['account_id', 'id', 'key'],
                ['goal_name', 'text', 'expected'],
                ['baseline_value', 'double', 'optional'],
                ['target_value', 'double', 'optional'],
                ['current_value', 'double', 'optional'],
                ['due_at', 'timestamp', 'optional'],
                ['achieved_at', 'timestamp', 'optional'],
                ['updated_at', 'timestamp', 'expected'],
            ],
        },
    }) -%}
{%- endmacro %}
