{#- The name that differs from another one by the fewest letters, for messages about misspelt names.

    name: text;  candidates: list of text, may be empty
    returns: text, or none without candidates
    Example: nearest_name('account_id', ['acount_id', 'plan']) -> acount_id. -#}
{% macro nearest_name(name, candidates) -%}
    {%- set best = namespace(name=none, distance=none) -%}
    {%- for candidate in candidates | sort -%}
        {%- set state = namespace(previous=range(candidate | length + 1) | list) -%}
        {%- for letter in name -%}
            {%- set current = [loop.index] -%}
            {%- for other in candidate -%}
                {%- do current.append([
                    state.previous[loop.index] + 1,
                    current[-1] + 1,
                    state.previous[loop.index0] + (0 if letter == other else 1),
                ] | min) -%}
            {%- endfor -%}
            {%- set state.previous = current -%}
        {%- endfor -%}
        {%- if best.distance is none or state.previous[-1] < best.distance -%}
            {%- set best.name = candidate -%}
            {%- set best.distance = state.previous[-1] -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(best.name) }}
{%- endmacro %}
