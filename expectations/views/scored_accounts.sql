-- One row per account that must have a score.
select
    account_id as row_key,
    account_id
from dim_health__accounts
where is_scored
