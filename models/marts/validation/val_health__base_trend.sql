-- Does the base as a whole get healthier? A straight line through the mean scores of the months.
with

monthly_scores as (select * from {{ ref('int_health__monthly_scores') }}),

monthly_means as (
    select
        scoring_version,
        as_of_date,
        {{ customer_health.day_number('as_of_date') }} as day_number,
        {{ customer_health.round_score(customer_health.safe_divide(
            customer_health.exact_sum('health_score_exact'), 'count(health_score_exact)'
        )) }} as mean_score
    from monthly_scores
    where health_score_exact is not null
    group by 1, 2, 3
),

newest_in_force as (
    select
        scoring_version,
        as_of_date,
        row_number() over (order by as_of_date desc, scoring_version desc) as newest_number
    from monthly_scores
    where
        is_in_force
        and health_score_exact is not null
),

months as (
    select
        monthly_means.scoring_version,
        monthly_means.as_of_date,
        monthly_means.mean_score,
        monthly_means.day_number,
        row_number() over (
            partition by monthly_means.scoring_version order by monthly_means.as_of_date
        ) as month_number,
        row_number() over (
            partition by monthly_means.scoring_version order by monthly_means.as_of_date desc
        ) as month_number_from_end
    from monthly_means
    inner join newest_in_force
        on
            monthly_means.scoring_version = newest_in_force.scoring_version
            and newest_in_force.newest_number = 1
),

means as (
    select
        scoring_version,
        min(as_of_date) as from_date,
        max(as_of_date) as to_date,
        count(*) as month_count,
        max(case when month_number = 1 then mean_score end) as first_mean_score,
        max(case when month_number_from_end = 1 then mean_score end) as last_mean_score,
        {{ customer_health.safe_divide(
            customer_health.exact_sum('day_number'), 'count(*)'
        ) }} as mean_day,
        {{ customer_health.safe_divide(
            customer_health.exact_sum('mean_score'), 'count(*)'
        ) }} as mean_of_scores
    from months
    group by 1
),

deviations as (
    select
        means.scoring_version,
        months.day_number - means.mean_day as day_deviation,
        months.mean_score - means.mean_of_scores as score_deviation
    from months
    inner join means
        on months.scoring_version = means.scoring_version
),

products as (
    select
        scoring_version,
        {{ customer_health.exact_sum('day_deviation * day_deviation') }} as day_squares,
        {{ customer_health.exact_sum('day_deviation * score_deviation') }} as cross_products
    from deviations
    group by 1
),

slopes as (
    select
        scoring_version,
        day_squares,
        {{ customer_health.safe_divide('cross_products', 'day_squares') }} as slope
    from products
),

residuals as (
    select
        slopes.scoring_version,
        {{ customer_health.exact_sum(
            '(deviations.score_deviation - slopes.slope * deviations.day_deviation)'
            ~ ' * (deviations.score_deviation - slopes.slope * deviations.day_deviation)'
        ) }} as residual_squares
    from deviations
    inner join slopes
        on deviations.scoring_version = slopes.scoring_version
    group by 1
),

fitted as (
    select
        means.scoring_version,
        means.from_date,
        means.to_date,
        means.month_count,
        means.first_mean_score,
        means.last_mean_score,
        slopes.slope,
        {{ customer_health.student_quantile_95('means.month_count - 2') }}
        * sqrt({{ customer_health.safe_divide(
            'residuals.residual_squares',
            'case when means.month_count > 2 then (means.month_count - 2) * slopes.day_squares end'
        ) }}) as margin
    from means
    inner join slopes
        on means.scoring_version = slopes.scoring_version
    inner join residuals
        on means.scoring_version = residuals.scoring_version
),

final as (
    select
        scoring_version,
        from_date,
        to_date,
        cast(month_count as bigint) as month_count,
        {{ customer_health.round_score('first_mean_score') }} as first_mean_score,
        {{ customer_health.round_score('last_mean_score') }} as last_mean_score,
        {{ customer_health.round_score('90 * slope') }} as points_per_90_days,
        {{ customer_health.round_score('90 * (slope - margin)') }} as low,
        {{ customer_health.round_score('90 * (slope + margin)') }} as high
    from fitted
)

select * from final
