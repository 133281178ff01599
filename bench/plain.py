"""
The peer of `scrape`: an application of Quart that answers with the body of a file, and nothing else.

python plain.py FILE PORT
"""

from __future__ import annotations

import sys
from pathlib import Path

import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from quart import Response
from quart_trio import QuartTrio

BODY = Path(sys.argv[1]).read_bytes()
app = QuartTrio("plain")


@app.route("/metrics")
async def metrics() -> Response:
    """Answer."""
    return Response(BODY, content_type="text/plain; version=0.0.4; charset=utf-8")


async def main() -> None:
    """Serve until somebody ends it."""
    config = Config()
    config.bind = [f"127.0.0.1:{sys.argv[2]}"]
    config.accesslog = config.errorlog = None
    await serve(app, config)  # type: ignore[arg-type]


trio.run(main)
