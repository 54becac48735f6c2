"""Every scenario of integration_tests/: built twice, green, and its marts are right."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
from package_kit import (
    AS_OF,
    NEXT_DAY,
    OWN_SCHEMAS,
    REPO,
    STRANGER,
    Deployment,
    Rows,
    Scenario,
    scenarios,
)
from warehouse import NOT_COMPARED, Warehouse, different

from customer_health import publication
from customer_health.settings import Settings

SCENARIOS = scenarios()
# Two of them are built by tests of their own below.
LOOPED = [name for name in SCENARIOS if name != "two_tenants"]
# The second build of this one is the next day's; of all others it is the same day's again.
GOES_ON = "no_surveys"
# Every database and schema that may hold anything, by the rules of the project.
BY_RULE = {
    ("build", "acme"),
    ("build", "acme__staging"),
    ("build", "acme__intermediate"),
    ("build", "acme__policy"),
    ("build", "acme__reports"),
    ("build", "acme__reference"),
    ("marts", "acme"),
}


@dataclass
class Built:
    """A scenario that was built twice."""

    scenario: Scenario
    deployment: Deployment
    statuses: list[dict[str, str]] = field(default_factory=list)
    rows: list[Rows] = field(default_factory=list)


_BUILT: dict[str, Built] = {}


@pytest.fixture(scope="module", params=LOOPED)
def built(
    request: pytest.FixtureRequest,
    raw_tables: Path,
    installed: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Built:
    """A scenario, built twice."""
    scenario = SCENARIOS[request.param]
    if scenario.name in _BUILT:  # pytest may come back to a parameter
        return _BUILT[scenario.name]
    deployment = Deployment(scenario, installed, tmp_path_factory.mktemp(scenario.name))
    found = Built(scenario, deployment)
    deployment.land(raw_tables)
    if scenario.name == "everything":
        write_macros_of_our_names(deployment)
    if scenario.name == "own_staging":
        land_usage_by_day(deployment, raw_tables)
    for as_of in (AS_OF, NEXT_DAY if scenario.name == GOES_ON else AS_OF):
        found.statuses.append(deployment.build(as_of))
        found.rows.append(deployment.rows())
    _BUILT[scenario.name] = found
    return found


def only(built: Built, name: str) -> Deployment:
    """The deployment of one scenario; the test is none of the others'."""
    if built.scenario.name != name:
        pytest.skip(f"is about {name}")
    return built.deployment


def write_macros_of_our_names(deployment: Deployment) -> None:
    """Macros of the stranger's with all names of ours, that nobody may call."""
    names = {
        name
        for path in (REPO / "macros").rglob("*.sql")
        for name in re.findall(r"\{%-?\s*macro (\w+)\(", path.read_text())
        if "__" not in name and not name.startswith("generate_")  # dbt looks for those in projects
    }
    assert len(names) > 100
    tests = [path.stem for path in (REPO / "tests" / "generic").glob("*.sql")]
    assert tests
    refusal = "{{ exceptions.raise_compiler_error('a macro of the project was called') }}"
    text = "".join(
        f"{{% macro {name}() %}}{refusal}{{% endmacro %}}\n"
        for name in sorted(names - {"safe_divide"})
    ) + "".join(f"{{% test {name}(model) %}}{refusal}{{% endtest %}}\n" for name in tests)
    (deployment.project / "macros" / "same_names.sql").write_text(text, encoding="utf-8")


def land_usage_by_day(deployment: Deployment, raw_tables: Path) -> None:
    """The company's own table of usage: three times a day for A0002, once for the others."""
    with deployment.landing() as connection:
        connection.execute("create schema acme_raw")
        connection.execute(
            f"""
            create table acme_raw.usage_by_day as
            select
                account_id as customer,
                cast(day as date) as day,
                'login' as action,
                case when account_id = 'A0002' then 3 else 1 end as times,
                1 as people
            from read_parquet('{raw_tables}/crm_accounts/*.parquet') as accounts
            cross join range(date '2026-05-01', date '{AS_OF}', interval 1 day) as days(day)
            where day >= cast(created_at as date)
            """
        )


def seed_rows(name: str, folder: Path = REPO / "seeds") -> list[dict[str, str]]:
    """Rows of a policy seed."""
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# -- what holds in every scenario ------------------------------------------------------------------
def test_every_scenario_says_what_it_is_for() -> None:
    assert len(SCENARIOS) >= 9
    for scenario in SCENARIOS.values():
        assert scenario.intent.endswith("."), scenario.name
        assert "crm_accounts" in scenario.raw, scenario.name


def test_the_second_build_is_as_good_as_the_first(built: Built) -> None:
    first, second = built.rows
    assert len(first) > 40
    assert any(first.values())
    if built.scenario.name == GOES_ON:
        days = (
            "select distinct as_of_date::varchar from {marts}.fct_health__account_scores order by 1"
        )
        assert [day for (day,) in built.deployment.query(days)][-2:] == [AS_OF, NEXT_DAY]
        scores = "fct_health__account_scores"
        assert set(first[scores]) < set(second[scores])
    else:
        # what a run has looked at is a run's, and not a date's
        assert different(first, second).keys() <= {"fct_health__source_rows"}
        assert first.keys() == second.keys()


def test_our_unit_tests_do_not_run_there(built: Built) -> None:
    ran = [name for statuses in built.statuses for name in statuses]
    assert sum(name.startswith("test.customer_health.") for name in ran) > 400
    assert [name for name in ran if name.startswith("unit_test.")] == []
    assert built.deployment.manifest()["unit_tests"] == {}


def test_nothing_is_built_outside_the_schemas_of_the_project(built: Built) -> None:
    expected = BY_RULE
    if built.scenario.name == "own_names":
        expected = BY_RULE - {("build", "acme__intermediate"), ("marts", "acme")} - {
            ("build", "acme")
        } | {("scratch", "acme__work"), ("marts", "acme__health")}
    else:
        expected = BY_RULE - {("build", "acme")}
    found = {
        (database, schema)
        for database, schema in built.deployment.places()
        if schema not in OWN_SCHEMAS
    }
    assert found == expected
    planned = {
        (node["database"], node["schema"])
        for node in built.deployment.manifest()["nodes"].values()
        if node["resource_type"] in {"model", "seed"}
    }
    assert planned == expected


def test_the_strangers_mart_reads_public_marts_and_own_macros(built: Built) -> None:
    place = built.deployment.node("accounts_to_call", "acme_analytics")["schema"]
    [(called, right, owned)] = built.deployment.query(
        f"""
        select
            count(*),
            count(*) filter (
                where abs(
                    called.known_percent
                    - 100.0 * scores.known_metric_count / scores.applicable_metric_count
                ) < 1e-9
            ),
            count(*) filter (
                where called.owner_name
                = case called.account_id when 'A0002' then 'Ines' when 'A0003' then 'Tomas' end
            )
        from build.{place}.accounts_to_call as called
        inner join {{marts}}.{alias(built, "fct_health__account_scores")} as scores
            on called.account_id = scores.account_id
        where scores.as_of_date = (
            select max(as_of_date) from {{marts}}.{alias(built, "fct_health__account_scores")}
        )
        """
    )
    assert called == right > 20
    assert owned == 2


def test_what_is_missing_is_not_connected_and_coverage_says_so(built: Built) -> None:
    sources = {row["metric_key"]: row["source_key"] for row in seed_rows("metrics")}
    counted = built.deployment.query(
        "select metric_key, count(*) filter (where value_state = 'not_connected'), count(*) from "
        f"{{marts}}.{alias(built, 'fct_health__metric_scores')} group by 1"
    )
    found = {sources[metric] for metric, missing, _ in counted if missing}
    # connected or not is a matter of the deployment, never of an account
    assert all(missing in (0, rows) for _, missing, rows in counted)
    missing = set(built.scenario.expect.get("not_connected", []))
    if "not_connected" in built.scenario.expect:
        assert found == missing & {sources[metric] for metric, *_ in counted}
    [(least, most)] = built.deployment.query(
        "select min(connected_weight), max(connected_weight) from "
        f"{{marts}}.{alias(built, 'fct_health__account_scores')} where scorecard_key = 'standard'"
    )
    assert least == most == pytest.approx(connected_weight(built, found), abs=1e-9)


def connected_weight(built: Built, not_connected: set[str]) -> float:
    """The share of the scorecard `standard` that is connected, by hand from the seeds."""
    own = (
        STRANGER / "seeds" / "own_policy" if built.scenario.name == "own_policy" else REPO / "seeds"
    )
    categories = {
        row["category_key"]: float(row["weight"])
        for row in seed_rows("category_weights", own)
        if row["scorecard_key"] == "standard"
    }
    metrics = {row["metric_key"]: row for row in seed_rows("metrics")}
    total: dict[str, float] = defaultdict(float)
    there: dict[str, float] = defaultdict(float)
    for row in seed_rows("metric_weights", own):
        if row["scorecard_key"] == "standard":
            metric = metrics[row["metric_key"]]
            weight = float(row["weight"])
            total[metric["category_key"]] += weight
            if metric["source_key"] not in not_connected:
                there[metric["category_key"]] += weight
    return sum(weight * there[key] / total[key] for key, weight in categories.items())


def alias(built: Built, name: str) -> str:
    """The name under which a mart was built."""
    return str(built.deployment.node(name)["alias"])


# -- what holds in one of them ---------------------------------------------------------------------
def test_marts_are_those_of_our_own_project(
    built: Built, raw_tables: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever a project calls its schemas and macros, the rows are the same."""
    only(built, "everything")
    ours = Warehouse(
        tmp_path_factory.mktemp("ours"),
        raw_tables,
        {"history_from": "2026-05-31", "daily_from": "2026-06-26"},
    )
    ours.build(date.fromisoformat(AS_OF))
    theirs = {name: rows for name, rows in built.rows[0].items() if name not in NOT_COMPARED}
    assert len(theirs) > 40
    assert different(ours.rows(), theirs) == {}


def test_without_surveys_csat_comes_from_tickets_and_nps_from_nowhere(built: Built) -> None:
    deployment = only(built, "no_surveys")
    states = dict(
        deployment.query(
            """
            select metric_key, string_agg(distinct value_state, ',' order by value_state)
            from {marts}.fct_health__metric_scores
            where scorecard_key = 'standard' and metric_key in ('nps', 'csat')
            group by 1
            """
        )
    )
    assert states["nps"] == "not_connected"
    assert "observed" in states["csat"].split(",")


def test_without_billing_nobody_has_an_arr(built: Built) -> None:
    deployment = only(built, "no_billing")
    [(rows, amounts, churned)] = deployment.query(
        """
        select
            count(*),
            count(arr_amount) + count(mrr_amount),
            (select count(churn_date) from {marts}.dim_health__accounts)
        from {marts}.fct_health__account_scores
        """
    )
    assert rows > 100
    assert amounts == 0
    [(churned_in_crm,)] = deployment.query(
        "select count(*) from landing.raw.crm_accounts "
        f"where churned_at is not null and churned_at < date '{AS_OF}'"
    )
    assert churned == churned_in_crm > 0


def test_values_of_the_own_staging_model_are_in_the_marts(built: Built) -> None:
    deployment = only(built, "own_staging")
    values = dict(
        deployment.query(
            f"""
            select account_id, max(metric_value)
            from {{marts}}.fct_health__metric_scores
            where metric_key = 'logins' and as_of_date = '{AS_OF}' and tenure_days >= 31
            group by 1
            """
        )
    )
    assert len(values) > 20
    # 30 days of three logins, and of one
    assert values.pop("A0002") == 90
    assert set(values.values()) == {30}


def test_the_weights_of_the_own_policy_make_the_score(built: Built) -> None:
    deployment = only(built, "own_policy")
    metrics: dict[tuple[Any, ...], dict[str, float]] = defaultdict(dict)
    for account, day, metric, score in deployment.query(
        """
        select account_id, as_of_date, metric_key, metric_score
        from {marts}.fct_health__metric_scores
        where scorecard_key = 'standard' and metric_score is not null
        """
    ):
        metrics[account, day][metric] = score
    scores = deployment.query(
        """
        select account_id, as_of_date, health_score_exact
        from {marts}.fct_health__account_scores
        where scorecard_key = 'standard' and health_score_exact is not null
        """
    )
    assert len(scores) > 100
    for account, day, score in scores:
        known = metrics[account, day]
        assert known.keys() == {"logins", "usage_frequency"}
        by_hand = 10 * (0.5 * known["logins"] + 0.5 * known["usage_frequency"])
        assert score == pytest.approx(by_hand, abs=1e-6)
    assert len({round(score) for *_, score in scores}) > 5


def test_gates_and_publication_find_the_marts_under_their_own_names(built: Built) -> None:
    deployment = only(built, "own_names")
    answer = deployment.health("run", "--as-of", NEXT_DAY)
    assert answer.returncode == 0, answer.stderr
    # rows of a run that died after its snapshot, which were never published
    with duckdb.connect(str(deployment.home / "candidate.duckdb")) as connection:
        connection.execute(
            "update acme__snapshots.snap_health__account_scores set publication_id = 'lost'"
        )
        connection.execute(
            "insert into acme__health.fct_health__publications by name select * replace "
            "('lost' as publication_id) from acme__health.fct_health__publications"
        )
    restored = publication.restore_history(Settings.resolve(deployment.project, deployment.home))
    assert [line.split(" ")[0] for line in restored] == [
        "acme__health.fct_health__publications",
        "acme__snapshots.snap_health__account_scores",
    ]
    with publication.open_published(deployment.home / "published.duckdb") as connection:
        schemas = connection.execute(
            "select distinct schema_name from duckdb_tables() order by 1"
        ).fetchall()
        views = connection.execute(
            "select count(*) from acme__health.fct_health__account_scores_current"
        ).fetchall()[0][0]
    assert schemas == [("acme__health",), ("acme__snapshots",)]
    assert views > 20
    told = deployment.health("status", "--json")
    assert f'"{NEXT_DAY}"' in told.stdout, told.stderr
    explained = deployment.health("explain", "A0003")
    assert explained.returncode == 0, explained.stderr
    listed = deployment.health("export", "--list")
    assert "snap_health__account_scores" in listed.stdout


def test_renamed_tables_are_refused_before_anything_is_built(built: Built) -> None:
    deployment = only(built, "own_prefix")
    assert alias(built, "dim_health__accounts") == "ch_dim_health__accounts"
    answer = deployment.health("run", "--as-of", AS_OF)
    assert answer.returncode == 1
    assert re.search(
        r"builds \w+ as ch_\w+, .* let generate_alias_name return the name where "
        r"node\.package_name is 'customer_health'",
        " ".join(answer.stderr.split()),
    ), answer.stderr
    assert not (deployment.home / "published.duckdb").exists()


def test_tenants_of_one_warehouse_do_not_see_each_other(
    raw_tables: Path, installed: Path, tmp_path: Path
) -> None:
    deployment = Deployment(SCENARIOS["two_tenants"], installed, tmp_path)
    halves = {"north": "account_id <= 'A0020'", "south": "account_id > 'A0020'"}
    for tenant, half in halves.items():
        deployment.land(raw_tables, half, f"raw_{tenant}")
    rows: dict[str, Rows] = {}
    for tenant in ("north", "south", "north"):
        deployment.schema = tenant
        deployment.build(customer_health__raw_schema=f"raw_{tenant}")
        again = deployment.rows()
        earlier = rows.setdefault(tenant, again)
        assert different(earlier, again).keys() <= {"fct_health__source_rows"}
    for tenant, half in halves.items():
        for mart in ("dim_health__accounts", "fct_health__metric_scores", "act_health__actions"):
            [(inside, outside)] = deployment.query(
                f"select count(*) filter (where {half}), count(*) filter (where not ({half})) "
                f"from marts.{tenant}.{mart}"
            )
            assert outside == 0, (tenant, mart)
            assert inside > 0 or mart == "act_health__actions"
    held = {schema.split("__")[0] for database, schema in deployment.places()}
    assert held - OWN_SCHEMAS == set(halves)
    # gates and publication want one company per home, and say so
    answer = deployment.health("check", "candidate", "--as-of", AS_OF)
    assert "in 2 schemas of one file (north, south)" in " ".join(answer.stderr.split())


# -- what is refused, and the words for it --------------------------------------------------------
def test_a_model_of_ours_that_is_no_mart_cannot_be_read(installed: Path, tmp_path: Path) -> None:
    deployment = Deployment(SCENARIOS["product_usage_only"], installed, tmp_path)
    model = deployment.project / "models" / "nosy.sql"
    model.write_text("select * from {{ ref('customer_health', 'int_health__spine') }}\n")
    answer = deployment.dbt("parse")
    assert not answer.success
    said = " ".join(str(answer.exception).split())
    assert "int_health__spine" in said
    assert "not allowed because the referenced node is protected" in said


def test_a_model_that_would_become_policy_by_its_name_is_refused(
    raw_tables: Path, installed: Path, tmp_path: Path
) -> None:
    deployment = Deployment(SCENARIOS["product_usage_only"], installed, tmp_path)
    deployment.write_project({"models": {"acme_analytics": {"clashing": {"+enabled": True}}}})
    deployment.land(raw_tables)
    answer = deployment.dbt("build", "--exclude-resource-type", "test", "--fail-fast")
    assert not answer.success
    said = [" ".join(str(each.message).split()) for each in answer.result if each.message]
    assert any(
        "this project has a model called metrics, and dbt would give it to customer_health in "
        "place of the seed of that name: rename it; or, if it is meant to take that place, disable "
        "ours (seeds: customer_health: … metrics: +enabled: false)" in line
        for line in said
    ), said


def test_marts_without_a_database_of_their_own_are_refused(
    raw_tables: Path, installed: Path, tmp_path: Path
) -> None:
    deployment = Deployment(SCENARIOS["product_usage_only"], installed, tmp_path)
    deployment.write_project({"models": {"customer_health": {"marts": {"+database": "build"}}}})
    deployment.land(raw_tables)
    answer = deployment.health("run", "--as-of", AS_OF)
    assert answer.returncode == 1
    said = " ".join(answer.stderr.split())
    assert "on DuckDB attach candidate.duckdb as marts in profiles.yml, and set +database" in said
