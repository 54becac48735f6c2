"""`sync.yml`: what goes where, checked before anything is read or sent.

Secrets do not stand in the file: it names the environment variables that hold them.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from customer_health.errors import HealthError, UsageError, first_line
from customer_health.settings import Settings
from customer_health.sync.mapping import Source, parse_source

FILE_NAME = "sync.yml"
STATUS = "status"  # a word of the command line, so no name of a destination
DOCUMENT = "docs/sync.md"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,40}")
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_HUBSPOT_NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
_HUBSPOT_OBJECT = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SALESFORCE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,79}")


class Kind(StrEnum):
    """The types of destinations."""

    HUBSPOT = "hubspot"
    SALESFORCE = "salesforce"
    WEBHOOK = "webhook"
    FILES = "files"


class Records(StrEnum):
    """What a destination gets a record of."""

    ACCOUNTS = "accounts"
    ACTIONS = "actions"


@dataclass(frozen=True)
class Limits:
    """Numbers of a destination that a person may change.

    Attributes:
        breaker_share: share (0-1) of the accounts at the destination that may change band or be
            cleared in one sync without --accept-changes.
        breaker_least: number of accounts that may do so in any case.
        attempts: syncs that may see the same record rejected before it is a dead letter.
        tries: requests for one batch before it has failed.
        failed_batches: batches in a row that may fail before the sync stops.
        timeout_seconds: how long an answer may take.
        backoff_seconds: about the first wait before a batch is tried again; doubled each time.
        longest_wait_seconds: how long a destination may make us wait for one batch.
    """

    breaker_share: float = 0.2
    breaker_least: int = 5
    attempts: int = 5
    tries: int = 5
    failed_batches: int = 3
    timeout_seconds: float = 30
    backoff_seconds: float = 1
    longest_wait_seconds: float = 300


@dataclass(frozen=True)
class Destination:
    """One destination of `sync.yml`.

    Attributes:
        name: how the command line calls it, and its ledger.
        kind: its type.
        records: what it gets a record of.
        fields: property at the destination -> where it comes from.
        batch_size: records in one request; for files there is one batch.
        limits: see there.
        options: what only its type has, by name; all of them are there, unset ones as None.
        file: the configuration file.
    """

    name: str
    kind: Kind
    records: Records
    fields: dict[str, Source]
    batch_size: int
    limits: Limits
    options: dict[str, Any]
    file: Path

    def refusal(self, what: str) -> HealthError:
        """An error that names the file and the destination."""
        return HealthError(f"{self.file.name}: destination {self.name}: {what}")

    def identity(self, secrets: Mapping[str, str] | None = None) -> dict[str, str]:
        """Which records of which system are meant: another identity, another ledger.

        Args:
            secrets: as `read_secrets` gives them. A webhook whose URL is one of them cannot be
                told from another without them, and its URL is left out then.
        """
        told = {"type": str(self.kind), "records": str(self.records)}
        for option in _IDENTITY[self.kind]:
            told[option] = str(self.options[option])
        url = (secrets or {}).get("url") or self.options.get("url")
        if url is not None:
            told["url"] = url_in_words(url)
            # paths of webhooks are often secrets
            told["url_sha256"] = hashlib.sha256(url.encode()).hexdigest()
        return told


def url_in_words(url: str) -> str:
    """Scheme and host of a URL, without what may be secret."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}"


# -- the form of each setting --------------------------------------------------------------------
@dataclass(frozen=True)
class _Setting:
    """A setting: its check (gives the value, or raises ValueError in words) and its default."""

    check: Callable[[Any], Any]
    default: Any = None
    is_required: bool = False


def _number(least: float, most: float, *, whole: bool = False) -> Callable[[Any], Any]:
    """A number in a range."""

    def check(value: Any) -> Any:
        kinds = (int,) if whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value <= most:
            kind = "a whole number" if whole else "a number"
            raise ValueError(f"is {value!r}; expected {kind} from {least} to {most}")
        return value

    return check


def _matching(pattern: str, in_words: str) -> Callable[[Any], str]:
    """A text of a form; numbers are taken as their text."""

    def check(value: Any) -> str:
        text = str(value)
        if isinstance(value, bool) or not re.fullmatch(pattern, text):
            raise ValueError(f"is {value!r}; expected {in_words}")
        return text

    return check


def _environment_name(value: Any) -> str:
    """The name of an environment variable; what was written is not repeated, it may be secret."""
    if not isinstance(value, str) or not _ENVIRONMENT_NAME.fullmatch(value):
        raise ValueError(
            "is no name of an environment variable (letters, digits and _); the secret itself "
            "belongs into the environment, not into this file"
        )
    return value


def check_url(value: Any) -> str:
    """A URL that is https, or http on this machine; what was written is not repeated.

    Raises:
        ValueError: in words.
    """
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except (ValueError, TypeError, AttributeError):
        raise ValueError("is no URL; write it as https://host/path") from None
    if not isinstance(value, str) or parts.scheme not in ("http", "https") or not host:
        raise ValueError("is no URL; write it as https://host/path")
    if parts.username or parts.password:
        raise ValueError("holds a user or password; secrets come from environment variables")
    if re.search(r"[\s\x00-\x1f\x7f]", value):
        raise ValueError("holds a space or control character")
    if parts.scheme == "http" and not _is_loopback(host):
        raise ValueError("is not encrypted; write https:// (http:// is for this machine only)")
    return value


def _base_url(value: Any) -> str:
    """A URL to which paths are added."""
    url = check_url(value)
    parts = urlsplit(url)
    if parts.query or parts.fragment:
        raise ValueError("is more than a host and a path")
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _path(value: Any) -> str:
    """A path as text."""
    if not isinstance(value, str) or not value.strip() or "\x00" in value:
        raise ValueError(f"is {value!r}; expected a path")
    return value


_COMMON = {
    "type": _Setting(str, is_required=True),
    "records": _Setting(str, default=Records.ACCOUNTS),
    "fields": _Setting(dict, is_required=True),
    "limits": _Setting(dict),
}
_HTTP = {
    "ca_file": _Setting(_path),
    "proxy_env": _Setting(_environment_name),
}
_SETTINGS: dict[Kind, dict[str, _Setting]] = {
    Kind.HUBSPOT: {
        **_HTTP,
        "portal": _Setting(_matching(r"\d{1,12}", "the number of the portal"), is_required=True),
        "token_env": _Setting(_environment_name, is_required=True),
        "key": _Setting(
            _matching(_HUBSPOT_NAME.pattern, "the internal name of a property"), is_required=True
        ),
        "object": _Setting(
            _matching(_HUBSPOT_OBJECT.pattern, "an object type such as companies"), "companies"
        ),
        "base_url": _Setting(_base_url, "https://api.hubapi.com"),
        "batch_size": _Setting(_number(1, 100, whole=True), 100),
    },
    Kind.SALESFORCE: {
        **_HTTP,
        "instance_url": _Setting(_base_url, is_required=True),
        "key": _Setting(
            _matching(_SALESFORCE_NAME.pattern, "the API name of a field, such as Account_Key__c"),
            is_required=True,
        ),
        "object": _Setting(
            _matching(_SALESFORCE_NAME.pattern, "the API name of an object"), "Account"
        ),
        "api_version": _Setting(_matching(r"\d{2,3}\.0", "a version such as 62.0"), "62.0"),
        "client_id_env": _Setting(_environment_name),
        "client_secret_env": _Setting(_environment_name),
        "username_env": _Setting(_environment_name),
        "password_env": _Setting(_environment_name),
        "security_token_env": _Setting(_environment_name),
        "login_url": _Setting(_base_url, "https://login.salesforce.com"),
        "batch_size": _Setting(_number(1, 200, whole=True), 200),
    },
    Kind.WEBHOOK: {
        **_HTTP,
        "url": _Setting(check_url),
        "url_env": _Setting(_environment_name),
        "secret_env": _Setting(_environment_name, is_required=True),
        "token_env": _Setting(_environment_name),
        "batch_size": _Setting(_number(1, 1000, whole=True), 100),
    },
    Kind.FILES: {
        "folder": _Setting(_path, is_required=True),
        "format": _Setting(_matching("csv|parquet", "csv or parquet"), "csv"),
    },
}
_LIMITS: dict[str, Callable[[Any], Any]] = {
    "breaker_share": _number(0, 1),
    "breaker_least": _number(0, 1_000_000, whole=True),
    "attempts": _number(1, 1000, whole=True),
    "tries": _number(1, 20, whole=True),
    "failed_batches": _number(1, 1000, whole=True),
    "timeout_seconds": _number(0.1, 600),
    "backoff_seconds": _number(0, 60),
    "longest_wait_seconds": _number(0, 3600),
}
# What makes a destination another one, besides its type and what it gets.
_IDENTITY: dict[Kind, tuple[str, ...]] = {
    Kind.HUBSPOT: ("base_url", "portal", "object", "key"),
    Kind.SALESFORCE: ("instance_url", "object", "key"),
    Kind.WEBHOOK: (),
    Kind.FILES: ("folder", "format"),
}
_SECRETS = {
    Kind.HUBSPOT: ("token_env",),
    Kind.SALESFORCE: (
        *("client_id_env", "client_secret_env"),
        *("username_env", "password_env", "security_token_env"),
    ),
    Kind.WEBHOOK: ("secret_env", "token_env", "url_env"),
    Kind.FILES: (),
}
_CLIENT = ("client_id_env", "client_secret_env")
_USER = ("username_env", "password_env", "security_token_env")
# Columns of a file that are ours.
FILE_COLUMNS = ("key", "operation")


# -- reading -------------------------------------------------------------------------------------
def find_file(settings: Settings, named: Path | None = None) -> Path:
    """The configuration file: the named one, or `sync.yml` in the dbt project.

    Raises:
        HealthError: when there is none, with how to begin.
    """
    path = named.expanduser() if named is not None else settings.project_dir / FILE_NAME
    if path.is_file():
        return path
    if named is not None:
        raise UsageError(f"--config: there is no file {path}")
    raise HealthError(
        f"there is no {FILE_NAME} in {settings.project_dir}: {DOCUMENT} says how to begin, "
        "sync.example.yml of customer_health is one to copy"
    )


def load(path: Path) -> dict[str, Destination]:
    """The destinations of a file, in its order.

    Raises:
        HealthError: in one line for the first thing that is wrong: file, destination, setting, and
            the nearest name or the expected form.
    """
    content = _read(path)
    if not isinstance(content, dict) or "destinations" not in content:
        raise HealthError(f"{path.name}: the file begins with `destinations:` ({DOCUMENT})")
    unknown = [key for key in content if key != "destinations"]
    if unknown:
        raise HealthError(
            f"{path.name}: there is no setting {_shown(unknown[0])}; everything stands below "
            "`destinations:`"
        )
    written = content["destinations"]
    if not isinstance(written, dict) or not written:
        raise HealthError(f"{path.name}: `destinations:` names none ({DOCUMENT})")
    return {str(name): _destination(path, name, part) for name, part in written.items()}


def choose(destinations: Mapping[str, Destination], name: str, path: Path) -> Destination:
    """The destination of a name.

    Raises:
        UsageError: with the nearest name there is.
    """
    found = destinations.get(name)
    if found is not None:
        return found
    near = get_close_matches(name, list(destinations), n=1, cutoff=0)[0]
    raise UsageError(
        f"{path.name} has no destination {_shown(name)}; the nearest is {near} "
        f"(it has {', '.join(destinations)})"
    )


def read_secrets(
    destination: Destination, environ: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """The secrets of a destination: setting without `_env` -> value.

    Raises:
        HealthError: naming the environment variable that is not set; never a value.
    """
    found = {}
    for setting in (*_SECRETS[destination.kind], "proxy_env"):
        name = destination.options.get(setting)
        if name is None:
            continue
        value = environ.get(name, "").strip()
        if not value:
            raise destination.refusal(
                f"{setting}: the environment variable {name} is not set; put the secret there"
            )
        if re.search(r"[^\x21-\x7e]", value) and setting not in ("password_env", "username_env"):
            raise destination.refusal(
                f"{setting}: the environment variable {name} holds characters that no secret of "
                "this kind has (spaces, line ends, letters with accents)"
            )
        found[setting.removesuffix("_env")] = value
    if "url" in found:
        try:
            check_url(found["url"])
        except ValueError as error:
            name = destination.options["url_env"]
            raise destination.refusal(f"url_env: the value of {name} {error}") from None
    return found


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, which YAML would take the last of."""


def _mapping_without_repeats(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    """A mapping, if each of its keys stands once."""
    loader.flatten_mapping(node)
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if isinstance(key, (dict, list)):
            continue
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"{key!r} stands twice", key_node.start_mark
            )
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_without_repeats)


def _read(path: Path) -> Any:
    """The content of the file.

    Raises:
        HealthError: when it is no YAML, naming the line; its text is not repeated.
    """
    try:
        # a SafeLoader: it makes nothing but plain values
        return yaml.load(path.read_text(encoding="utf-8-sig"), Loader=_Loader)
    except UnicodeDecodeError:
        raise HealthError(f"{path.name} is not UTF-8: save it as such") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f" line {mark.line + 1}" if mark is not None else ""
        raise HealthError(
            f"{path.name}{line}: {first_line(error.problem or 'no YAML', 120)}"
        ) from None
    except yaml.YAMLError:
        raise HealthError(f"{path.name}: holds characters that YAML does not allow") from None


def _destination(path: Path, name: Any, written: Any) -> Destination:
    """One destination."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise HealthError(
            f"{path.name}: destination {_shown(name)}: a name has lower-case letters, digits, '_' "
            "and '-', at most 41"
        )
    if name == STATUS:
        raise HealthError(
            f"{path.name}: destination {name}: `customer-health sync status` is a command; choose "
            "another name"
        )

    def refuse(what: str) -> HealthError:
        return HealthError(f"{path.name}: destination {name}: {what}")

    if not isinstance(written, dict):
        raise refuse("has no settings below it")
    kind = _one_of(written.get("type"), Kind, "type", refuse)
    records = _one_of(written.get("records", "accounts"), Records, "records", refuse)
    if records is Records.ACTIONS and kind in (Kind.HUBSPOT, Kind.SALESFORCE):
        raise refuse(
            f"records: {kind} has no record of an action to update, and a sync creates none; "
            "send actions to a webhook or to files"
        )
    settings = _SETTINGS[kind]
    known = [*_COMMON, *settings]
    for key in written:
        if key not in known:
            raise refuse(_unknown(key, known))
    options: dict[str, Any] = {}
    for key, setting in settings.items():
        value = written.get(key)
        if value is None:
            if setting.is_required:
                raise refuse(f"{key}: is missing ({DOCUMENT})")
            options[key] = setting.default
            continue
        try:
            options[key] = setting.check(value)
        except ValueError as error:
            raise refuse(f"{key}: {error}") from None
    _check_together(kind, options, refuse)
    if kind is Kind.FILES:
        folder = Path(options["folder"]).expanduser()
        options["folder"] = str((path.resolve().parent / folder).resolve())
    if options.get("ca_file") is not None:
        ca_file = (path.resolve().parent / Path(options["ca_file"]).expanduser()).resolve()
        if not ca_file.is_file():
            raise refuse(f"ca_file: there is no file {ca_file}")
        options["ca_file"] = str(ca_file)
    return Destination(
        name=name,
        kind=kind,
        records=records,
        fields=_fields(kind, options, written.get("fields"), refuse),
        batch_size=options.pop("batch_size", 0),
        limits=_limits(written.get("limits"), refuse),
        options=options,
        file=path,
    )


def _check_together(
    kind: Kind, options: Mapping[str, Any], refuse: Callable[[str], HealthError]
) -> None:
    """Settings that only make sense together."""
    if kind is Kind.WEBHOOK and (options["url"] is None) == (options["url_env"] is None):
        raise refuse("url: write either url or url_env (where the URL itself is a secret)")
    if kind is not Kind.SALESFORCE:
        return
    given = [name for name in (*_CLIENT, *_USER) if options[name] is not None]
    if sorted(given) not in (sorted(_CLIENT), sorted(_USER)):
        raise refuse(
            f"{' and '.join(_CLIENT)} are needed, or {', '.join(_USER[:2])} and {_USER[2]}; "
            f"{'given are ' + ', '.join(given) if given else 'none is given'}"
        )


def _fields(
    kind: Kind,
    options: Mapping[str, Any],
    written: Any,
    refuse: Callable[[str], HealthError],
) -> dict[str, Source]:
    """The mapping."""
    if not isinstance(written, dict) or not written:
        raise refuse("fields: is missing: what the CRM calls it, a colon, and a column")
    found: dict[str, Source] = {}
    lower: dict[str, str] = {}
    for name, value in written.items():
        _check_property(kind, options, name, refuse)
        other = lower.setdefault(str(name).lower(), str(name))
        if other != name:
            raise refuse(f"fields: {other} and {name} differ only in upper and lower case")
        if not isinstance(value, str):
            raise refuse(
                f"fields: {name}: expected the name of a column, or a text with a {{column}} in it"
            )
        try:
            found[str(name)] = parse_source(value)
        except ValueError as error:
            raise refuse(f"fields: {name}: {_shown(value)} {error}") from None
    if all(source.is_of_publication for source in found.values()):
        raise refuse("fields: none says anything about an account; add health_score or band")
    return found


def _check_property(
    kind: Kind, options: Mapping[str, Any], name: Any, refuse: Callable[[str], HealthError]
) -> None:
    """The name of a property, as the destination writes them."""
    forms = {
        Kind.HUBSPOT: (_HUBSPOT_NAME, "the internal name: lower-case letters, digits and _"),
        Kind.SALESFORCE: (_SALESFORCE_NAME, "the API name, such as Health_Score__c"),
    }
    pattern, words = forms.get(kind, (re.compile(r"[^\x00-\x1f\x7f]{1,100}"), "1 to 100 letters"))
    if not isinstance(name, str) or not pattern.fullmatch(name) or name != name.strip():
        raise refuse(f"fields: {_shown(name)} is no name of a property; write {words}")
    reserved = {
        Kind.HUBSPOT: (options.get("key"), "hs_object_id"),
        Kind.SALESFORCE: (options.get("key"), "Id", "attributes"),
        Kind.FILES: FILE_COLUMNS,
    }.get(kind, ())
    if name.lower() in [str(each).lower() for each in reserved]:
        raise refuse(
            f"fields: {name} says which record is meant and is never written; choose another"
        )


def _limits(written: Any, refuse: Callable[[str], HealthError]) -> Limits:
    """The numbers."""
    if written is None:
        return Limits()
    if not isinstance(written, dict):
        raise refuse("limits: expected names with numbers")
    known = [each.name for each in fields(Limits)]
    for key, value in written.items():
        if key not in known:
            raise refuse(f"limits: {_unknown(key, known)}")
        try:
            _LIMITS[key](value)
        except ValueError as error:
            raise refuse(f"limits: {key}: {error}") from None
    return Limits(**written)


def _one_of(value: Any, kinds: Any, setting: str, refuse: Callable[[str], HealthError]) -> Any:
    """A value of an enumeration."""
    names = [str(each) for each in kinds]
    if value in names:
        return kinds(value)
    if value is None:
        raise refuse(f"{setting}: is missing; it is one of {', '.join(names)}")
    near = get_close_matches(str(value), names, n=1, cutoff=0)[0]
    raise refuse(f"{setting}: {_shown(value)} is none of {', '.join(names)}; the nearest is {near}")


def _unknown(key: Any, known: list[str]) -> str:
    """What to say about a setting that there is not."""
    near = get_close_matches(str(key), known, n=1, cutoff=0)[0]
    return f"there is no setting {_shown(key)}; the nearest is {near}"


def _shown(value: Any) -> str:
    """What was written, short and on one line."""
    return first_line(repr(value), 80)
