"""
One attempt: look the name up, judge the address, connect to it, post, read the head of the answer.

Nothing is kept between two attempts: no connection, no cookie. Redirects are not followed and
proxies of the environment are not heard, since either would be somebody else's choice of address.
"""

from __future__ import annotations

import os
import re
import ssl
import time
from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from typing import Final

import httpx
import trio
from attrs import frozen

from netevd import __version__
from netevd.config.targets import Destination
from netevd.courier.resolve import Refused, Unresolved, resolve
from netevd.model.locality import Address
from netevd.worker.errand import Deliver, Delivered

ANSWER_LIMIT: Final = 64 * 1024
"""Bytes of an answer's body that are read, so that a server is not cut off in the middle of a few words."""

ANSWER_TIME_S: Final = 1.0
"""How long they are waited for: what was asked is answered by the status already."""

_AGAIN: Final = frozenset({408, 425, 429})
"""Refusals that may be gone later, as every status from 500 on. Source: RFC 9110, 8470, 6585."""

_SECONDS: Final = re.compile(r"[0-9]{1,9}\Z")
_HOST: Final = re.compile(r"[^A-Za-z0-9._-]")


@frozen(slots=True)
class _Answer:
    """What came of an attempt."""

    result: str
    status: int = 0
    reason: str = ""
    retry_after_s: float = 0.0


_BUNDLES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""Where Debian, Fedora, openSUSE and Alpine keep the certificates of the system."""


def _trust_system() -> ssl.SSLContext:
    """Return what checks certificates by those of the system, also where OpenSSL's paths are not there."""
    context = ssl.create_default_context()
    known = ssl.get_default_verify_paths()
    if not (os.path.exists(known.openssl_cafile) or os.path.exists(known.openssl_capath)):
        bundle = next((each for each in _BUNDLES if os.path.exists(each)), None)
        if bundle is not None:
            context.load_verify_locations(bundle)
    return context


class Poster:
    """Makes attempts; holds what is dear to make, the certificates of the system."""

    def __init__(self) -> None:
        self._certificates = _trust_system()

    async def post(self, destination: Destination, wanted: Deliver) -> Delivered:
        """Make one attempt, within the destination's time. Cancellation cuts it off."""
        begin = time.monotonic()
        answer = _Answer("again", 0, f"no answer within {destination.timeout_s:g} s")
        with trio.move_on_after(destination.timeout_s):
            answer = await self._try(destination, wanted)
        return Delivered(
            wanted.target, wanted.sequence, wanted.attempt, answer.result, answer.status,
            answer.reason[:500], time.monotonic() - begin, answer.retry_after_s,
        )  # fmt: skip

    async def _try(self, destination: Destination, wanted: Deliver) -> _Answer:
        try:
            url = httpx.URL(destination.url)
        except httpx.InvalidURL:
            return _Answer("failed", 0, "its address is none")
        port = url.port or {"https": 443, "http": 80}[url.scheme]
        try:
            addresses = await resolve(url.host, port, allow_local=destination.allow_local)
        except Refused as refused:
            return _Answer("refused", 0, str(refused))
        except Unresolved as unresolved:
            return _Answer("again", 0, str(unresolved))
        answer = _Answer("again", 0, "no address was tried")
        for address in addresses:
            try:
                return await self._ask(url, address, destination, wanted)
            except httpx.ConnectError as error:
                answer = _Answer("again", 0, f"{address}: {_explain(error)}")
            except httpx.HTTPError as error:
                return _Answer("again", 0, f"{address}: {_explain(error)}")
        return answer

    async def _ask(
        self, url: httpx.URL, address: Address, destination: Destination, wanted: Deliver
    ) -> _Answer:
        """Post to this address, whatever the name has become. Raises: httpx.HTTPError."""
        headers = [*_make_headers(wanted), *destination.headers]
        async with (
            httpx.AsyncClient(
                verify=self._certificates,
                trust_env=False,
                follow_redirects=False,
                timeout=destination.timeout_s,
                limits=httpx.Limits(max_connections=1, max_keepalive_connections=0),
            ) as client,
            client.stream(
                "POST",
                url.copy_with(host=str(address)),
                content=wanted.body,
                headers=[("Host", url.netloc.decode("ascii")), *headers],
                extensions={"sni_hostname": url.host},
            ) as response,
        ):
            with trio.move_on_after(ANSWER_TIME_S):
                await _pass_over(response)
            return _judge(response)


async def _pass_over(response: httpx.Response) -> None:
    size = 0
    try:
        async for part in response.aiter_raw():
            size += len(part)
            if size > ANSWER_LIMIT:
                return
    except httpx.HTTPError:
        return  # the status has said all that matters


def _make_headers(wanted: Deliver) -> Iterable[tuple[str, str]]:
    return (
        ("User-Agent", f"netevd/{__version__}"),
        ("Content-Type", "application/json"),
        ("Accept", "*/*"),
        ("Accept-Encoding", "identity"),
        ("Connection", "close"),
        ("Idempotency-Key", f"{wanted.sequence}-{wanted.time_ns}"),
        ("Netevd-Sequence", str(wanted.sequence)),
        ("Netevd-Event", wanted.event),
        ("Netevd-Attempt", str(wanted.attempt)),
        ("Netevd-Host", _HOST.sub("_", os.uname().nodename) or "_"),
    )


def _judge(response: httpx.Response) -> _Answer:
    status = response.status_code
    if 200 <= status < 300:
        return _Answer("ok", status)
    if status in _AGAIN or 500 <= status < 600:
        wish = _read_retry_after(response.headers.get("retry-after", ""))
        return _Answer("again", status, f"status {status}", wish)
    reason = f"status {status}"
    if 300 <= status < 400:
        reason += ": it leads elsewhere, which is not followed"
    return _Answer("failed", status, reason)


def _read_retry_after(text: str) -> float:
    """Return the seconds that a header Retry-After asks for, 0 for nonsense. Source: RFC 9110."""
    if _SECONDS.match(text):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _explain(error: httpx.HTTPError) -> str:
    """Return in our own words what went wrong: those of the library may be the server's."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, ssl.SSLCertVerificationError):
            return f"its certificate is not accepted: {found.verify_message}"
        if isinstance(found, ssl.SSLError):
            return f"TLS failed: {found.reason or 'unknown reason'}"
        if isinstance(found, OSError) and found.strerror:
            return f"can't be reached: {found.strerror}"
        found = found.__cause__ or found.__context__
    if isinstance(error, httpx.ConnectError):
        return "can't be reached"
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    return "it answered with what is no HTTP, or broke off"
