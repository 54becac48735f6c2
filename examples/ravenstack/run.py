"""The example in one command: load the files, score them, publish, and look at the result.

    python examples/ravenstack/run.py --data FOLDER

FOLDER (or the environment variable RAVENSTACK_DATA) holds the five files ravenstack_*.csv.
Databases go to `warehouse` in this folder, or to --home.
"""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from example_kit import Example, File, main  # noqa: E402

_OF_ACCOUNTS = "account_id in (select account_id from raw.accounts)"
# What a column means: models/staging/_sources.yml.
FILES = {
    "accounts": File(
        "ravenstack_accounts.csv",
        {
            "account_id": "varchar",
            "account_name": "varchar",
            "industry": "varchar",
            "country": "varchar",
            "signup_date": "date",
            "referral_source": "varchar",
            "plan_tier": "varchar",
            "seats": "bigint",
            "is_trial": "boolean",
            "churn_flag": "boolean",
        },
        "cast(substr(account_name, 9) as bigint) < {accounts}",
    ),
    "subscriptions": File(
        "ravenstack_subscriptions.csv",
        {
            "subscription_id": "varchar",
            "account_id": "varchar",
            "start_date": "date",
            "end_date": "date",
            "plan_tier": "varchar",
            "seats": "bigint",
            "mrr_amount": "double",
            "arr_amount": "double",
            "is_trial": "boolean",
            "upgrade_flag": "boolean",
            "downgrade_flag": "boolean",
            "churn_flag": "boolean",
            "billing_frequency": "varchar",
            "auto_renew_flag": "boolean",
        },
        _OF_ACCOUNTS,
    ),
    "churn_events": File(
        "ravenstack_churn_events.csv",
        {
            "churn_event_id": "varchar",
            "account_id": "varchar",
            "churn_date": "date",
            "reason_code": "varchar",
            "refund_amount_usd": "double",
            "preceding_upgrade_flag": "boolean",
            "preceding_downgrade_flag": "boolean",
            "is_reactivation": "boolean",
            "feedback_text": "varchar",
        },
        _OF_ACCOUNTS,
    ),
    "feature_usage": File(
        "ravenstack_feature_usage.csv",
        {
            "usage_id": "varchar",
            "subscription_id": "varchar",
            "usage_date": "date",
            "feature_name": "varchar",
            "usage_count": "bigint",
            "usage_duration_secs": "bigint",
            "error_count": "bigint",
            "is_beta_feature": "boolean",
        },
        "subscription_id in (select subscription_id from raw.subscriptions)",
    ),
    "support_tickets": File(
        "ravenstack_support_tickets.csv",
        {
            "ticket_id": "varchar",
            "account_id": "varchar",
            "submitted_at": "date",
            "closed_at": "timestamp",
            "resolution_time_hours": "double",
            "priority": "varchar",
            "first_response_time_minutes": "double",
            "satisfaction_score": "double",
            "escalation_flag": "boolean",
        },
        _OF_ACCOUNTS,
    ),
}
EXAMPLE = Example(
    folder=HERE,
    variable="RAVENSTACK_DATA",
    files=FILES,
    as_of=date(2025, 1, 1),  # the day after the last one in the files
    scorecard="standard",
)

if __name__ == "__main__":
    raise SystemExit(main(EXAMPLE, __doc__))
