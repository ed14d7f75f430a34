"""The shop's API: products from PostgreSQL, through a cache in Redis."""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from stores import postgres, redis

DATABASE = urlsplit(os.environ["DATABASE_URL"])
CACHE = urlsplit(os.environ["CACHE_URL"])
# The weakness: as long as nobody sets it, a cache that says nothing is waited for, and so do all who wait for us.
TIMEOUT_S = float(os.environ["CACHE_TIMEOUT_MS"]) / 1000 if os.environ.get("CACHE_TIMEOUT_MS") else None
PREPARE = """
CREATE TABLE IF NOT EXISTS products (name text PRIMARY KEY, price integer);
INSERT INTO products VALUES ('banana', 2), ('coconut', 5), ('typewriter', 99) ON CONFLICT DO NOTHING;
"""
PRODUCTS = "SELECT name, price FROM products ORDER BY name"


def cached(*words: str) -> str | None:
    """What the cache says; nothing when it cannot be asked: the database has it too."""
    try:
        return redis((CACHE.hostname, CACHE.port), *words, timeout_s=TIMEOUT_S)
    except OSError as error:
        print("cache:", error)
        return None


def stored() -> list[list[str]]:
    """All products in the database, which is filled when it has none."""
    address = (DATABASE.hostname, DATABASE.port)
    try:
        return postgres(address, PRODUCTS)
    except OSError as error:
        if "does not exist" not in str(error):
            raise
        return postgres(address, PREPARE + PRODUCTS)


def products() -> str:
    """All of them as JSON."""
    found = cached("GET", "products")
    if found is None:
        rows = stored()
        found = json.dumps([{"name": name, "price": int(price)} for name, price in rows])
        cached("SET", "products", found, "EX", "5")
    return found


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        try:
            status, body = (200, "ok") if self.path == "/health" else (200, products())
        except OSError as error:
            status, body = 503, json.dumps({"error": str(error)})
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())


ThreadingHTTPServer(("", 8000), Handler).serve_forever()
