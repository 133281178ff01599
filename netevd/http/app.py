"""Paths and answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final, Protocol

import msgspec
from quart import Response, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from netevd.http.parameters import read_choice, read_number, refuse_unknown
from netevd.http.problem import Problem
from netevd.http.stream import Stream
from netevd.model.event import Event
from netevd.model.shape import Json
from netevd.model.show import shape_described_event
from netevd.report.view import Choice, View

LIMIT: Final = 100
"""Events in an answer when nobody says how many."""

BODY_LIMIT: Final = 64 * 1024
"""Octets of a request's body."""


class Steering(Protocol):
    """What clients may have done."""

    async def reload(self, by: str) -> list[str] | None:
        """Have the configuration read again; return its problems, None where it is in force."""

    @property
    def reloading(self) -> bool:
        """Whether that is under way."""

    def resume(self, path: str, by: str) -> bool:
        """Let a paused script run again; tell whether it was paused."""


def _answer(content: Json, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(msgspec.json.encode(content), status.value, content_type="application/json")


WHO: Final = "netevd.who"
"""Key of the ASGI scope under which whoever accepts connections says who the client is, as the audit
log shall have it: `uid 1000`, `token ops`."""


def _find_asker() -> str:
    return str(request.scope.get(WHO, "a client that may use the socket"))


def _count_up(name: str, found: list[Json]) -> Json:
    return {name: found, "count": len(found)}


class Api:
    """The application, and the streams that are open."""

    def __init__(self, view: View, steering: Steering) -> None:
        self._view = view
        self._steering = steering
        self._streams: set[Stream] = set()
        self.app = QuartTrio("netevd", static_folder=None, template_folder=None)
        self.app.config["MAX_CONTENT_LENGTH"] = BODY_LIMIT
        self.app.errorhandler(Problem)(_answer_problem)
        self.app.errorhandler(HTTPException)(_answer_http_exception)
        routes: tuple[tuple[str, str, Callable[..., Awaitable[Response]]], ...] = (
            ("GET", "/api/v1/status", self._get_status),
            ("GET", "/api/v1/interfaces", self._get_interfaces),
            ("GET", "/api/v1/interfaces/<name>", self._get_interface),
            ("GET", "/api/v1/routes", self._get_routes),
            ("GET", "/api/v1/events", self._get_events),
            ("GET", "/api/v1/explain", self._explain),
            ("GET", "/api/v1/runs", self._get_runs),
            ("GET", "/api/v1/runs/<number>", self._get_run),
            ("GET", "/api/v1/audit", self._get_audit),
            ("POST", "/api/v1/hooks/resume", self._resume),
            ("POST", "/api/v1/reload", self._reload),
        )
        for method, path, answer in routes:
            self.app.add_url_rule(path, f"{method} {path}", answer, methods=[method])

        self.kept: dict[str, Callable[[], Json]] = {
            "/api/v1/interfaces": lambda: _count_up("interfaces", view.get_interfaces()),
            "/api/v1/routes": lambda: _count_up("routes", view.get_routes()),
        }
        """Answers without parameters that change only with what happens, by path."""

    def end_streams(self) -> None:
        """Let every stream come to its end."""
        for stream in list(self._streams):
            stream.end()

    # --- now ------------------------------------------------------------------------------------

    async def _get_status(self) -> Response:
        refuse_unknown(request.args)
        return _answer(self._view.get_status())

    async def _get_interfaces(self) -> Response:
        refuse_unknown(request.args, "state", "kind")
        found = self._view.get_interfaces()
        for key, value in request.args.items():
            found = [each for each in found if isinstance(each, dict) and each[key] == value]
        return _answer(_count_up("interfaces", found))

    async def _get_interface(self, name: str) -> Response:
        refuse_unknown(request.args)
        for each in self._view.get_interfaces():
            if isinstance(each, dict) and each["name"] == name:
                return _answer(each)
        raise Problem(HTTPStatus.NOT_FOUND, f"there is no interface {name!r}")

    async def _get_routes(self) -> Response:
        refuse_unknown(request.args)
        found = self._view.get_routes()
        return _answer(_count_up("routes", found))

    # --- before -----------------------------------------------------------------------------------

    def _read_choice(self) -> Choice:
        since = request.headers.get("Last-Event-ID") or request.args.get("since", "")
        return read_choice(since, request.args.getlist("type"), request.args.getlist("interface"))

    async def _get_events(self) -> Response:
        refuse_unknown(request.args, "since", "type", "interface", "limit")
        choice = self._read_choice()
        limit = request.args.get("limit")
        accept = request.headers.get("Accept", "*/*")
        if "text/event-stream" in accept or ("json" not in accept and limit is None):
            return self._stream(choice)
        found = self._view.find_events(choice)
        count = LIMIT if limit is None else read_number("limit", limit)
        first = self._view.find_first()
        kept: list[Json] = [
            shape_described_event(each) for each in found[max(0, len(found) - count) :]
        ]
        last = self._view.find_last()
        return _answer({"events": kept, "count": len(kept), "first": first, "last": last})

    def _stream(self, choice: Choice) -> Response:
        stream = Stream(self._view, choice, history=bool(choice.since or choice.since_ns))
        self._streams.add(stream)

        async def read() -> object:
            try:
                async for message in stream.read():
                    yield message
            finally:
                self._streams.discard(stream)

        response = Response(read(), content_type="text/event-stream")  # type: ignore[arg-type]
        response.headers["Cache-Control"] = "no-store"
        response.timeout = None
        return response

    async def _explain(self) -> Response:
        refuse_unknown(request.args, "sequence", "interface", "event")
        return _answer(self._view.explain(self._find_event()))

    def _find_event(self) -> Event:
        if sequence := request.args.get("sequence"):
            number = read_number("sequence", sequence)
            for event in self._view.find_events(Choice(since=number - 1)):
                if event.sequence == number:
                    return event
            first = self._view.find_first()
            detail = f"there is no event {number} in the journal; its oldest one is {first}"
            raise Problem(HTTPStatus.NOT_FOUND, detail)
        wanted = [request.args.get(name, "") for name in ("event", "interface")]
        if not all(wanted):
            detail = "expected sequence, or interface and event"
            raise Problem(HTTPStatus.BAD_REQUEST, detail)
        found = self._view.find_events(read_choice("", wanted[:1], wanted[1:]))
        if not found:
            detail = f"there is no event {wanted[0]} of {wanted[1]} in the journal"
            raise Problem(HTTPStatus.NOT_FOUND, detail)
        return found[-1]

    async def _get_runs(self) -> Response:
        refuse_unknown(request.args, "sequence", "limit")
        sequence = read_number("sequence", request.args.get("sequence", "0"))
        limit = read_number("limit", request.args.get("limit", str(LIMIT)))
        found: list[Json] = list(self._view.find_runs(sequence))
        kept = found[max(0, len(found) - limit) :]
        return _answer({"runs": kept, "count": len(kept)})

    async def _get_run(self, number: str) -> Response:
        refuse_unknown(request.args)
        found: list[Json] = list(self._view.find_runs(run=read_number("run", number)))
        if not found:
            raise Problem(HTTPStatus.NOT_FOUND, f"there is no run {number} in the journal")
        return _answer({"runs": found, "count": len(found)})

    async def _get_audit(self) -> Response:
        """Tell records to those who may read the file: over TCP nobody is known to be one of them."""
        refuse_unknown(request.args, "limit")
        if request.scope["client"] is not None:
            detail = "the audit log is told over the unix socket only"
            raise Problem(HTTPStatus.FORBIDDEN, detail)
        limit = read_number("limit", request.args.get("limit", str(LIMIT)))
        found = self._view.find_noted()
        kept = found[max(0, len(found) - limit) :]
        return _answer({"records": kept, "count": len(kept)})

    # --- done -------------------------------------------------------------------------------------

    async def _resume(self) -> Response:
        refuse_unknown(request.args, "path")
        path = request.args.get("path", "")
        if not self._steering.resume(path, _find_asker()):
            raise Problem(HTTPStatus.NOT_FOUND, f"no paused script has the path {path!r}")
        return _answer({"path": path, "paused": False})

    async def _reload(self) -> Response:
        refuse_unknown(request.args)
        if self._steering.reloading:
            raise Problem(HTTPStatus.CONFLICT, "a reload is under way; try again when it is over")
        problems = await self._steering.reload(_find_asker())
        if problems is not None:
            detail = "the configuration was not put in force; what was there goes on"
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, problems=problems)
        return _answer({"outcome": "in force"})


async def _answer_problem(problem: Problem) -> Response:
    return problem.answer()


async def _answer_http_exception(error: HTTPException) -> Response:
    status = HTTPStatus(error.code or 500)
    return Problem(status, error.description or status.phrase).answer()
