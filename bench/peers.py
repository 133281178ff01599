"""A WireGuard device with 500 peers: what it costs to read it every five seconds."""

from __future__ import annotations

import os
import subprocess
import time
from base64 import b64encode
from pathlib import Path
from typing import Final

import proc
from plan import SETTLE_S, Plan, make_subjects
from subjects import Broken
from table import Row

PEERS: Final = 500
NAME: Final = "nwgbench0"
STEP_S: Final = 0.05


def peers(plan: Plan) -> list[Row]:
    """500 peers of a userspace device, read every 5 s: processor time of helper and worker."""
    with make_subjects(plan, "peers", NAME) as (_, daemon):
        with daemon.config.open("a") as file:
            # nobody uses it, so it is read four times less often: every 5 s
            file.write("wireguard: {poll_interval: 1250ms}\n")
        device = _start_device(daemon.near.command, plan)
        try:
            daemon.start()
            time.sleep(SETTLE_S)
            roles = daemon.roles()
            pids = [roles["helper"], roles["worker"]]
            before = sum(proc.read_cpu_s(pid) for pid in pids)
            began = time.monotonic()
            time.sleep(plan.idle_s)
            spent = time.monotonic() - began
            used = sum(proc.read_cpu_s(pid) for pid in pids) - before
        finally:
            device.kill()
            device.wait()
            Path(f"/run/wireguard/{NAME}.sock").unlink(missing_ok=True)
    return [Row("peers CPU of 500, read every 5 s", "%", 100 * used / spent, None, 1.0, "value")]


def _start_device(command: object, plan: Plan) -> subprocess.Popen[bytes]:
    environment = {k: v for k, v in os.environ.items() if k != "WG_PROCESS_FOREGROUND"}
    device = subprocess.Popen(
        command("wireguard-go", "-f", NAME), env=environment,  # type: ignore[operator]
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    path = Path(f"/run/wireguard/{NAME}.sock")
    end = time.monotonic() + 10
    while not path.exists():
        if time.monotonic() > end:
            raise Broken("wireguard-go made no device; is it installed, and /dev/net/tun there?")
        time.sleep(STEP_S)
    key = subprocess.run(["wg", "genkey"], capture_output=True, check=True).stdout
    subprocess.run(["wg", "set", NAME, "private-key", "/dev/stdin"], input=key, check=True)
    config = plan.work / "peers.conf"
    config.write_text(
        "".join(
            f"[Peer]\nPublicKey={b64encode(bytes((9, *number.to_bytes(2), *bytes(29)))).decode()}\n"
            f"AllowedIPs=10.{number // 250}.{number % 250}.0/24\n"
            for number in range(PEERS)
        )
    )
    subprocess.run(["wg", "addconf", NAME, str(config)], check=True)
    return device
