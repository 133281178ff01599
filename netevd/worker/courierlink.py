"""The worker's side of the courier: deliveries out, answers in. The courier may die; deliveries don't."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Literal, cast

import trio

from netevd.model.actions import Deliver, ResolveEndpoint
from netevd.model.inputs import (
    CourierConnected,
    CourierLost,
    DeliveryAnswered,
    EndpointResolved,
    Input,
)
from netevd.worker import errand
from netevd.worker.ports import PeerGone, Port

_BATCH = 32


class CourierLink:
    """The courier that there is, if any."""

    def __init__(self, submit: Callable[[Input], None], tell_gone: Callable[[], None]) -> None:
        """tell_gone: called once a courier is gone."""
        self._submit = submit
        self._tell_gone = tell_gone
        self._port: Port[errand.Report] | None = None
        self._scope = trio.CancelScope()

    @property
    def is_there(self) -> bool:
        """Whether a courier may still have something to say."""
        return self._port is not None

    def deliver(self, action: Deliver) -> None:
        """Ask for an attempt. Where there is no courier the next one is asked."""
        if self._port is not None:
            event = action.event
            self._port.send(
                errand.Deliver(
                    action.number, event.sequence, action.attempt, event.type.value, event.time_ns,
                    action.body.encode("utf-8", "backslashreplace"),
                )
            )  # fmt: skip

    def resolve(self, action: ResolveEndpoint) -> None:
        """Ask for the addresses of a peer's endpoint. Where there is no courier nobody answers."""
        if self._port is not None:
            self._port.send(errand.Resolve(action.number))

    async def follow(self, descriptor: int) -> None:
        """Take a new courier in the place of the last one, and hear it until it is gone."""
        self._scope.cancel()
        self._scope = scope = trio.CancelScope()
        self._port = port = Port(descriptor, errand.REPORT)
        self._submit(CourierConnected())
        try:
            with scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(port.flush)
                    await self._hear(port)
                    nursery.cancel_scope.cancel()
        finally:
            port.close()
        if self._port is port:
            self._port = None
            self._submit(CourierLost())
            self._tell_gone()

    async def _hear(self, port: Port[errand.Report]) -> None:
        while True:
            try:
                await port.wait()
                for _ in range(_BATCH):
                    told = port.receive()
                    if told is None:
                        break
                    self._submit(_translate(told))
            except PeerGone:
                return


def _translate(told: errand.Report) -> DeliveryAnswered | EndpointResolved:
    if isinstance(told, errand.Resolved):
        return EndpointResolved(told.host, tuple(told.addresses), told.reason)
    result = cast(Literal["ok", "again", "failed", "refused"], told.result)  # its type says so
    return DeliveryAnswered(
        told.target, told.sequence, told.attempt, result, told.status, told.reason, told.duration,
        told.retry_after, random.random(),  # noqa: S311 - only so that many do not come at once
    )  # fmt: skip
