{#- The two-sided p-value of a standard normal figure: P(|Z| >= |z|). Hart's rational approximation
    in double precision (Hart 1968, algorithm 5666; West 2005, "Better approximations to cumulative
    normal functions"), within 1e-14 of the exact value; 0 beyond 37. Null where z is null.
    z stands in the SQL many times: give it a column, not a formula.

    z_expression: SQL of a number
    Example: normal_tail('1.959963984540054') -> 0.05. -#}
{% macro normal_tail(z_expression) -%}
    {%- set z = 'abs(cast(' ~ z_expression ~ ' as ' ~ (customer_health.type_double() | trim) ~ '))' -%}
    {%- set numerator = [
        '3.52624965998911e-2', '7.00383064443688e-1', '6.37396220353165e0', '3.3912866078383e1',
        '1.12079291497871e2', '2.21213596169931e2', '2.20206867912376e2'
    ] -%}
    {%- set denominator = [
        '8.83883476483184e-2', '1.75566716318264e0', '1.6064177579207e1', '8.67807322029461e1',
        '2.96564248779674e2', '6.37333633378831e2', '7.93826512519948e2', '4.40413735824752e2'
    ] -%}
    case
        when {{ z }} > 37 then 0e0
        when {{ z }} < 7.07106781186547e0
            then
                2e0 * exp(-5e-1 * {{ z }} * {{ z }})
                * {{ customer_health.polynomial(numerator, z) }}
                / {{ customer_health.polynomial(denominator, z) }}
        when {{ z }} is not null
            then
                2e0 * exp(-5e-1 * {{ z }} * {{ z }}) / 2.50662827463100050e0
                / ({{ z }} + 1e0 / ({{ z }} + 2e0 / ({{ z }} + 3e0 / ({{ z }} + 4e0 / (
                    {{ z }} + 6.5e-1
                )))))
    end
{%- endmacro %}
