"""An OpenAI-compatible server: requests that are repeated until they are answered."""

from __future__ import annotations

import json
import os
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from urllib3 import BaseHTTPResponse, PoolManager, Retry, Timeout
from urllib3.exceptions import HTTPError, MaxRetryError

from ..errors import ProgressGymError, UsageError

API_KEY = "PROGRESSGYM_API_KEY"  # a name of its own: no other service's key is sent by mistake
IN_FLIGHT = 8  # requests at once
PASSING = {408, 425, 429, 500, 502, 503, 504}  # answers after which asking again can help

PATIENT = Retry(
    total=8,
    allowed_methods=None,  # asking twice changes nothing
    backoff_factor=1.0,
    backoff_jitter=1.0,
    backoff_max=60,
    retry_after_max=600,
)
"""At once, then after 2, 4, 8 … seconds and up to one more; some three minutes in all. A server
that says when to come back (Retry-After) is taken at its word."""

UNHURRIED = Timeout(connect=10, read=300)
"""Seconds. A request can wait behind others at a busy server."""


class RefusedError(UsageError):
    """The server understood the request and will not answer it (4xx)."""


class Server:
    """A server that speaks OpenAI's protocol, such as vLLM's.

    A key is taken from the environment variable ``PROGRESSGYM_API_KEY`` and kept nowhere.

    Args:
        url: up to and with ``/v1``.
        retry: how often and after which time a failed request is repeated.
        timeout: of a request.

    Raises:
        UsageError: no http(s) address, or one with a password in it, which results would show.
    """

    def __init__(self, url: str, retry: Retry = PATIENT, timeout: Timeout = UNHURRIED) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"{url!r} is no address of a server: expected http://HOST:PORT/v1.")
        if parts.username or parts.password:
            raise UsageError(f"No passwords in addresses, please: set {API_KEY} instead.")
        self.url = url.rstrip("/")
        self._retry = retry
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"Server({self.url!r})"

    @cached_property
    def models(self) -> list[str]:
        """Names of the models that it serves."""
        try:
            return [str(model["id"]) for model in self.ask("GET", "/models")["data"]]
        except (KeyError, TypeError):
            raise UsageError(
                f"{self.url}/models lists no models: is it the right address?"
            ) from None

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """One request and its answer.

        Raises:
            RefusedError: the server will not answer it.
            ProgressGymError: it could not be reached, or made no sense, however often it was asked.
        """
        url, retries = self.url + path, self._retry
        while True:
            response, problem = None, None
            try:
                response = self._request(method, url, body)
                if response.status == 200:
                    return _decoded(response)
                if response.status not in PASSING:
                    raise RefusedError(self._refusal(response))
            except (HTTPError, ValueError) as error:
                problem = error
            try:
                retries = retries.increment(method, url, response, problem)
            except MaxRetryError as error:
                raise ProgressGymError(
                    f"No answer from {url} after {len(retries.history) + 1} tries; the last time: "
                    f"{_last(response, problem)}. Check that the server runs and can be reached, "
                    "then give the same command again (`run` goes on with --resume)."
                ) from error
            retries.sleep(response)

    def _request(self, method: str, url: str, body: dict[str, Any] | None) -> BaseHTTPResponse:
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(API_KEY):
            headers["Authorization"] = f"Bearer {key}"
        content = None if body is None else json.dumps(body)
        return self._pool.request(
            method, url, body=content, headers=headers, timeout=self._timeout, retries=False
        )

    @cached_property
    def _pool(self) -> PoolManager:
        return PoolManager(maxsize=IN_FLIGHT)

    def _refusal(self, response: BaseHTTPResponse) -> str:
        said = _said(response)
        if response.status in (401, 403):
            key = "is not accepted" if os.environ.get(API_KEY) else "is not set"
            return f"{self.url} wants a key, and {API_KEY} {key}. {said}"
        return f"{self.url} refuses the request: {said}"


def _decoded(response: BaseHTTPResponse) -> dict[str, Any]:
    found = json.loads(response.data)
    if not isinstance(found, dict):
        raise ValueError(f"expected a JSON object, found {str(found)[:60]!r}")
    return found


def _last(response: BaseHTTPResponse | None, problem: Exception | None) -> str:
    if response is not None and response.status != 200:
        return _said(response)
    return f"an answer that is no JSON ({problem})" if response is not None else str(problem)


def _said(response: BaseHTTPResponse) -> str:
    """Status and message of an answer that is an error, in short."""
    said = response.data.decode("utf-8", "replace")
    try:
        content = json.loads(said)
        said = str(content["error"]["message"])
    except (ValueError, KeyError, TypeError):
        pass
    return f"{response.status} {response.reason or ''} {said[:300]}".strip()
