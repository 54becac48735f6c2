-- Acme's own list of figures; customer_health has a policy seed of the same name.
select
    'revenue' as metric,
    'EUR' as unit
