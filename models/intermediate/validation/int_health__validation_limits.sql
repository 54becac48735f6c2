-- The limits side by side, so that a model joins one row and names what it means.
with

limits as (select * from {{ ref('validation_limits') }}),

final as (
    select
        max(case when limit_key = 'fewest_churners' then value end) as fewest_churners,
        max(case when limit_key = 'fewest_churners_per_category' then value end)
            as fewest_churners_per_category,
        max(case when limit_key = 'weak_auc' then value end) as weak_auc,
        max(case when limit_key = 'usable_auc' then value end) as usable_auc,
        max(case when limit_key = 'suspicious_auc' then value end) as suspicious_auc,
        max(case when limit_key = 'leaking_metric_auc' then value end) as leaking_metric_auc,
        max(case when limit_key = 'largest_lead_fall' then value end) as largest_lead_fall,
        max(case when limit_key = 'capacity_share' then value end) as capacity_share,
        max(case when limit_key = 'most_false_green_share' then value end)
            as most_false_green_share,
        max(case when limit_key = 'false_green_from_days' then value end) as false_green_from_days,
        max(case when limit_key = 'false_green_to_days' then value end) as false_green_to_days,
        max(case when limit_key = 'warning_fall_points' then value end) as warning_fall_points,
        max(case when limit_key = 'good_lead_days' then value end) as good_lead_days,
        max(case when limit_key = 'least_brier_skill' then value end) as least_brier_skill,
        max(case when limit_key = 'least_calibration_slope' then value end)
            as least_calibration_slope,
        max(case when limit_key = 'most_calibration_slope' then value end)
            as most_calibration_slope,
        max(case when limit_key = 'monotone_gate_accounts' then value end)
            as monotone_gate_accounts,
        max(case when limit_key = 'same_group_correlation' then value end)
            as same_group_correlation,
        max(case when limit_key = 'most_flaps_per_year' then value end) as most_flaps_per_year,
        max(case when limit_key = 'trend_points' then value end) as trend_points,
        max(case when limit_key = 'false_discovery_rate' then value end) as false_discovery_rate,
        max(case when limit_key = 'warning_within_days' then value end) as warning_within_days,
        max(case when limit_key = 'fewest_correlated_accounts' then value end)
            as fewest_correlated_accounts,
        max(case when limit_key = 'fewest_actions' then value end) as fewest_actions,
        max(case when limit_key = 'most_psi' then value end) as most_psi,
        max(case when limit_key = 'psi_limit_accounts' then value end) as psi_limit_accounts,
        max(case when limit_key = 'adoption_days' then value end) as adoption_days,
        max(case when limit_key = 'adoption_history_days' then value end) as adoption_history_days,
        max(case when limit_key = 'probability_days' then value end) as probability_days
    from limits
)

select * from final
