{#- The body of a read view: the rows of the newest as_of_date of a mart, with the publication that
    they belong to. Readers need no date and no join.

    model: name of the mart;  has_date: whether it holds several as_of_dates
    Example: select … from fct_health__account_scores where as_of_date = (newest). -#}
{% macro current_rows(model, has_date=true) -%}
    select
        current_publication.publication_id,
        mart.*
    from {{ customer_health.published_table(model) }} as mart
    -- the one that was published last: its id need not be the greatest, after going back in time
    left join (
        select max(publication_id) as publication_id
        from {{ customer_health.published_table('fct_health__publications') }}
        where published_at = (
            select max(published_at)
            from {{ customer_health.published_table('fct_health__publications') }}
        )
    ) as current_publication
        on 1 = 1
    {% if has_date -%}
    where mart.as_of_date = (
        select max(as_of_date) from {{ customer_health.published_table('fct_health__account_scores') }}
    )
    {%- endif %}
{%- endmacro %}
