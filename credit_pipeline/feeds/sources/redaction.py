"""Secrets of sources: where they come from, and how they stay out of every text.

A secret is named in sources.yaml as `${secret:NAME}`. Its value comes from the environment variable
`CREDIT_SECRET_NAME`, or else from the secrets file. Libraries put DSNs, SQL and URLs into their errors, so what they
say passes through `Secrets.redact` before anybody sees it.
"""

from __future__ import annotations

import json
import logging
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, quote_plus

import yaml
from pydantic import SecretStr

from credit_pipeline.errors import BadInput
from credit_pipeline.feeds.sources.problems import SourceProblem
from credit_pipeline.settings import Settings, secret_variable

SECRET_REFERENCE = re.compile(r"\$\{secret:([A-Z][A-Z0-9_]{0,63})\}")
_HIDDEN = "***"
_LOGGERS = ("urllib3.connectionpool", "urllib3.util.retry", "requests")


class Secrets:
    """Resolves references and remembers every value it gave out, to hide it later."""

    def __init__(self, settings: Settings) -> None:
        self._file = settings.secrets_file
        self._values: dict[str, SecretStr] = {}
        self._stored: dict[str, SecretStr] | None = None

    def __repr__(self) -> str:
        return f"Secrets({', '.join(sorted(self._values))})"

    def reveal(self, text: str) -> str:
        """The text with every `${secret:NAME}` replaced by its value; keep the result out of errors and logs.

        Raises:
            SourceProblem: a secret is not set, or the secrets file may not be used.
        """
        return SECRET_REFERENCE.sub(lambda match: self._value(match[1]), text)

    def conceal(self, text: str) -> str:
        """The opposite of `reveal`, for text that is kept for later: values become references again."""
        for name, value in self._values.items():
            for form in _forms(value.get_secret_value()):
                text = text.replace(form, f"${{secret:{name}}}")
        return text

    def redact(self, text: str) -> str:
        """The text without any secret given out so far, in whatever form a library may have written it."""
        forms = {form for value in self._values.values() for form in _forms(value.get_secret_value())}
        for form in sorted(forms, key=len, reverse=True):
            text = text.replace(form, _HIDDEN)
        return text

    @contextmanager
    def kept_out_of_logs(self) -> Iterator[None]:
        """While it lasts, what the HTTP libraries log (whole URLs, at debug level) is redacted."""

        def redacted(record: logging.LogRecord) -> bool:
            record.msg, record.args = self.redact(record.getMessage()), ()
            return True

        for name in _LOGGERS:
            logging.getLogger(name).addFilter(redacted)
        try:
            yield
        finally:
            for name in _LOGGERS:
                logging.getLogger(name).removeFilter(redacted)

    def _value(self, name: str) -> str:
        if name not in self._values:
            value = secret_variable(name)
            if value is None:
                if self._stored is None:
                    self._stored = {} if self._file is None else read_secrets_file(self._file)
                value = self._stored.get(name)
            if value is None:
                raise SourceProblem(
                    "secret",
                    f"the secret {name} is not set",
                    f"set the environment variable CREDIT_SECRET_{name}, or put {name} into the file that "
                    "CREDIT_SECRETS_FILE names",
                )
            self._values[name] = value
        return self._values[name].get_secret_value()


def _forms(value: str) -> set[str]:
    """A value as it is and as URLs, SQL, DSNs, JSON and Python write it."""
    encoded = {quote(value), quote(value, safe=""), quote_plus(value)}
    forms = {value, value.replace("'", "''"), value.replace("\\", "\\\\").replace("'", "\\'")}
    forms |= encoded | {re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), item) for item in encoded}
    forms |= {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1]}
    return {form for form in forms if form}


def read_secrets_file(path: Path) -> dict[str, SecretStr]:
    """The secrets of a YAML file `NAME: value`.

    Raises:
        BadInput: the file is not ours alone (0600), or cannot be read as such a mapping. Never shows its content.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        raise BadInput(
            f"the secrets file {path} cannot be opened: {error.strerror}; "
            "remedy: mend CREDIT_SECRETS_FILE, or take it away and use CREDIT_SECRET_<NAME> variables"
        ) from None
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise BadInput(
                f"the secrets file {path} can be read by others or belongs to another user; remedy: "
                f"chown it to the user who runs the pipeline, then chmod 600 {path.name}"
            )
        data = stream.read()
    try:
        content = yaml.safe_load(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise BadInput(f"the secrets file {path} is not UTF-8; remedy: save it as UTF-8") from None
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        place = "" if line is None else f" at line {line + 1}"
        raise BadInput(
            f"the secrets file {path} is no YAML{place}; remedy: write NAME: 'value', one a line"
        ) from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise BadInput(
            f"the secrets file {path} holds no NAME: 'value' lines; remedy: write them, one a line"
        )
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, str) or not value:
            raise BadInput(
                f"the secrets file {path}: the value of {name} is not a text; remedy: put it in quotes"
            )
    return {name: SecretStr(value) for name, value in content.items()}
