"""The page's files, as they lie in `static`, and its routes.

Rules: a file is served because it is in the table, never because of a path somebody sent.
"""

from importlib.resources import files
from typing import Final, NamedTuple

from aiohttp import web

from services.front.page.path import answer_path
from services.front.page.worker import WORKER, WorkerControl, answer_kill_worker
from services.front.parts import Parts

_TYPES: Final = {
    "index.html": "text/html",
    "style.css": "text/css",
    "main.js": "text/javascript",
    "client.js": "text/javascript",
    "transports.js": "text/javascript",
    "websocket.js": "text/javascript",
    "http_stream.js": "text/javascript",
    "sse.js": "text/javascript",
    "emulation.js": "text/javascript",
    "poll.js": "text/javascript",
    "chat.js": "text/javascript",
    "people.js": "text/javascript",
    "burst.js": "text/javascript",
    "measures.js": "text/javascript",
    "path.js": "text/javascript",
    "chart.js": "text/javascript",
    "names.js": "text/javascript",
    "text.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'self'; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'; object-src 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class _File(NamedTuple):
    content: bytes
    type: str


_FILES: Final = web.AppKey("page_files", dict[str, _File])


def add_page(app: web.Application, parts: Parts) -> None:
    """Have an application serve the page, if the settings say so."""
    if not parts.config.page.enabled:
        return
    app[_FILES] = _load()
    app[WORKER] = WorkerControl(parts.config.page.worker_control, parts.monotonic)
    app.router.add_get("/demo", serve_page)
    app.router.add_get("/demo/path", answer_path, allow_head=False)
    app.router.add_post("/demo/kill-worker", answer_kill_worker)
    app.router.add_get("/demo/{name}", _serve_file)


async def serve_page(request: web.Request) -> web.Response:
    """The page itself.

    Raises:
        HTTPNotFound: there is none here.
    """
    return _serve(request, "index.html")


async def _serve_file(request: web.Request) -> web.Response:
    return _serve(request, request.match_info["name"])


def _serve(request: web.Request, name: str) -> web.Response:
    file = request.app.get(_FILES, {}).get(name)
    if file is None:
        raise web.HTTPNotFound(text="not here\n")
    return web.Response(
        body=file.content, content_type=file.type, charset="utf-8", headers=_HEADERS
    )


def _load() -> dict[str, _File]:
    folder = files(__package__) / "static"
    return {name: _File((folder / name).read_bytes(), kind) for name, kind in _TYPES.items()}
