-- Does the challenger rank better than the champion on the same accounts and months? Intervals of
-- the differences are paired, and an account is one witness, however many months it is seen in:
-- docs/validation.md, 11, and docs/decisions.md, 57.
-- noqa: disable=LT02
{% set key = [
    'champion_version', 'challenger_version', 'lead_days', 'horizon_days', 'is_headline',
    'slice_kind', 'slice_value',
] %}
{% set sides = ['champion', 'challenger'] %}
{% set z = customer_health.normal_quantile_95() %}

with

compared_observations as (select * from {{ ref('int_health__compared_observations') }}),

limits as (select * from {{ ref('int_health__validation_limits') }}),

sliced as (
    select
        champion_version,
        challenger_version,
        account_id,
        lead_days,
        horizon_days,
        is_headline,
        is_churned,
        champion_score,
        challenger_score,
        'all' as slice_kind,
        'all' as slice_value
    from compared_observations

    union all

    select
        champion_version,
        challenger_version,
        account_id,
        lead_days,
        horizon_days,
        is_headline,
        is_churned,
        champion_score,
        challenger_score,
        'period' as slice_kind,
        'out_of_time' as slice_value
    from compared_observations
    where is_out_of_time
),

-- months of an account with equal scores count together
witnesses as (
    select
        {{ key | join(',\n        ') }},
        account_id,
        champion_score,
        challenger_score,
        sum(is_churned) as churned_count,
        sum(1 - is_churned) as stayed_count
    from sliced
    group by {{ range(1, key | length + 4) | join(', ') }}
),

score_counts as (
    {% for side in sides -%}
    select
        {{ key | join(',\n        ') }},
        '{{ side }}' as side,
        {{ side }}_score as score,
        sum(churned_count) as churned_count,
        sum(stayed_count) as stayed_count
    from witnesses
    group by {{ range(1, key | length + 3) | join(', ') }}
    {{ 'union all' if not loop.last }}
    {% endfor %}
),

running as (
    select
        *,
        sum(churned_count) over (
            partition by {{ key | join(', ') }}, side
            order by score
            rows between unbounded preceding and current row
        ) as churned_so_far,
        sum(stayed_count) over (
            partition by {{ key | join(', ') }}, side
            order by score
            rows between unbounded preceding and current row
        ) as stayed_so_far,
        sum(churned_count) over (partition by {{ key | join(', ') }}, side) as all_churned,
        sum(stayed_count) over (partition by {{ key | join(', ') }}, side) as all_stayed
    from score_counts
),

-- of a churner: the share of stayers that look healthier; of a stayer: the share of churners that
-- look worse (ties count half); and the share of the score that is among the riskiest
places as (
    select
        running.*,
        {{ customer_health.safe_divide(
            'running.all_stayed - running.stayed_so_far + 0.5 * running.stayed_count',
            'running.all_stayed'
        ) }} as churned_place,
        {{ customer_health.safe_divide(
            'running.churned_so_far - 0.5 * running.churned_count', 'running.all_churned'
        ) }} as stayed_place,
        {% for name, share in [
            ('at_10_percent', '0.1'), ('at_capacity', 'limits.capacity_share')
        ] -%}
        least(1, greatest(0, {{ customer_health.safe_divide(
            share ~ ' * (running.all_churned + running.all_stayed)'
            ~ ' - (running.churned_so_far + running.stayed_so_far'
            ~ ' - running.churned_count - running.stayed_count)',
            'running.churned_count + running.stayed_count'
        ) }})) as share_{{ name }}{{ ',' if not loop.last }}
        {% endfor %}
    from running
    cross join limits
),

figures as (
    select
        {{ key | join(',\n        ') }},
        max(all_churned) as all_churned,
        max(all_stayed) as all_stayed,
        {% for side in sides -%}
        {{ customer_health.safe_divide(
            customer_health.exact_sum(
                "case when side = '" ~ side ~ "' then churned_count * churned_place end"
            ),
            'max(all_churned)'
        ) }} as auc_{{ side }},
        {% for name in ['at_10_percent', 'at_capacity'] -%}
        {{ customer_health.safe_divide(
            customer_health.exact_sum(
                "case when side = '" ~ side ~ "' then churned_count * share_" ~ name ~ ' end'
            ),
            'max(all_churned)'
        ) }} as recall_{{ name }}_{{ side }}{{ ',' if not loop.last }}
        {% endfor -%}
        {{ ',' if not loop.last }}
        {% endfor %}
    from places
    group by {{ range(1, key | length + 1) | join(', ') }}
),

-- how far the challenger places the months of an account apart from the champion
account_sums as (
    select
        {% for column in key -%}
        witnesses.{{ column }},
        {% endfor -%}
        witnesses.account_id,
        sum(witnesses.churned_count) as churned_count,
        sum(witnesses.stayed_count) as stayed_count,
        {{ customer_health.exact_sum(
            'witnesses.churned_count'
            ~ ' * (challenger_places.churned_place - champion_places.churned_place)'
        ) }} as churned_difference,
        {{ customer_health.exact_sum(
            'witnesses.stayed_count'
            ~ ' * (challenger_places.stayed_place - champion_places.stayed_place)'
        ) }} as stayed_difference,
        {% for name in ['at_10_percent', 'at_capacity'] -%}
        {{ customer_health.exact_sum(
            'witnesses.churned_count * (challenger_places.share_' ~ name
            ~ ' - champion_places.share_' ~ name ~ ')'
        ) }} as {{ name }}_difference{{ ',' if not loop.last }}
        {% endfor %}
    from witnesses
    {% for side in sides -%}
    inner join places as {{ side }}_places
        on
            {{ side }}_places.side = '{{ side }}'
            and witnesses.{{ side }}_score = {{ side }}_places.score
            {% for column in key -%}
            and witnesses.{{ column }} = {{ side }}_places.{{ column }}
            {% endfor %}
    {% endfor -%}
    group by {{ range(1, key | length + 2) | join(', ') }}
),

-- less what the difference of the figures itself makes expect
distances as (
    select
        {% for column in key -%}
        account_sums.{{ column }},
        {% endfor -%}
        account_sums.churned_count,
        account_sums.stayed_count,
        account_sums.churned_difference
        - account_sums.churned_count * (figures.auc_challenger - figures.auc_champion)
            as churned_distance,
        account_sums.stayed_difference
        - account_sums.stayed_count * (figures.auc_challenger - figures.auc_champion)
            as stayed_distance,
        {% for name in ['at_10_percent', 'at_capacity'] -%}
        account_sums.{{ name }}_difference
        - account_sums.churned_count
        * (figures.recall_{{ name }}_challenger - figures.recall_{{ name }}_champion)
            as {{ name }}_distance{{ ',' if not loop.last }}
        {% endfor %}
    from account_sums
    inner join figures
        on
            {% for column in key -%}
            {{ 'and ' if not loop.first }}account_sums.{{ column }} = figures.{{ column }}
            {% endfor %}
),

squares as (
    select
        {{ key | join(',\n        ') }},
        count(*) as account_count,
        sum(case when churned_count > 0 then 1 else 0 end) as churner_count,
        sum(case when stayed_count > 0 then 1 else 0 end) as stayer_count,
        {{ customer_health.exact_sum('churned_distance * churned_distance') }} as churned_square,
        {{ customer_health.exact_sum('stayed_distance * stayed_distance') }} as stayed_square,
        {{ customer_health.exact_sum('churned_distance * stayed_distance') }} as cross_square,
        {% for name in ['at_10_percent', 'at_capacity'] -%}
        {{ customer_health.exact_sum(
            'case when churned_count > 0 then ' ~ name ~ '_distance * ' ~ name ~ '_distance end'
        ) }} as {{ name }}_square{{ ',' if not loop.last }}
        {% endfor %}
    from distances
    group by {{ range(1, key | length + 1) | join(', ') }}
),

-- DeLong's variance with accounts as clusters (Obuchowski 1997), and that of a ratio over accounts
variances as (
    select
        {% for column in key -%}
        squares.{{ column }},
        {% endfor -%}
        figures.all_churned,
        figures.all_churned + figures.all_stayed as observation_count,
        squares.account_count,
        squares.churner_count,
        squares.churner_count >= limits.fewest_churners as has_enough_outcomes,
        {% for name in ['auc', 'recall_at_10_percent', 'recall_at_capacity'] -%}
        figures.{{ name }}_champion,
        figures.{{ name }}_challenger,
        {% endfor -%}
        {{ customer_health.safe_divide(
            'squares.churner_count * squares.churned_square',
            '(squares.churner_count - 1) * cast(figures.all_churned * figures.all_churned as '
            ~ (customer_health.type_double() | trim) ~ ')'
        ) }}
        + {{ customer_health.safe_divide(
            'squares.stayer_count * squares.stayed_square',
            '(squares.stayer_count - 1) * cast(figures.all_stayed * figures.all_stayed as '
            ~ (customer_health.type_double() | trim) ~ ')'
        ) }}
        + {{ customer_health.safe_divide(
            '2 * squares.account_count * squares.cross_square',
            '(squares.account_count - 1) * cast(figures.all_churned * figures.all_stayed as '
            ~ (customer_health.type_double() | trim) ~ ')'
        ) }} as auc_variance,
        {% for name in ['at_10_percent', 'at_capacity'] -%}
        {{ customer_health.safe_divide(
            'squares.churner_count * squares.' ~ name ~ '_square',
            '(squares.churner_count - 1) * cast(figures.all_churned * figures.all_churned as '
            ~ (customer_health.type_double() | trim) ~ ')'
        ) }} as recall_{{ name }}_variance{{ ',' if not loop.last }}
        {% endfor %}
    from squares
    inner join figures
        on
            {% for column in key -%}
            {{ 'and ' if not loop.first }}squares.{{ column }} = figures.{{ column }}
            {% endfor %}
    cross join limits
),

-- where both rank alike the variance is 0, and rounding may leave it just below
with_differences as (
    select
        *,
        {% for name in ['auc', 'recall_at_10_percent', 'recall_at_capacity'] -%}
        {{ name }}_challenger - {{ name }}_champion as {{ name }}_difference,
        case
            when {{ name }}_variance > 0 then {{ z }} * sqrt({{ name }}_variance)
            when {{ name }}_variance is not null then 0
        end as {{ name }}_half_width{{ ',' if not loop.last }}
        {% endfor %}
    from variances
),

final as (
    select
        champion_version,
        challenger_version,
        cast(lead_days as bigint) as lead_days,
        cast(horizon_days as bigint) as horizon_days,
        is_headline,
        slice_kind,
        slice_value,
        cast(observation_count as bigint) as observation_count,
        cast(all_churned as bigint) as churned_observation_count,
        cast(account_count as bigint) as account_count,
        cast(churner_count as bigint) as churner_count,
        has_enough_outcomes,
        {% for name, source, factor in [
            ('auc', 'auc', ''),
            ('lift_at_10_percent', 'recall_at_10_percent', '10 * '),
            ('recall_at_capacity', 'recall_at_capacity', ''),
        ] -%}
        {% set bound = '' if name == 'auc' else name ~ '_' -%}
        case when has_enough_outcomes then {{ customer_health.round_score(
            factor ~ source ~ '_champion'
        ) }} end as {{ name }}_champion,
        case when has_enough_outcomes then {{ customer_health.round_score(
            factor ~ source ~ '_challenger'
        ) }} end as {{ name }}_challenger,
        case when has_enough_outcomes then {{ customer_health.round_score(
            factor ~ source ~ '_difference'
        ) }} end as {{ name }}_difference,
        case when has_enough_outcomes then {{ customer_health.round_score(
            factor ~ '(' ~ source ~ '_difference - ' ~ source ~ '_half_width)'
        ) }} end as {{ bound }}difference_low,
        case when has_enough_outcomes then {{ customer_health.round_score(
            factor ~ '(' ~ source ~ '_difference + ' ~ source ~ '_half_width)'
        ) }} end as {{ bound }}difference_high,
        {% endfor -%}
        case
            when not has_enough_outcomes or auc_half_width is null then 'not_enough_outcomes'
            when auc_difference - auc_half_width > 0 then 'better'
            when auc_difference + auc_half_width < 0 then 'worse'
            else 'not_distinguishable'
        end as verdict_key
    from with_differences
)

select * from final
