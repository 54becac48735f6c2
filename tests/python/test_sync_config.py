"""sync.yml: what is refused, in one line, and what is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from customer_health.errors import HealthError, UsageError
from customer_health.sync.config import (
    Kind,
    Limits,
    Records,
    choose,
    find_file,
    load,
    read_secrets,
)
from customer_health.sync.mapping import OF_THE_PUBLICATION
from customer_health.sync.source import RELATIONS

EXAMPLE = Path(__file__).resolve().parents[2] / "sync.example.yml"
SECRET = "pat-na1-written-by-mistake"


def hubspot() -> dict[str, Any]:
    return {
        "type": "hubspot",
        "portal": 4711,
        "token_env": "HUBSPOT_TOKEN",
        "key": "account_key",
        "fields": {"score": "health_score", "link": "https://d.example.com/?a={account_id}"},
    }


def salesforce() -> dict[str, Any]:
    return {
        "type": "salesforce",
        "instance_url": "https://acme.my.salesforce.com/",
        "client_id_env": "SF_ID",
        "client_secret_env": "SF_SECRET",
        "key": "Health_Key__c",
        "fields": {"Score__c": "health_score"},
    }


def webhook() -> dict[str, Any]:
    return {
        "type": "webhook",
        "url": "https://hooks.example.com/a/b?c=d",
        "secret_env": "HOOK_SECRET",
        "fields": {"score": "health_score"},
    }


def files() -> dict[str, Any]:
    return {"type": "files", "folder": "drop", "fields": {"score": "health_score"}}


ALL = {"hubspot": hubspot, "salesforce": salesforce, "webhook": webhook, "files": files}


def write(folder: Path, settings: dict[str, Any], name: str = "crm") -> Path:
    path = folder / "sync.yml"
    path.write_text(
        yaml.safe_dump({"destinations": {name: settings}}, sort_keys=False), encoding="utf-8"
    )
    return path


def refused(path: Path) -> str:
    """The one line that refuses the file."""
    with pytest.raises(HealthError) as caught:
        load(path)
    assert "\n" not in caught.value.message
    assert caught.value.message.startswith("sync.yml")
    return caught.value.message


@pytest.mark.parametrize("make", ALL.values(), ids=ALL.keys())
def test_a_whole_destination_is_read(tmp_path: Path, make: Callable[[], dict[str, Any]]) -> None:
    destination = load(write(tmp_path, make()))["crm"]
    assert destination.kind is Kind(make()["type"])
    assert destination.records is Records.ACCOUNTS
    assert destination.limits == Limits()
    assert list(destination.fields) == list(make()["fields"])
    sizes = {"hubspot": 100, "salesforce": 200, "webhook": 100, "files": 0}
    assert destination.batch_size == sizes[destination.kind]


def test_paths_are_relative_to_the_file_and_urls_lose_their_last_slash(tmp_path: Path) -> None:
    assert load(write(tmp_path, files()))["crm"].options["folder"] == str(tmp_path / "drop")
    found = load(write(tmp_path, salesforce()))["crm"]
    assert found.options["instance_url"] == "https://acme.my.salesforce.com"


def test_the_example_is_sound_and_has_every_type() -> None:
    found = load(EXAMPLE)
    assert {each.kind for each in found.values()} == set(Kind)
    assert {each.records for each in found.values()} == set(Records)


@pytest.mark.parametrize("records", list(Records))
def test_the_columns_are_those_of_the_mart(records: Records) -> None:
    """Suggestions and types of Parquet files rest on the list; the contract has the last word."""
    relation = RELATIONS[records]
    mart = relation.name.removesuffix("_current")
    path = EXAMPLE.parent / "models" / "marts" / "activation" / f"{mart}.yml"
    (model,) = [
        each
        for each in yaml.safe_load(path.read_text(encoding="utf-8"))["models"]
        if each["name"] == mart
    ]
    types = {column["name"]: column["data_type"] for column in model["columns"]}
    assert set(relation.columns) == set(types)
    for column, kind in relation.columns.items():
        assert kind in types[column] or (kind == "double" and "float" in types[column]), column
    assert (path.parents[1] / "current" / f"{relation.name}.sql").exists()


def test_the_example_names_only_columns_that_there_are() -> None:
    for destination in load(EXAMPLE).values():
        known = {*RELATIONS[destination.records].columns, *OF_THE_PUBLICATION}
        used = {column for source in destination.fields.values() for column in source.columns}
        assert used <= known


def test_the_example_names_every_setting() -> None:
    from customer_health.sync import config

    text = EXAMPLE.read_text(encoding="utf-8")
    names = {name for settings in config._SETTINGS.values() for name in settings}
    names |= set(config._COMMON) | set(config._LIMITS)
    assert {name for name in names if f"{name}:" not in text} == set()


@pytest.mark.parametrize(
    ("make", "change", "message"),
    [
        (hubspot, {"type": "hubspt"}, "type: 'hubspt' is none of hubspot, salesforce, webhook, "
         "files; the nearest is hubspot"),
        (hubspot, {"type": None}, "type: is missing; it is one of hubspot"),
        (hubspot, {"token_envs": "X"}, "no setting 'token_envs'; the nearest is token_env"),
        (hubspot, {"token_env": None}, "token_env: is missing"),
        (hubspot, {"token_env": SECRET}, "token_env: is no name of an environment variable"),
        (hubspot, {"token": SECRET}, "no setting 'token'; the nearest is token_env"),
        (hubspot, {"portal": None}, "portal: is missing"),
        (hubspot, {"portal": "my portal"}, "portal: is 'my portal'; expected the number"),
        (hubspot, {"batch_size": 101}, "batch_size: is 101; expected a whole number from 1 to 100"),
        (hubspot, {"batch_size": True}, "batch_size: is True"),
        (hubspot, {"base_url": "http://api.hubapi.com"}, "base_url: is not encrypted"),
        (hubspot, {"base_url": "https://a.example/?x=1"}, "base_url: is more than a host"),
        (hubspot, {"base_url": f"https://u:{SECRET}@a.example"}, "base_url: holds a user or"),
        (hubspot, {"base_url": "api.hubapi.com"}, "base_url: is no URL"),
        (hubspot, {"base_url": 5}, "base_url: is no URL"),
        (hubspot, {"records": "actions"}, "records: hubspot has no record of an action"),
        (hubspot, {"records": "account"}, "records: 'account' is none of accounts, actions; the "
         "nearest is accounts"),
        (hubspot, {"fields": {}}, "fields: is missing"),
        (hubspot, {"fields": {"Score": "health_score"}}, "'Score' is no name of a property; write "
         "the internal name"),
        (hubspot, {"fields": {"account_key": "account_id"}}, "account_key says which record"),
        (hubspot, {"fields": {"p": "publication_id"}}, "none says anything about an account"),
        (hubspot, {"fields": {"score": 5}}, "fields: score: expected the name of a column"),
        (hubspot, {"fields": {"score": "Health Score"}}, "score: 'Health Score' is no name of a"),
        (hubspot, {"fields": {"l": "x {band"}}, "fields: l: 'x {band' has a brace without"),
        (hubspot, {"fields": {"l": "{band!r}"}}, "braces hold the name of a column, nothing else"),
        (hubspot, {"fields": {"l": "{}"}}, "braces hold the name of a column, nothing else"),
        (hubspot, {"fields": {"l": "{{x}}"}}, "names no column"),
        (hubspot, {"limits": {"tries": 0}}, "limits: tries: is 0; expected a whole number from 1"),
        (hubspot, {"limits": {"breaker_share": 20}}, "breaker_share: is 20; expected a number from "
         "0 to 1"),
        (hubspot, {"limits": {"try": 1}}, "limits: there is no setting 'try'; the nearest is t"),
        (hubspot, {"limits": [1]}, "limits: expected names with numbers"),
        (hubspot, {"ca_file": "none.pem"}, "ca_file: there is no file"),
        (salesforce, {"fields": {"id": "health_score"}}, "id says which record is meant"),
        (salesforce, {"fields": {"A__c": "band", "a__c": "trend"}}, "A__c and a__c differ only in"),
        (salesforce, {"fields": {"Health Score": "band"}}, "write the API name"),
        (salesforce, {"client_secret_env": None}, "client_id_env and client_secret_env are needed, "
         "or username_env, password_env and security_token_env; given are client_id_env"),
        (salesforce, {"username_env": "U"}, "given are client_id_env, client_secret_env, username"),
        (salesforce, {"api_version": "v62"}, "api_version: is 'v62'; expected a version such as"),
        (salesforce, {"object": "Account; drop"}, "object: is 'Account; drop'"),
        (salesforce, {"key": "Id) OR (1=1"}, "key: is 'Id) OR (1=1'"),
        (webhook, {"url": None}, "url: write either url or url_env"),
        (webhook, {"url_env": "HOOK_URL"}, "url: write either url or url_env"),
        (webhook, {"url": "https://a.example/x y"}, "url: holds a space"),
        (files, {"folder": ""}, "folder: is ''; expected a path"),
        (files, {"format": "xlsx"}, "format: is 'xlsx'; expected csv or parquet"),
        (files, {"fields": {"Key": "band"}}, "Key says which record is meant"),
        (files, {"batch_size": 5}, "there is no setting 'batch_size'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_in_one_line(
    tmp_path: Path, make: Callable[[], dict[str, Any]], change: dict[str, Any], message: str
) -> None:
    settings = {name: value for name, value in (make() | change).items() if value is not None}
    said = refused(write(tmp_path, settings))
    assert "destination crm: " in said
    assert message in said
    assert SECRET not in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file begins with `destinations:`"),
        ("destinations:", "names none"),
        ("destinations: {}\nother: 1", "there is no setting 'other'"),
        ("destinations:\n  a: [1", "line 2"),
        ("destinations:\n  a:\n    type: files\n    type: files", "line 4: 'type' stands twice"),
        ("destinations:\n  a: 5", "destination a: has no settings below it"),
        ("destinations:\n  Big: {}", "destination 'Big': a name has lower-case letters"),
        ("destinations:\n  status: {}", "`customer-health sync status` is a command"),
        ("destinations:\n  on: {}", "destination True: a name has"),
        ("destinations: \x07", "holds characters that YAML does not allow"),
        (f"destinations: {{a: {{token: '{SECRET}'", "line 1"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "sync.yml"
    path.write_text(text, encoding="utf-8")
    said = refused(path)
    assert message in said
    assert SECRET not in said


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "sync.yml"
    path.write_bytes("destinations: {ä: 1}".encode("latin-1"))
    assert "is not UTF-8" in refused(path)


def test_loopback_needs_no_encryption(tmp_path: Path) -> None:
    for host in ("localhost:8000", "127.0.0.1", "[::1]:8000"):
        assert load(write(tmp_path, hubspot() | {"base_url": f"http://{host}"}))
    for host in ("127.0.0.1.example.com", "localhost.example.com", "10.0.0.1"):
        assert "not encrypted" in refused(
            write(tmp_path, hubspot() | {"base_url": f"http://{host}"})
        )


def test_secrets_come_from_the_environment_and_are_checked(tmp_path: Path) -> None:
    destination = load(write(tmp_path, hubspot()))["crm"]
    assert read_secrets(destination, {"HUBSPOT_TOKEN": " abc\n"}) == {"token": "abc"}
    with pytest.raises(HealthError, match=r"token_env: .* HUBSPOT_TOKEN is not set"):
        read_secrets(destination, {})
    with pytest.raises(HealthError, match="characters that no secret of this kind has") as caught:
        read_secrets(destination, {"HUBSPOT_TOKEN": "a\nAuthorization: b"})
    assert "Authorization" not in caught.value.message


def test_a_secret_url_is_checked_and_never_repeated(tmp_path: Path) -> None:
    settings = {**webhook(), "url_env": "HOOK_URL"}
    del settings["url"]
    destination = load(write(tmp_path, settings))["crm"]
    environ = {"HOOK_SECRET": "s", "HOOK_URL": "http://hooks.example.com/secret"}
    with pytest.raises(HealthError, match="HOOK_URL is not encrypted") as caught:
        read_secrets(destination, environ)
    assert "hooks.example.com" not in caught.value.message
    secrets = read_secrets(destination, environ | {"HOOK_URL": "https://h.example/secret"})
    told = destination.identity(secrets)
    assert told["url"] == "https://h.example"
    assert "secret" not in str(told)
    assert "url" not in destination.identity(), "unknown without the environment"


def test_an_unknown_destination_names_the_nearest(tmp_path: Path) -> None:
    path = write(tmp_path, hubspot(), "hubspot")
    with pytest.raises(UsageError, match="no destination 'hubpsot'; the nearest is hubspot"):
        choose(load(path), "hubpsot", path)


def test_a_file_that_is_not_there_says_how_to_begin(tmp_path: Path) -> None:
    from small_marts import make_project

    settings = make_project(tmp_path)
    with pytest.raises(HealthError, match=r"no sync.yml in .*: docs/sync.md"):
        find_file(settings)
    with pytest.raises(UsageError, match="--config: there is no file"):
        find_file(settings, tmp_path / "other.yml")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text(max_size=12) | st.integers(), inner, max_size=3)
        ),
        max_leaves=8,
    ),
    st.sampled_from(sorted(ALL)),
    st.sampled_from(
        ["type", "fields", "limits", "key", "url", "base_url", "folder", "portal", "records", "x"]
    ),
)
def test_whatever_stands_there_is_read_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, value: Any, kind: str, setting: str
) -> None:
    path = write(tmp_path_factory.mktemp("any"), ALL[kind]() | {setting: value})
    try:
        load(path)
    except HealthError as error:
        assert "\n" not in error.message
        assert error.message.startswith("sync.yml")
