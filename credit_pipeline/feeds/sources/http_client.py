"""Gets one page of an API: one request, its retries, and the checks that it is a whole answer.

A page is one attempt from the first byte sent to the last record parsed, so a body that breaks off or JSON that ends too
early is tried again like a 503. What comes next and what survives a crash is the business of `pages` and `http`.
"""

from __future__ import annotations

import email.message
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests
from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

from credit_pipeline.feeds.sources.config import BearerAuth, HeaderAuth, HttpSource, QueryAuth
from credit_pipeline.feeds.sources.json_records import Missing, at_path, parse, raw_records
from credit_pipeline.feeds.sources.problems import SourceProblem
from credit_pipeline.feeds.sources.redaction import Secrets

_LONGEST_BACKOFF_S = 60.0
_AGAIN = {408, 425, 429, 500, 502, 503, 504}
"""Answers of a server that is busy or restarting; other 4xx say that the request is wrong."""
_REMEDIES = {
    400: ("bad_answer", "compare url, params and paging with the server's manual"),
    401: ("refused", "check the token, and whether it has expired"),
    403: ("refused", "have the server's owner allow this token, from this address"),
    404: ("not_found", "check url"),
}


@dataclass(frozen=True)
class Page:
    """One answer, whole and understood."""

    records: list[str]
    """As the server wrote them, one line each."""
    answer: Any
    link: str | None
    """Address in the header Link with rel="next"."""
    size: int
    """Bytes, unpacked."""


class Unusable(Exception):
    """An answer that another attempt may mend.

    Attributes:
        wait: seconds that the server asks to wait.
    """

    def __init__(self, problem: SourceProblem, wait: float | None = None) -> None:
        super().__init__(problem.message)
        self.problem, self.wait = problem, wait


class ClientError(SourceProblem):
    """The server says that the request is wrong (4xx)."""


class Client:
    """A session with one server: token, rate limit, attempts."""

    def __init__(self, source: HttpSource, secrets: Secrets) -> None:
        self._source, self._secrets = source, secrets
        self._session = requests.Session()
        # Neither a proxy nor a .netrc of the machine's user may see or replace the token.
        self._session.trust_env = False
        self._session.verify = str(source.ca_file) if source.ca_file else source.verify_tls
        self._session.headers.update({"Accept": "application/json", "User-Agent": "credit-pipeline"})
        for name, value in source.headers.items():
            self._session.headers[name] = secrets.reveal(value)
        self._token: dict[str, str] = {}
        if isinstance(source.auth, BearerAuth):
            self._session.headers["Authorization"] = f"Bearer {secrets.reveal(source.auth.token)}"
        elif isinstance(source.auth, HeaderAuth):
            self._session.headers[source.auth.header] = secrets.reveal(source.auth.token)
        elif isinstance(source.auth, QueryAuth):
            self._token = {source.auth.parameter: secrets.reveal(source.auth.token)}
        self._earliest = 0.0

    def close(self) -> None:
        self._session.close()

    def page(
        self,
        number: int,
        url: str,
        parameters: dict[str, str],
        left: int,
        accept: Callable[[Page], None] = lambda page: None,
    ) -> Page:
        """The page at an address, after as many attempts as it takes.

        Args:
            number: for messages, from 1.
            left: bytes that may still come.
            accept: may raise `Unusable` for a page that should be asked for again.

        Raises:
            SourceProblem: no attempt gave a whole page; `ClientError` when the request itself is wrong.
        """
        attempt = 1
        while True:
            try:
                page = self._attempt(number, url, parameters, left)
                accept(page)
                return page
            except Unusable as error:
                if attempt >= self._source.max_attempts:
                    raise error.problem from None
                if error.wait is not None and error.wait > self._source.max_wait_seconds:
                    raise SourceProblem(
                        "limit",
                        f"page {number}: the server asks to wait {error.wait:.0f} s",
                        "the next run goes on from this page; or raise max_wait_seconds",
                    ) from None
                backoff = min(self._source.backoff_seconds * 2 ** (attempt - 1), _LONGEST_BACKOFF_S)
                jittered = backoff * random.uniform(0.5, 1)  # noqa: S311 (jitter, not a secret)
                time.sleep(jittered if error.wait is None else error.wait + jittered)
                attempt += 1

    def _attempt(self, number: int, url: str, parameters: dict[str, str], left: int) -> Page:
        self._keep_rate()
        revealed = {name: self._secrets.reveal(value) for name, value in parameters.items()} | self._token
        try:
            with self._session.get(
                self._secrets.reveal(url),
                params=revealed,
                timeout=self._source.timeout_seconds,
                allow_redirects=False,
                stream=True,
            ) as response:
                self._check_status(number, response)
                body = self._body(number, response, left)
        except requests.exceptions.SSLError:
            raise SourceProblem(
                "connection",
                f"page {number}: the server's certificate cannot be verified",
                "name the authority's certificates under ca_file",
            ) from None
        except requests.exceptions.Timeout:
            raise Unusable(
                SourceProblem(
                    "connection",
                    f"page {number}: the server did not answer within {self._source.timeout_seconds:g} s",
                    "check that it runs and can be reached from here; or raise timeout_seconds",
                )
            ) from None
        except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError):
            raise Unusable(
                SourceProblem(
                    "connection",
                    f"page {number}: the connection was cut in the middle of the answer",
                    "the next run goes on from this page; if it stays so, ask the server's owner",
                )
            ) from None
        except requests.exceptions.ConnectionError:
            raise Unusable(
                SourceProblem(
                    "connection",
                    f"page {number}: the server cannot be reached, or cut the connection",
                    "check that it runs and can be reached from here",
                )
            ) from None
        except requests.exceptions.RequestException as error:
            # Its text holds the whole address.
            raise SourceProblem(
                "configuration", f"page {number}: {type(error).__name__}", "check url and headers"
            ) from None
        return self._understood(number, body, response)

    def _keep_rate(self) -> None:
        if self._source.rate_limit_per_second is None:
            return
        now = time.monotonic()
        if now < self._earliest:
            time.sleep(self._earliest - now)
        self._earliest = max(now, self._earliest) + 1 / self._source.rate_limit_per_second

    def _check_status(self, number: int, response: requests.Response) -> None:
        status = response.status_code
        if status in _AGAIN or status >= 500:
            raise Unusable(
                SourceProblem(
                    "limit" if status == 429 else "bad_answer",
                    f"page {number}: the server answers {status} again and again",
                    "lower rate_limit_per_second, or ask the server's owner; the next run goes on from this page",
                ),
                _retry_after(response.headers.get("Retry-After")),
            )
        if 300 <= status < 400:
            raise SourceProblem(
                "configuration",
                f"page {number}: the server sends us to another address ({status})",
                "write the address that it means into url; the token is not carried elsewhere unasked",
            )
        if status >= 400:
            reason, remedy = _REMEDIES.get(status, ("bad_answer", "compare with the server's manual"))
            raise ClientError(reason, f"page {number}: the server answers {status}", remedy)  # type: ignore[arg-type]

    def _body(self, number: int, response: requests.Response, left: int) -> bytes:
        """The whole body, never more than may still come; `stream` so that a bomb is not unpacked first."""
        patience = time.monotonic() + max(10 * self._source.timeout_seconds, 60)
        body = bytearray()
        for chunk in response.iter_content(1 << 16):
            body += chunk
            if len(body) > left:
                raise SourceProblem(
                    "limit",
                    f"page {number}: more than max_bytes = {self._source.max_bytes} bytes have come",
                    "raise max_bytes when so much is right; the next run then goes on from this page",
                )
            if time.monotonic() > patience:
                raise requests.exceptions.Timeout
        return bytes(body)

    def _understood(self, number: int, body: bytes, response: requests.Response) -> Page:
        text = self._decoded(number, body, response.headers.get("Content-Type", ""))
        start = text.lstrip()[:1]
        if start not in ("{", "["):
            kind = "an HTML page" if start == "<" else "an empty answer" if not start else "no JSON"
            raise SourceProblem(
                "bad_answer",
                f"page {number}: the server sends {kind} with status {response.status_code}",
                "check url: this is often the page of a gateway or a login",
            )
        try:
            answer = parse(text)
        except ValueError:
            raise Unusable(
                SourceProblem(
                    "bad_answer",
                    f"page {number}: the JSON breaks off or is damaged",
                    "the next run goes on from this page; if it stays so, ask the server's owner",
                )
            ) from None
        for path, value in self._source.expect.items():
            self._expect(number, answer, path, value)
        try:
            found = at_path(answer, self._source.records)
            if not isinstance(found, list):
                raise Missing(self._source.records)
            records = raw_records(text, self._source.records)
        except Missing:
            keys = ", ".join(sorted(answer)[:20]) if isinstance(answer, dict) else "an array"
            raise SourceProblem(
                "bad_answer",
                f"page {number}: there is no array of records at {self._source.records or 'the top'}; "
                f"the answer has {self._secrets.redact(keys)}",
                "write the dotted path of the array under records",
            ) from None
        wrong = next(
            (place for place, record in enumerate(found, start=1) if not isinstance(record, dict)), None
        )
        if wrong is not None:
            raise SourceProblem(
                "bad_answer", f"page {number}: record {wrong} is no object", "check the path under records"
            )
        link = response.links.get("next", {}).get("url")
        return Page(records, answer, link, len(body))

    def _decoded(self, number: int, body: bytes, content_type: str) -> str:
        message = email.message.Message()
        message["Content-Type"] = content_type
        charset = message.get_param("charset", "utf-8")
        charset = charset if isinstance(charset, str) else "utf-8"
        # GB2312 is what Chinese servers call any of its supersets.
        codec = "gb18030" if charset.lower() in ("gb2312", "gbk", "gb18030") else "utf-8-sig"
        try:
            return body.decode(codec)
        except UnicodeDecodeError as error:
            raise Unusable(
                SourceProblem(
                    "bad_answer",
                    f"page {number}: byte {error.start} is no {codec} text",
                    "have the server's owner send UTF-8, or name the charset in Content-Type",
                )
            ) from None

    def _expect(self, number: int, answer: Any, path: str, value: str) -> None:
        try:
            found = at_path(answer, path)
        except Missing:
            found = "nothing"
        if found is True or found is False:
            found = str(found).lower()
        if str(found) != value:
            raise Unusable(
                SourceProblem(
                    "bad_answer",
                    f"page {number}: {path} is {self._secrets.redact(str(found))[:40]} instead of {value}",
                    "see the server's manual for what that means",
                )
            )


def _retry_after(header: str | None) -> float | None:
    """Seconds to wait, from a number or a date; None when the server does not say, or nonsense."""
    if header is None:
        return None
    try:
        return Retry().parse_retry_after(header)
    except InvalidHeader:
        return None
