"""HTTP of the destinations: time limits, waits, retries, and words for what went wrong.

One request is tried again while that can help: after no answer, 5xx, and 429, with waits that
double and are shaken, or that `Retry-After` says. What cannot get better by waiting stops the sync
(a token that is refused, a wrong address, a certificate that is not trusted); what concerns the
records of one batch goes back to the caller. No message holds a secret or the path of a URL.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import requests
from urllib3.exceptions import InvalidHeader, NameResolutionError, NewConnectionError
from urllib3.util.retry import Retry

from customer_health import __version__
from customer_health.errors import first_line
from customer_health.sync.answers import BatchFailed, BatchRefused, Stop
from customer_health.sync.config import Destination, url_in_words

# 423 and 477: HubSpot asks to come back later; 425: too early; 408: the request took too long
_COME_BACK = {408, 423, 425, 429, 477}
_NOT_ALLOWED = {401, 403}
# The address or the kind of request is wrong, whatever the records are.
_WRONG_PLACE = {404, 405, 406, 410, 411, 415, 421, 426, 501, 505}
_LONGEST_BACKOFF = 60.0
_TOLD_FROM_SECONDS = 1.0
_MOST_TRIES = 100  # where each answer asks to come back at once
_MASK = "•••"


def sleep(seconds: float) -> None:
    """Wait; in one place, so that tests need not."""
    time.sleep(seconds)


class Session(requests.Session):
    """A session whose every request is limited in time, tried again, and checked.

    `requests.Session` is what simple-salesforce takes, so that its requests are treated alike.

    Attributes:
        request_count: number of requests that were sent.
        was_unclear: whether the answer to a request never came; who sends a batch unsets it.
    """

    def __init__(
        self,
        destination: Destination,
        secrets: Mapping[str, str],
        tell: Callable[[str], None],
        *,
        title: str,
        problem_of: Callable[[requests.Response], str | None],
        advice: Mapping[int, str],
    ) -> None:
        """Make a session.

        Args:
            destination: whose limits count.
            secrets: what must never be shown.
            tell: told in one line about waits.
            title: what the destination is called in messages.
            problem_of: what is wrong with an answer of 2xx; None when nothing is.
            advice: what to do about 401 and 403.
        """
        super().__init__()
        # Proxies, passwords and certificates come from sync.yml, not from what is lying around.
        self.trust_env = False
        self.headers["User-Agent"] = f"customer-health/{__version__}"
        if destination.options.get("ca_file"):
            self.verify = destination.options["ca_file"]
        if "proxy" in secrets:
            self.proxies = {"http": secrets["proxy"], "https": secrets["proxy"]}
        self.request_count = 0
        self.was_unclear = False
        self.title = title
        self._limits = destination.limits
        self._destination = destination
        self._hidden = sorted(filter(None, secrets.values()), key=len, reverse=True)
        self._tell = tell
        self._problem_of = problem_of
        self._advice = advice
        self._as_it_is = False
        self._random = random.Random()

    def hide(self, secret: str) -> None:
        """Never show this either, for example a token that a login gave."""
        self._hidden = sorted({*self._hidden, secret}, key=len, reverse=True)

    def scrub(self, text: str) -> str:
        """A text on one line, without secrets."""
        for secret in self._hidden:
            text = text.replace(secret, _MASK)
        return first_line(text, 240)

    def stop(self, what: str) -> Stop:
        """An error that ends the sync."""
        return Stop(f"{self._destination.name}: {self.scrub(what)}")

    @contextmanager
    def as_it_is(self) -> Iterator[None]:
        """While this holds, an answer of any status is handed back, for logins."""
        self._as_it_is = True
        try:
            yield
        finally:
            self._as_it_is = False

    @contextmanager
    def looking(self, what: str) -> Iterator[None]:
        """While this holds, requests change nothing: what is unclear of them does not matter.

        Args:
            what: is looked at, for the message when it is refused.

        Raises:
            BatchFailed: as `request`, but never unclear.
            Stop: when it is refused, which no other records would change.
        """
        try:
            yield
        except BatchFailed as error:
            raise BatchFailed(error.reason, is_unclear=False) from None
        except BatchRefused as error:
            raise self.stop(f"{what}: {error.reason}; look at sync.yml") from None
        finally:
            self.was_unclear = False

    def request(self, method: Any, url: Any, **arguments: Any) -> requests.Response:  # type: ignore[override]
        """Send a request until it is answered.

        Raises:
            BatchFailed: it was tried as often as it may be, or would have to wait too long.
            BatchRefused: the destination refuses what is in it.
            Stop: see the module.
        """
        arguments.setdefault("timeout", self._limits.timeout_seconds)
        arguments["allow_redirects"] = False
        asked_for = tries = 0  # all requests, and those that failed
        waited = 0.0
        is_unclear = False
        while True:
            asked_for += 1
            asked = None
            self.request_count += 1
            try:
                response = super().request(method, url, **arguments)
            except requests.exceptions.RequestException as error:
                reason, may_have_arrived = self._words(error, url)
                is_unclear = is_unclear or may_have_arrived
                tries += 1
            else:
                problem = self._look_at(response, url)
                if problem is None:
                    return response
                reason, may_have_arrived, counts = problem
                is_unclear = is_unclear or may_have_arrived
                tries += counts
                asked = _retry_after(response)
            self.was_unclear = self.was_unclear or is_unclear
            if tries >= self._limits.tries:
                raise BatchFailed(f"{reason}, {tries} times", is_unclear=is_unclear)
            pause = asked if asked is not None else self._backoff(max(tries, 1))
            waited += pause
            if waited > self._limits.longest_wait_seconds or asked_for >= _MOST_TRIES:
                raise BatchFailed(
                    f"{reason} and asks to wait {pause:.0f} s, longer than "
                    f"limits.longest_wait_seconds ({self._limits.longest_wait_seconds:g}) in all"
                    if asked is not None
                    else f"{reason}, for {waited:.0f} s",
                    is_unclear=is_unclear,
                )
            if pause >= _TOLD_FROM_SECONDS:
                self._tell(f"{reason}: waiting {pause:.0f} s")
            sleep(pause)

    def _backoff(self, tries: int) -> float:
        """Seconds to wait after so many tries: doubled each time, and shaken by half."""
        longest = min(_LONGEST_BACKOFF, self._limits.backoff_seconds * 2 ** (tries - 1))
        return longest * self._random.uniform(0.5, 1)

    def _look_at(self, response: requests.Response, url: str) -> tuple[str, bool, bool] | None:
        """What is wrong with an answer that can be asked for again; None for a good one.

        Returns:
            In words, whether the request may have taken effect, whether the try counts (being
            asked to wait does not).

        Raises:
            BatchRefused, Stop
        """
        status = response.status_code
        if self._as_it_is:
            return None
        if 200 <= status < 300:
            problem = self._problem_of(response)
            return None if problem is None else (f"{self.title} answers {problem}", True, True)
        if status in _COME_BACK:
            is_asked = _retry_after(response) is not None
            return f"{self.title} answers {status}{self._said(response)}", False, not is_asked
        if status in _NOT_ALLOWED:
            raise self.stop(
                f"{self.title} refuses the access ({status}{self._said(response)}): "
                f"{self._advice[status]}"
            )
        if 300 <= status < 400:
            target = response.headers.get("Location", "")
            where = url_in_words(target) if "://" in target else "another place"
            raise self.stop(
                f"{url_in_words(url)} answers {status} and leads to {where}: write the final "
                "address into sync.yml"
            )
        if status in _WRONG_PLACE:
            raise self.stop(
                f"{url_in_words(url)} answers {status}{self._said(response)}: look at the address "
                "and the object in sync.yml"
            )
        if status >= 500:
            return f"{self.title} answers {status}{self._said(response)}", True, True
        raise BatchRefused(self.scrub(f"{self.title} answers {status}{self._said(response)}"))

    def _said(self, response: requests.Response) -> str:
        """What an answer says besides its status, with a colon before it; empty for nothing."""
        text = message_of(response)
        return f": {self.scrub(text)}" if text else ""

    def _words(self, error: requests.exceptions.RequestException, url: str) -> tuple[str, bool]:
        """What happened to a request, and whether it may have taken effect.

        Raises:
            Stop: for what no second try mends.
        """
        where = url_in_words(url)
        cause = error.args[0] if error.args else None
        reason = getattr(cause, "reason", cause)
        if isinstance(error, requests.exceptions.SSLError):
            raise self.stop(
                f"the certificate of {where} is not trusted: check the address; for a certificate "
                "authority of your own name its file with ca_file"
            ) from None
        if isinstance(error, requests.exceptions.ProxyError):
            return f"the proxy for {where} does not let us through", False
        if isinstance(error, requests.exceptions.ConnectTimeout):
            return f"{where} cannot be reached within {self._limits.timeout_seconds:g} s", False
        if isinstance(error, requests.exceptions.Timeout):
            return f"{where} does not answer within {self._limits.timeout_seconds:g} s", True
        if isinstance(reason, NameResolutionError):
            return f"the name of {where} is not known", False
        if isinstance(reason, NewConnectionError):
            return f"{where} cannot be reached", False
        if isinstance(error, requests.exceptions.ConnectionError):
            return f"{where} closed the connection without an answer", True
        if isinstance(error, (ValueError, requests.exceptions.InvalidHeader)) and not isinstance(
            error, requests.exceptions.JSONDecodeError
        ):
            raise self.stop(f"{where}: a request to it cannot be made; look at the URL") from None
        return f"{where} sent half an answer", True


class HttpSender:
    """What senders over HTTP have in common: a session, which counts, and no file."""

    _session: Session

    @property
    def request_count(self) -> int:
        """Number of requests so far."""
        return self._session.request_count

    @property
    def was_unclear(self) -> bool:
        """Whether an answer of the last batch never came."""
        return self._session.was_unclear

    @property
    def file(self) -> None:
        """There is none."""

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


def message_of(response: requests.Response) -> str:
    """What an answer says in words, as the services write it; empty when nothing is to be had."""
    if "html" in response.headers.get("Content-Type", ""):
        return "an HTML page"
    try:
        body = response.json()
    except ValueError:
        return first_line(response.text[:400], 160)
    if isinstance(body, list) and body:
        body = body[0]
    if isinstance(body, dict):
        for name in ("message", "error_description", "error", "reason", "detail"):
            if isinstance(body.get(name), str):
                return first_line(body[name], 200)
    return ""


def json_problem(response: requests.Response) -> str | None:
    """What is wrong with an answer that has to be JSON; None when nothing is."""
    try:
        response.json()
    except ValueError:
        is_page = "html" in response.headers.get("Content-Type", "")
        what = "an HTML page" if is_page else "something else"
        return f"{response.status_code} with {what} instead of JSON"
    return None


def _retry_after(response: requests.Response) -> float | None:
    """Seconds that an answer asks to wait; None when it does not say."""
    written = response.headers.get("Retry-After")
    if written is None:
        return None
    try:
        return Retry().parse_retry_after(written)
    except InvalidHeader:
        return None
