"""The example in one command: load the files, score them, publish, and look at the result.

    python examples/crm_simulation/run.py --data FOLDER

FOLDER (or the environment variable CRM_SIMULATION_DATA) holds account.csv, subscription.csv,
event_daily.csv.gz and outcome.csv. Databases go to `warehouse` in this folder, or to --home.
"""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from example_kit import Example, File, main  # noqa: E402

_FEW = "try_cast(account_id as bigint) < {accounts}"
# What a column means: models/staging/_sources.yml.
FILES = {
    "account": File(
        "account.csv",
        {
            "account_id": "varchar",
            "channel": "varchar",
            "date_of_birth": "date",
            "country": "varchar",
            "start_date": "date",
        },
        _FEW,
    ),
    "subscription": File(
        "subscription.csv",
        {
            "account_id": "varchar",
            "product": "varchar",
            "start_date": "date",
            "end_date": "date",
            "mrr": "double",
            "quantity": "bigint",
            "units": "varchar",
            "bill_period_months": "bigint",
            "discount": "double",
        },
        _FEW,
    ),
    "event_daily": File(
        "event_daily.csv.gz",
        {
            "account_id": "varchar",
            "event_date": "date",
            "event_type": "varchar",
            "event_count": "bigint",
            "active_users": "bigint",
            "event_value": "double",
        },
        _FEW,
    ),
    # No model of the project reads it; tests compare the churn dates of the marts with it.
    "outcome": File("outcome.csv", {"account_id": "varchar", "churn_date": "date"}, _FEW),
}
EXAMPLE = Example(
    folder=HERE,
    variable="CRM_SIMULATION_DATA",
    files=FILES,
    as_of=date(2023, 7, 2),  # the day after the last one of which the outcome is known, a Sunday
    scorecard="usage_only",
)

if __name__ == "__main__":
    raise SystemExit(main(EXAMPLE, __doc__))
