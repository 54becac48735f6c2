"""The example in one command: load the orders, score the customers, publish, look at the result.

    python examples/cdnow_orders/run.py --data FOLDER

FOLDER (or the environment variable CDNOW_ORDERS_DATA) holds CDNOW_master.txt. Databases go to
`warehouse` in this folder, or to --home.
"""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from example_kit import Example, File, main  # noqa: E402

# Columns are set apart by blanks, some lines end in a carriage return, the first names the columns.
_ORDERS = r"""
    select
        fields[1] as customer_id,
        strptime(fields[2], '%Y%m%d')::date as order_date,
        cast(fields[3] as bigint) as number_of_cds,
        cast(fields[4] as double) as dollar_value
    from (
        select regexp_split_to_array(trim(line, ' ' || chr(9) || chr(13)), '\s+') as fields
        from read_csv(
            '{file}', header = false, skip = 1, columns = {{'line': 'varchar'}},
            delim = '|', quote = '', escape = ''
        )
    ) as lines
    where fields[1] <> 'customer_id'
"""
FILES = {
    "orders": File(
        "CDNOW_master.txt",
        {},
        "cast(customer_id as bigint) % (23570 // {accounts}) = 0",
        query=_ORDERS,
    )
}
EXAMPLE = Example(
    folder=HERE,
    variable="CDNOW_ORDERS_DATA",
    files=FILES,
    as_of=date(1998, 7, 5),  # the first Sunday after the last order, 39 weeks after 1997-10-05
    scorecard="orders",
    months=True,
)

if __name__ == "__main__":
    raise SystemExit(main(EXAMPLE, __doc__))
