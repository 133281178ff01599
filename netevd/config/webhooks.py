"""
The distinct webhooks of a configuration, and which of them can't be meant.

Pure, so that reader and core, which never speak with each other, come to the same numbers: a
webhook's place in the list is its number. Headers are `headers`'.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from netevd.config.schema import Configuration, Webhook
from netevd.model.locality import find_locality
from netevd.model.webhook import Target

LIMIT: Final = 32
"""Webhooks of one configuration at most."""


def find_target(webhook: Webhook) -> Target:
    """Return what identifies a webhook."""
    return Target(webhook.url, webhook.headers_file or "")


def list_webhooks(configuration: Configuration) -> tuple[Webhook, ...]:
    """Return the webhooks of all filters, each once, in the order in which they are first named."""
    found: dict[Target, Webhook] = {}
    for each in configuration.filters:
        for webhook in each.webhooks or ():
            found.setdefault(find_target(webhook), webhook)
    return tuple(found.values())


def find_faults(configuration: Configuration) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the place, as a path of keys, and the text of each problem with the webhooks."""
    firsts: dict[Target, Webhook] = {}
    for index, each in enumerate(configuration.filters):
        where = ("filters", str(index), "webhooks")
        webhooks = each.webhooks or ()
        if each.webhooks is not None and each.action != "execute":
            text = f"nothing is posted with action {each.action}; take them out, or write execute"
            yield where, f"webhooks: {text}"
        for number, webhook in enumerate(webhooks):
            place = (*where, str(number))
            target = find_target(webhook)
            if target in map(find_target, webhooks[:number]):
                yield (*place, "url"), "url: this filter names it twice"
            first = firsts.setdefault(target, webhook)
            if first.retries != webhook.retries:
                text = f"another filter gives the same webhook {first.retries}; make them agree"
                yield place, f"retries: {text}"
            if len(firsts) == LIMIT + 1 and first is webhook:
                yield (*place, "url"), f"url: more than {LIMIT} different webhooks"
            fault = _find_local(webhook.url)
            if fault and not configuration.webhooks.allow_local:
                yield (*place, "url"), f"url: {fault}; webhooks.allow_local: true allows it"


def _find_local(url: str) -> str:
    """Return what is local about an address that is written as a number, or as localhost."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return f"{host} is this machine"
    try:
        locality = find_locality(ip_address(host))
    except ValueError:
        return ""
    return f"{host} is {locality}" if locality else ""
