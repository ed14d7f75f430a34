"""The shop's page, made from what the API says."""

import html
import json
import os
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

API = os.environ["API_URL"]


def page() -> str:
    """The list of products."""
    with urllib.request.urlopen(f"{API}/products", timeout=2) as answer:
        rows = [f"<li>{html.escape(one['name'])}: {one['price']} bananas" for one in json.load(answer)]
    return f"<!doctype html><title>shop</title><ul>{''.join(rows)}</ul>"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        try:
            status, body = (200, "ok") if self.path == "/health" else (200, page())
        except OSError as error:
            status, body = 503, f"closed: {html.escape(str(error))}"
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(body.encode())


ThreadingHTTPServer(("", 8080), Handler).serve_forever()
