{#- The 95% quantile of the chi-square distribution with 1 to 9 degrees of freedom; else null.

    degrees: SQL of an integer
    Example: chi_square_95('9') -> 16.9189776046. -#}
{% macro chi_square_95(degrees) -%}
    {%- set quantiles = [
        3.841458820694124, 5.991464547107979, 7.814727903251179, 9.487729036781154,
        11.070497693516351, 12.591587243743977, 14.067140449340167, 15.507313055865453,
        16.918977604620448
    ] -%}
    case {{ degrees }}
        {%- for quantile in quantiles %}
        when {{ loop.index }} then {{ quantile }}
        {%- endfor %}
    end
{%- endmacro %}
