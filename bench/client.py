"""
Asks for /metrics so many times a second over one connection, until it is ended.

python client.py PORT RATE
"""

from __future__ import annotations

import http.client
import sys
import time


def main(port: int, rate: float) -> None:
    """Ask; who was stopped makes up for nothing."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    due = time.monotonic()
    while True:
        connection.request("GET", "/metrics")
        with connection.getresponse() as answer:
            if answer.status != 200 or not answer.read():
                sys.exit(f"status {answer.status}")
        due = max(due + 1 / rate, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))


main(int(sys.argv[1]), float(sys.argv[2]))
