"""
The reader: a short-lived process that turns a file into launch data and a sealed configuration.

Runs as netevd-net, confined by `privsep.confined`, imported before that. It answers once and ends;
what it answers is checked again by the supervisor.
"""

from __future__ import annotations

import os
import pwd
import socket
from hashlib import sha256
from typing import Final, get_args

import attrs
import msgspec

from netevd.config import headers as headersfiles
from netevd.config.directories import VENDOR_DIRECTORY
from netevd.config.hooktrees import CUSTOMS, get_tree, list_enabled, list_roots
from netevd.config.identities import Identities
from netevd.config.kinds import Capability
from netevd.config.legacy import is_variable
from netevd.config.load import DEFAULT_PATH, Loaded, load
from netevd.config.patch import apply_patch
from netevd.config.reversepath import find_strict
from netevd.config.schema import AuditLog, Configuration, Security
from netevd.config.sealed import seal
from netevd.config.secrets import read_secrets
from netevd.config.targets import pack_targets
from netevd.config.tree import Place, Problem, Unreadable, parse, read_file
from netevd.config.webhooks import list_webhooks
from netevd.config.wireguardfiles import merge_peers, read_peers
from netevd.config.writable import find_forbidden, find_peeping
from netevd.model.event import EventType
from netevd.model.route import TABLE_MAIN, read_protocol, read_table
from privsep.launch import (
    AuditFile,
    Identity,
    Launch,
    Listener,
    Rejected,
    RouteFilter,
    Tree,
    WritePolicy,
)
from privsep.protocol import CANDIDATE_LIMIT, Message, pack

ENDPOINT_LIMIT: Final = 1024
"""Peers whose endpoints are looked up again. Source: privsep.launch.WritePolicy."""
PROBLEM_LIMIT: Final = 200
"""Problems told at most, and notices; who has more mends these first."""
_NOTICE_LIMIT: Final = 1000
"""Characters of one notice."""


def main(arguments: list[str]) -> int:
    """
    Read a configuration and answer; return the exit status.

    arguments: privileged or observe, the path or "", what is read (the file; the text, or the patch of
    the file, that stands in the memory), and the descriptors of the answer's socket, of the memory for
    the configuration and of that for the targets of webhooks.
    """
    mode, path, kind = arguments[:3]
    reply, memory, targets = map(int, arguments[3:])
    try:
        answer = _read(path or None, kind, (memory, targets), observe=mode == "observe")
    except Unreadable as unreadable:
        answer = _reject(list(unreadable.problems))
    with socket.socket(fileno=reply) as sock:
        sock.send(pack(answer))
    return 0


def _read(path: str | None, kind: str, memory: tuple[int, int], *, observe: bool) -> Message:
    """
    Return the answer, and write configuration and targets into their memory. Raises: Unreadable.
    """
    given = trees = None
    if kind != "file":
        main = os.path.abspath(path or DEFAULT_PATH)
        before = read_file(main)
        given = _take_candidate(before, main, kind, memory[0])
        trees = (parse(before, main), parse(given, main), main)
        if peeping := find_peeping(*trees):
            return _reject(peeping)
    loaded = load(path, os.environ, given)
    if isinstance(loaded, list):
        return _reject(loaded)
    # before any file is read that it names: what a worker may not read must not come back in problems
    if trees is not None and (forbidden := find_forbidden(*trees)):
        return _reject(forbidden)
    problems: list[Problem] = []
    runners = _make_runners(loaded, problems, observe=observe)
    if not observe:
        problems += _find_untrusted(loaded)
    secrets = read_secrets(loaded, observe=observe, problems=problems)
    headers, faults = headersfiles.read_all(loaded, observe=observe)
    problems += faults
    whole = _add_peers(loaded, problems)
    if problems:
        return _reject(sorted(problems))
    files = [(file.path, file.content) for file in loaded.files]
    told = [*loaded.notices, *_find_strict_links(loaded)]
    notices = [str(each)[:_NOTICE_LIMIT] for each in told[:PROBLEM_LIMIT]]
    peers = whole.wireguard.peers
    os.pwrite(memory[0], seal(loaded.configuration, secrets, files, notices, peers), 0)
    if packed := pack_targets(whole, headers):
        os.pwrite(memory[1], packed, 0)
    launch = _launch(whole, runners, observe=observe)
    if not loaded.configuration.api.config_writes:
        return launch
    digest = sha256(files[0][1]).hexdigest()
    return msgspec.structs.replace(launch, digest=digest, content=given or b"")


def _find_strict_links(loaded: Loaded) -> list[Problem]:
    """Return what is to be said once of links on which the kernel drops what policy routing is for."""
    strict = find_strict(loaded.configuration)
    if not strict:
        return []
    place = loaded.places.get(("routing", "policy"), Place(""))
    text = (
        f"policy: rp_filter is 1 (strict) on {' '.join(strict)}: what comes in by a link that main would"
        " not answer by may be dropped before any rule is asked; 2 (loose) never does that"
    )
    return [Problem(place, text)]


def _add_peers(loaded: Loaded, problems: list[Problem]) -> Configuration:
    """Return the configuration with what files of WireGuard tools say of peers."""
    settings = loaded.configuration.wireguard
    if not (settings.enabled and settings.names_from):
        return loaded.configuration
    place = loaded.places.get(("wireguard", "names_from"), Place(""))
    found, faults = read_peers(settings.names_from, place)
    problems += faults
    settings = attrs.evolve(settings, peers=merge_peers(settings.peers, found))
    if len(settings.followed) > ENDPOINT_LIMIT:
        text = f"names_from: more than {ENDPOINT_LIMIT} peers whose endpoints have names"
        problems.append(Problem(place, text))
    return attrs.evolve(loaded.configuration, wireguard=settings)


def _take_candidate(before: bytes, path: str, kind: str, memory: int) -> bytes:
    """Return what is to stand in the file. Raises: Unreadable."""
    given = os.pread(memory, os.fstat(memory).st_size, 0)
    os.ftruncate(memory, 0)
    if kind == "text":
        return given
    text = apply_patch(before, given, path)
    if len(text) > CANDIDATE_LIMIT:
        found = (
            f"{len(text)} bytes after the patch, more than the {CANDIDATE_LIMIT} that can be sent"
        )
        raise Unreadable(Problem(Place(path), found))
    return text


def _reject(problems: list[Problem]) -> Rejected:
    lines = [str(problem)[:500] for problem in problems[:PROBLEM_LIMIT]]
    if len(problems) > PROBLEM_LIMIT:
        lines.append(f"and {len(problems) - PROBLEM_LIMIT} more problems")
    return Rejected(lines)


def _launch(configuration: Configuration, runners: list[Identity], *, observe: bool) -> Launch:
    directories = dict.fromkeys([configuration.scripts.directory, VENDOR_DIRECTORY])
    audit = configuration.audit
    return Launch(
        runners=runners,
        directories=list(directories),
        events=[kind.value for kind in EventType],
        log_level=configuration.system.log_level,
        log_format=configuration.system.log_format,
        script_timeout=configuration.script_timeout,
        output_limit=configuration.scripts.output_limit,
        routes=_make_route_filter(configuration),
        writes=_make_write_policy(configuration),
        readable=_list_readable(configuration),
        wireguard=list(configuration.wireguard.interfaces or ("*",))
        if configuration.wireguard.enabled
        else [],
        audit=AuditFile(audit.path, audit.max_size, audit.keep) if audit.enabled else None,
        listeners=_list_listeners(configuration),
        trees=[
            Tree(name, list(list_roots(configuration.compat, name)), number)
            for name, number in Identities(configuration, observe=observe).trees.items()
        ],
        posts=bool(list_webhooks(configuration) or configuration.wireguard.followed),
        signers=_list_signers(configuration.security),
        sandbox=configuration.security.sandbox,
    )


def _list_signers(security: Security) -> list[str] | None:
    """Return whose signature scripts need, None if they need none."""
    found = dict.fromkeys(signer.fingerprint for signer in security.allowed_signers)
    return list(found) if security.verify_scripts else None


def _list_readable(configuration: Configuration) -> list[str]:
    """Return directories with lease files, those of systemd-networkd too."""
    files = configuration.backends.dhclient.patterns
    return [*dict.fromkeys(os.path.dirname(each) for each in files), "/run/systemd"]


def _list_listeners(configuration: Configuration) -> list[Listener]:
    """Return where clients are to be served, beside the socket in the runtime directory."""
    api = configuration.api
    found = [Listener("api", each, api.port) for each in api.bind_address if api.enabled]
    metrics = configuration.metrics
    if metrics.enabled and metrics.port is not None:
        places = metrics.bind_address or api.bind_address
        found += [Listener("metrics", each, metrics.port) for each in places]
    if api.socket is not None:
        found.append(Listener("local", api.socket, 0))
    return found


def _make_route_filter(configuration: Configuration) -> RouteFilter:
    """Return which routes the kernel tells of: those of users, and those that routing is made of."""
    routes, routing = configuration.routes, configuration.routing
    tables: list[int] = [read_table(word) for word in routes.tables]
    if not configuration.needs_routes:
        protocols = [read_protocol(word) for word in routes.protocols]
        return RouteFilter(tables, routes.default_routes, protocols, routing.policy.protocol)
    looked_at = configuration.wireguard.routes.table_number or TABLE_MAIN
    tables = list(dict.fromkeys((TABLE_MAIN, looked_at, *tables)))[:64]
    return RouteFilter(tables, True, [], routing.policy.protocol)


def _make_write_policy(configuration: Configuration) -> WritePolicy:
    """Return what the helper may write. What is ours may be removed even where none is wanted."""
    routing = configuration.routing
    policy = routing.policy
    marks = policy.mark_mask if policy.return_path == "conntrack-mark" else 0
    lingers = policy.on_exit == "remove"
    adds = routing.wanted or bool(routing.confirm)  # what was before may have to be put back
    wireguard = configuration.wireguard
    devices = list(wireguard.interfaces or ("*",)) if wireguard.followed else []
    ports: list[tuple[str, int]] = [
        (each.public_key, int((each.endpoint or "").rpartition(":")[2]))
        for each in wireguard.followed
    ]
    return WritePolicy(
        adds, policy.protocol, policy.base, marks, lingers, wireguard.manages, devices, ports
    )


# --- identities ------------------------------------------------------------------------------------


def _make_runners(loaded: Loaded, problems: list[Problem], *, observe: bool) -> list[Identity]:
    """Return what each runner becomes, in the order of `Identities`; in observe mode the caller."""
    identities = Identities(loaded.configuration, observe=observe)
    users = {} if observe else _resolve_users(loaded, problems)
    runners = []
    for number, wanted in enumerate(identities.all):
        user = _find_caller() if observe else users.get(wanted.user)
        if user is None:
            continue  # one of the problems
        capabilities = wanted.capabilities or ()
        if wanted.capabilities is None and user.uid == 0 and not observe:
            capabilities = get_args(Capability)
        runners.append(
            Identity(
                user.user, user.uid, user.gid, user.groups,
                list(capabilities), list(wanted.limits), list(identities.list_paths(number)) if number else [],
            )
        )  # fmt: skip
    return runners


def _find_caller() -> Identity:
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"uid {uid}"
    return Identity(name, uid, os.getgid(), os.getgroups())


def _resolve_users(loaded: Loaded, problems: list[Problem]) -> dict[str, Identity]:
    """Return every script user as numbers, by name; those that can't be had are problems."""
    scripts = loaded.configuration.scripts
    wanted: dict[tuple[str, ...], str] = {("scripts", "user"): scripts.user}
    for index, rule in enumerate(scripts.rules):
        if rule.user is not None:
            wanted["scripts", "rules", str(index), "user"] = rule.user
    for tree in list_enabled(loaded.configuration.compat):
        user = get_tree(loaded.configuration.compat, tree).user
        if user is not None:
            wanted["compat", tree.replace("-", "_"), "user"] = user
    found: dict[str, Identity] = {}
    for key, name in wanted.items():
        place = loaded.places.get(key, Place("scripts.user"))
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            problems.append(
                Problem(place, f"user: there is no system user {name!r}; make it with:"
                        f" useradd --system --user-group --no-create-home {name}")
            )  # fmt: skip
            continue
        if entry.pw_uid == 0 and key == ("scripts", "user"):
            advice = "give them a system user of their own, or single ones a rule with 'user: root'"
            problems.append(Problem(place, f"user: scripts don't run as root; {advice}"))
            continue
        groups = sorted(set(os.getgrouplist(name, entry.pw_gid)))
        found[name] = Identity(name, entry.pw_uid, entry.pw_gid, groups)
    return found


def _find_untrusted(loaded: Loaded) -> list[Problem]:
    """Return a problem for each setting of privilege from a file that others than root can write."""
    keys: list[tuple[str, ...]] = [("scripts", "user"), ("scripts", "directory"), ("webhooks",)]
    keys += [("security",), *(("security", field.name) for field in attrs.fields(Security))]
    signers = len(loaded.configuration.security.allowed_signers)
    keys += [("security", "allowed_signers", str(each)) for each in range(signers)]
    keys += [("routing",), ("wireguard", "routes"), ("wireguard", "names_from")]
    keys.append(("wireguard", "endpoint_reresolve"))
    keys += [("audit", field.name) for field in attrs.fields(AuditLog)]
    keys += [("api", name) for name in ("socket", "tokens", "tokens_file", "config_writes")]
    keys += [
        ("filters", str(each), "webhooks") for each in range(len(loaded.configuration.filters))
    ]
    for index in range(len(loaded.configuration.scripts.rules)):
        rule = ("scripts", "rules", str(index))
        keys += [(*rule, "user"), (*rule, "capabilities")]
    for tree in CUSTOMS:
        keys += [
            ("compat", tree.replace("-", "_"), each) for each in ("user", "capabilities", "roots")
        ]
    problems = []
    for key in keys:
        place = loaded.places.get(key)
        if place is None or is_variable(place):
            continue
        status = os.stat(place.file)
        if status.st_uid != 0 or status.st_mode & 0o022:
            problems.append(
                Problem(place, f"{key[-1]}: only a file that belongs to root and that nobody else may"
                        f" write can say this; mend it with:"
                        f" chown root {place.file} && chmod go-w {place.file}")
            )  # fmt: skip
    return problems
