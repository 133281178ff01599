"""Answers: each method of `Api` that an endpoint names, and the streams, which are served beside Quart."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from http import HTTPStatus
from itertools import islice
from typing import Any, Final, Protocol
from urllib.parse import parse_qs

import msgspec
from quart import Response, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from netevd.http import accept
from netevd.http.auth import BODY_LIMIT
from netevd.http.broadcast import Broadcast
from netevd.http.configuration import ConfigurationPages
from netevd.http.endpoints import ENDPOINTS, JSON, LIVE, SSE, Endpoint
from netevd.http.live import serve_live
from netevd.http.openapi import encode_document
from netevd.http.pace import STEP, gather, write_list
from netevd.http.parameters import Given, read_choice
from netevd.http.peer import WHO
from netevd.http.problem import Problem, send_problem
from netevd.http.stream import Reader, Receive, Send, serve_events
from netevd.http.writer import Writer
from netevd.model.event import Event
from netevd.model.objects import RunObject
from netevd.model.route import Route
from netevd.model.shape import printable
from netevd.model.show import shape_described_event
from netevd.report.choice import Choice
from netevd.report.health import Vitals, judge, show_readiness
from netevd.report.journal import Entry
from netevd.report.past import Past
from netevd.report.view import View

LIMIT: Final = 100
"""Events or runs in an answer when nobody says how many."""


FIELD_LIMIT: Final = 100
"""Parameters of one query."""

EVENTS: Final = next(each for each in ENDPOINTS if each.streams)


class Steering(Protocol):
    """What clients may have done."""

    async def reload(self, by: str) -> list[str] | None:
        """
        Have the configuration read again; return its problems, None where it is in force.

        No problem at all: another reload was under way. by: who has asked, for the audit log.
        """

    @property
    def reloading(self) -> bool:
        """Whether that is under way."""

    def resume(self, path: str, by: str) -> bool:
        """Let a paused script run again; tell whether it was paused. by: who has asked."""

    def flush_routing(self, by: str) -> None:
        """Remove every rule and route of netevd's. by: who has asked."""

    def confirm_routing(self, by: str) -> bool:
        """Keep the routing configuration on trial; tell whether one is. by: who has asked."""

    async def examine(self) -> Vitals:
        """Find out how the daemon is; helper and runners are asked."""

    def note_fault(self, text: str) -> None:
        """Log that an answer could not be made, by a mistake of ours."""


class Api:
    """The application, and the streams that are open."""

    def __init__(self, view: View, steering: Steering, writer: Writer) -> None:
        self._view = view
        self._pages = ConfigurationPages(view, writer)
        self._past: Past = view.past
        self._steering = steering
        self._broadcast = Broadcast(view)
        self._quart = QuartTrio("netevd", static_folder=None, template_folder=None)
        self._quart.config["MAX_CONTENT_LENGTH"] = BODY_LIMIT  # the gate has asked already
        self._quart.errorhandler(Problem)(_answer_problem)
        self._quart.errorhandler(HTTPException)(_answer_http_exception)
        self._quart.errorhandler(Exception)(self._answer_fault)
        self._quart.add_url_rule(LIVE.path, LIVE.name, _refuse_live, methods=[LIVE.method])
        for endpoint in ENDPOINTS:
            answer = self._wrap(endpoint, getattr(self, f"_{endpoint.name}"))
            self._quart.add_url_rule(
                endpoint.path, endpoint.name, answer, methods=[endpoint.method]
            )

        self.kept: dict[str, Callable[[], object]] = {
            "/api/v1/interfaces": self._show_interfaces,
            "/api/v1/routes": self._show_routes,
        }
        """Answers without parameters that change only with what happens, by path; None where one is
        so long that it had better be made while it is sent."""

    def end_streams(self) -> None:
        """Let every stream come to its end."""
        self._broadcast.close()

    @property
    def readers(self) -> int:
        """How many clients hear the stream."""
        return self._broadcast.readers

    async def app(self, scope: Any, receive: Receive, send: Send) -> None:
        """Serve one request, or one WebSocket. Source: ASGI 3.0."""
        kind = scope["type"]
        try:
            if kind == "websocket":
                await self._serve_websocket(scope, receive, send)
                return
            if kind == "http" and scope["path"] == EVENTS.path and _wants_stream(scope):
                given = Given(EVENTS, _read_query(scope))
                reader = self._make_reader(given, _read_header(scope, b"last-event-id"))
                await serve_events(reader, receive, send, head=scope["method"] == "HEAD")
                return
        except Problem as problem:
            await send_problem(scope, send, problem)
            return
        await self._quart(scope, receive, send)  # type: ignore[arg-type]

    async def _serve_websocket(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["path"] != LIVE.path:
            raise Problem(HTTPStatus.NOT_FOUND, f"there is no WebSocket {scope['path'][:200]!r}")
        given = Given(LIVE, _read_query(scope))
        await serve_live(
            self._make_reader(given, _read_header(scope, b"last-event-id")), receive, send
        )

    def _make_reader(self, given: Given, last_event_id: str) -> Reader:
        since = last_event_id or given.get("since")
        choice = read_choice(since, given.get_all("type"), given.get_all("interface"))
        return Reader(self._broadcast, self._past, choice)

    def _wrap(
        self, endpoint: Endpoint, answer: Callable[[Given], Awaitable[Response]]
    ) -> Callable[..., Awaitable[Response]]:
        """Return what Quart calls: with parameters that are checked, if JSON is acceptable."""

        async def call(**path: str) -> Response:
            offered = (JSON, *endpoint.media)
            if accept.choose(request.headers.get("Accept", ""), offered) is None:
                offered += (SSE,) if endpoint.streams else ()
                detail = f"there is {' and '.join(offered)} here"
                raise Problem(HTTPStatus.NOT_ACCEPTABLE, detail)
            query = {name: request.args.getlist(name) for name in request.args}
            return await answer(Given(endpoint, query | {k: [v] for k, v in path.items()}))

        return call

    def _show_interfaces(self) -> object:
        if self._view.count_interfaces() >= STEP:
            return None
        found = list(self._view.iterate_interfaces())
        return {"interfaces": found, "count": len(found)}

    def _show_routes(self) -> object:
        if self._view.count_routes() >= STEP:
            return None
        found = [self._view.shape_route(each) for each in self._view.get_routes()]
        return {"routes": found, "count": len(found), "total": len(found)}

    # --- now --------------------------------------------------------------------------------------

    async def _get_status(self, _: Given) -> Response:
        return _answer(self._view.get_status())

    async def _get_interfaces(self, given: Given) -> Response:
        found = (
            each
            for each in self._view.iterate_interfaces()
            if given.get("state", each["state"]) == each["state"]
            and (not given.has("kind") or given.get("kind") == (each["kind"] or ""))
        )
        return _answer_list("interfaces", found)

    async def _get_interface(self, given: Given) -> Response:
        name = given.get("name")
        found = self._view.find_interface(name)
        if found is None:
            raise Problem(HTTPStatus.NOT_FOUND, f"there is no interface {printable(name)!r}")
        return _answer(found)

    async def _get_routes(self, given: Given) -> Response:
        table, family, index = given.get_table(), given.get("family"), None
        found: list[Route] = self._view.get_routes()
        if given.has("interface"):
            index = self._view.find_index(given.get("interface"))
            found = [r for r in found if any(hop.ifindex == index for hop in r.nexthops)]
        if table is not None:
            found = [each for each in found if each.table == table]
        if family:
            found = [each for each in found if f"ipv{each.family}" == family]
        begin = given.get_number("offset", 0)
        kept = found[begin : begin + given.get_number("limit", len(found))]
        return _answer_list("routes", map(self._view.shape_route, kept), len(found))

    async def _get_rules(self, given: Given) -> Response:
        table, family, name = given.get_table(), given.get("family"), given.get("interface")
        found = [
            each
            for each in map(self._view.shape_rule, self._view.get_rules())
            if (table is None or each["table"] == table)
            and family in {"", each["family"]}
            and (not name or name in {each["input_interface"], each["output_interface"]})
        ]
        return _answer_list("rules", found)

    async def _get_peers(self, given: Given) -> Response:
        name = given.get("interface")
        found = [each for each in self._view.get_peers() if name in {"", each["interface"]}]
        return _answer_list("peers", found)

    async def _get_hooks(self, given: Given) -> Response:
        found = self._view.get_hooks()
        event = given.get("event")
        return _answer_list("hooks", [each for each in found if event in {"", each["event"]}])

    async def _get_config(self, _: Given) -> Response:
        return await self._pages.get()

    # --- before -----------------------------------------------------------------------------------

    async def _get_events(self, given: Given) -> Response:
        since = request.headers.get("Last-Event-ID") or given.get("since")
        choice = read_choice(since, given.get_all("type"), given.get_all("interface"))
        limit = given.get_number("limit", LIMIT)
        last = self._view.get_last()
        if since:
            found, more = await gather(self._past.scan_events(choice), limit)
        else:
            found, more = await gather(self._past.scan_events_back(choice), limit)
            found.reverse()
        events = [shape_described_event(each) for each in found]
        first = self._past.find_first()
        return _answer(
            {"events": events, "count": len(events), "more": more, "first": first, "last": last}
        )

    async def _explain(self, given: Given) -> Response:
        event = await self._find_event(given)
        about: list[Entry]
        about, _ = await gather(self._past.scan_about(event.sequence), 100_000)
        return _answer(self._past.explain(event, about))

    async def _find_event(self, given: Given) -> Event:
        if given.has("sequence") and not (given.has("event") or given.has("interface")):
            number = given.get_number("sequence", 0)
            found, _ = await gather(self._past.scan_events(Choice(since=max(0, number - 1))), 1)
            if found and found[0].sequence == number:
                return found[0]
            first = self._past.find_first()
            detail = f"there is no event {number} in the journal; its oldest one is {first}"
            raise Problem(HTTPStatus.NOT_FOUND, detail)
        event, interface = given.get("event"), given.get("interface")
        if not (event and interface) or given.has("sequence"):
            detail = "expected sequence, or interface and event"
            raise Problem(HTTPStatus.BAD_REQUEST, detail)
        choice = read_choice("", [event], [interface])
        found, _ = await gather(self._past.scan_events_back(choice), 1)
        if not found:
            detail = (
                f"there is no event {printable(event)} of {printable(interface)} in the journal"
            )
            raise Problem(HTTPStatus.NOT_FOUND, detail)
        return found[0]

    async def _get_runs(self, given: Given) -> Response:
        sequence = given.get_number("sequence", 0)
        choice = Choice(interfaces=given.get_all("interface"))
        result = given.get("result")

        def wants(run: RunObject) -> bool:
            return result in {"", run["result"]} and choice.names("", run["interface"] or "")

        past = self._past.scan_runs_back(sequence=sequence)
        wanted = (each if each is not None and wants(each) else None for each in past)
        limit = given.get_number("limit", LIMIT)
        ended, more = await gather(wanted, limit)
        found = ended[::-1] + [
            each for each in self._past.find_open_runs(sequence=sequence) if wants(each)
        ]
        kept = found[max(0, len(found) - limit) :]
        more = more or len(kept) < len(found)
        return _answer({"runs": kept, "count": len(kept), "more": more})

    async def _get_run(self, given: Given) -> Response:
        number = given.get_number("number", 0)
        ended, _ = await gather(self._past.scan_runs_back(run=number), 10_000)
        found = ended[::-1] + list(self._past.find_open_runs(run=number))
        if not found or not number:
            raise Problem(HTTPStatus.NOT_FOUND, f"there is no run {number} in the journal")
        return _answer({"runs": found, "count": len(found), "more": False})

    async def _get_audit(self, given: Given) -> Response:
        """Tell records to those who may read the file: over TCP nobody is known to be one of them."""
        if request.scope["client"] is not None:
            detail = "the audit log is told over the unix socket only"
            raise Problem(HTTPStatus.FORBIDDEN, detail)
        limit = given.get_number("limit", LIMIT)
        found, more = await gather(self._past.scan_noted_back(), limit)
        found.reverse()
        return _answer({"records": found, "count": len(found), "more": more})

    # --- done -------------------------------------------------------------------------------------

    async def _resume(self, given: Given) -> Response:
        path = given.get("path")
        if not self._steering.resume(path, _find_asker()):
            raise Problem(
                HTTPStatus.NOT_FOUND, f"no paused script has the path {printable(path)!r}"
            )
        return _answer({"path": printable(path), "paused": False})

    async def _get_routing(self, _: Given) -> Response:
        return _answer(self._view.get_routing())

    async def _flush_routing(self, _: Given) -> Response:
        self._steering.flush_routing(_find_asker())
        return _answer({"outcome": "flushed"})

    async def _confirm_routing(self, _: Given) -> Response:
        if not self._steering.confirm_routing(_find_asker()):
            raise Problem(HTTPStatus.CONFLICT, "no routing configuration is on trial")
        return _answer({"outcome": "confirmed"})

    async def _reload(self, _: Given) -> Response:
        busy = Problem(HTTPStatus.CONFLICT, "a reload is under way; try again when it is over")
        if self._steering.reloading:
            raise busy
        problems = await self._steering.reload(_find_asker())
        if problems is None:
            generation = self._view.get_status()["generation"] + 1
            answer = _answer({"outcome": "in force", "generation": generation})
            answer.headers["Connection"] = (
                "close"  # this worker ends: the next one serves what comes
            )
            return answer
        if not problems:
            raise busy
        detail = "the configuration was not put in force; what was there goes on"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, problems=problems)

    async def _put_config(self, given: Given) -> Response:
        return await self._pages.put(given)

    async def _patch_config(self, given: Given) -> Response:
        return await self._pages.patch(given)

    async def _confirm_config(self, _: Given) -> Response:
        return await self._pages.confirm()

    async def _roll_back_config(self, _: Given) -> Response:
        return await self._pages.roll_back()

    # --- health -----------------------------------------------------------------------------------

    async def _get_health(self, _: Given) -> Response:
        health = judge(self._view, await self._steering.examine())
        failed = health["status"] == "unhealthy"
        return _answer(health, HTTPStatus.SERVICE_UNAVAILABLE if failed else HTTPStatus.OK)

    async def _get_alive(self, _: Given) -> Response:
        return _answer({"status": "alive"})

    async def _get_ready(self, _: Given) -> Response:
        ready = show_readiness(await self._steering.examine())
        failed = ready["status"] != "ready"
        return _answer(ready, HTTPStatus.SERVICE_UNAVAILABLE if failed else HTTPStatus.OK)

    async def _get_openapi(self, _: Given) -> Response:
        return Response(encode_document(), content_type=JSON)

    # --- faults -----------------------------------------------------------------------------------

    async def _answer_fault(self, error: Exception) -> Response:
        self._steering.note_fault(f"{request.method} {request.path[:200]!r} failed: {error!r}")
        detail = "this is a mistake in netevd; its log says more"
        return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail).answer()


def _find_asker() -> str:
    return str(request.scope.get(WHO, "a client that may use the socket"))


def _wants_stream(scope: Any) -> bool:
    """Tell whether a request for events is one for the stream."""
    if scope["method"] not in {"GET", "HEAD"}:
        return False
    header = _read_header(scope, b"accept")
    named = [each for each in (SSE, JSON) if accept.names(header, each)]
    if named:
        return accept.choose(header, tuple(named)) == SSE
    if accept.choose(header, (SSE,)) is None:
        return False
    return "limit" not in _read_query(scope)


def _read_header(scope: Any, name: bytes) -> str:
    values = [value for key, value in scope["headers"] if key.lower() == name]
    return b",".join(values).decode("latin-1")


def _read_query(scope: Any) -> dict[str, list[str]]:
    text = scope["query_string"].decode("ascii", "replace")
    try:
        return parse_qs(text, keep_blank_values=True, max_num_fields=FIELD_LIMIT)
    except ValueError:
        detail = f"a query has at most {FIELD_LIMIT} parameters"
        raise Problem(HTTPStatus.BAD_REQUEST, detail) from None


def _answer(content: object, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(msgspec.json.encode(content), status.value, content_type=JSON)


def _answer_list(name: str, found: Iterable[object], total: int | None = None) -> Response:
    """Return an answer with a list: a long one is made while it is sent."""
    rest: Iterator[object] = iter(found)
    first = list(islice(rest, STEP))
    if len(first) < STEP:
        more = {} if total is None else {"total": total}
        return _answer({name: first, "count": len(first), **more})
    body = write_list(name, first, rest, total)
    response = Response(body, content_type=JSON)
    response.timeout = None
    return response


async def _refuse_live() -> Response:
    detail = "this is a WebSocket; the same as server-sent events is at /api/v1/events"
    answer = Problem(HTTPStatus.UPGRADE_REQUIRED, detail).answer()
    answer.headers["Upgrade"] = "websocket"
    return answer


async def _answer_problem(problem: Problem) -> Response:
    return problem.answer()


async def _answer_http_exception(error: HTTPException) -> Response:
    status = HTTPStatus(error.code or 500)
    detail = error.description or status.phrase
    if status is HTTPStatus.NOT_FOUND:
        detail = f"{request.path[:200]!r} is not found; /api/v1/openapi.json has every path"
    elif status is HTTPStatus.METHOD_NOT_ALLOWED:
        detail = f"{request.method[:20]} is not for this path; the header Allow has those that are"
    answer = Problem(status, detail).answer()
    for name, value in error.get_headers():
        if name.lower() not in {"content-type", "content-length"}:
            answer.headers[name] = value
    return answer
