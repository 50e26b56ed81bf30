"""Requests that are larger than any career, and uploads, are refused before gradio reads them."""

from __future__ import annotations

from typing import Any

from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse


MOST_BYTES = 200_000


class BodyLimit:
    """An ASGI middleware: bodies say how long they are and are short, and there is nowhere to upload files to."""

    def __init__(self, app: Any) -> None:
        self.app = app

    @classmethod
    def middleware(cls) -> Middleware:
        """For the `middleware` argument of FastAPI."""
        return Middleware(cls)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        refused = self._refused(scope) if scope["type"] == "http" else None
        await (refused or self.app)(scope, receive, send)

    def _refused(self, scope: Any) -> PlainTextResponse | None:
        if scope["path"].rstrip("/").endswith("/upload"):
            return PlainTextResponse("This page takes no files.", status_code=404)
        headers = dict(scope["headers"])
        if b"transfer-encoding" in headers:
            return PlainTextResponse("Say how long the request is (Content-Length).", status_code=411)
        if int(headers.get(b"content-length", b"0")) > MOST_BYTES:
            return PlainTextResponse(f"A request has at most {MOST_BYTES} bytes.", status_code=413)
        return None
