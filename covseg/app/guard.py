"""Who may ask the page's server: the page itself, from this machine alone or with a password."""

import base64
import ipaddress
import secrets
import urllib.parse
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

USER = "covseg"
_HEADERS = {
  "Content-Security-Policy": (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
  ),
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
  "Cache-Control": "no-store",
}


class Guard:
  """Refuses requests that are not from the page itself, or lack the password; adds headers to answers."""

  def __init__(self, app: Callable, password: str | None):
    self._app = app
    token = base64.b64encode(f"{USER}:{password}".encode()).decode()
    self._authorization = None if password is None else f"Basic {token}"

  async def __call__(self, scope: dict[str, Any], receive: Callable, send: Callable) -> None:
    if scope["type"] != "http":
      await self._app(scope, receive, send)
      return
    refusal = self._refusal(Request(scope))
    if refusal:
      await refusal(scope, receive, send)
      return

    async def send_with_headers(message: dict[str, Any]) -> None:
      if message["type"] == "http.response.start":
        message["headers"] += [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
      await send(message)

    await self._app(scope, receive, send_with_headers)

  def _refusal(self, request: Request) -> Response | None:
    host = request.headers.get("host", "")
    origin = request.headers.get("origin")
    try:
      name = urllib.parse.urlsplit(f"//{host}").hostname or ""
      is_own = origin is None or urllib.parse.urlsplit(origin).netloc == host
    except ValueError:
      return _refused("That is no address.", 403)
    # Another page's name that leads here (DNS rebinding) is not this machine's.
    if self._authorization is None and not is_loopback(name):
      return _refused("This page is served for this machine alone.", 403)
    if not is_own:
      return _refused("Another page may not use this one. A proxy has to pass on the header Host.", 403)
    if self._authorization is not None:
      given = request.headers.get("authorization", "")
      if not secrets.compare_digest(given.encode(), self._authorization.encode()):
        return _refused("A password is needed.", 401, {"WWW-Authenticate": 'Basic realm="covseg"'})
    return None


def _refused(problem: str, status: int, headers: dict[str, str] | None = None) -> Response:
  return JSONResponse({"problem": problem}, status, headers)  # As the page shows problems.


def is_loopback(host: str) -> bool:
  """Whether a name or an address is this machine's own."""
  try:
    return host == "localhost" or ipaddress.ip_address(host).is_loopback
  except ValueError:
    return False
