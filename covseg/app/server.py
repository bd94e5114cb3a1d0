"""The page's server: `python -m covseg app`.

It listens on this machine alone unless told otherwise, asks nothing of any other, and keeps films in a folder that is
removed when it ends. Of a DICOM file only the pixels are kept.
"""

import base64
import contextlib
import dataclasses
import importlib.resources
import io
import ipaddress
import logging
import pathlib
import secrets
import signal
import socket
import sys
import tempfile
import threading
import urllib.parse
import zipfile
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import numpy as np
import uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from covseg.app.examples import Example, examples_of
from covseg.app.sessions import Session, Sessions, StoredFilm
from covseg.prediction import predictor
from covseg.prediction.prediction import Prediction
from covseg.prediction.predictor import Predictor
from covseg.prediction.reading import film_files
from covseg.prediction.reading.film_files import Radiograph
from covseg.prediction.reading.film_search import FoundFilm
from covseg.prediction.writing import prediction_files, predictions_table
from covseg.prediction.writing.prediction_files import Wanted
from covseg.trained import model_files
from covseg.trained.trained_model import TrainedModel
from input_pipeline.limits import MAX_BYTES

logger = logging.getLogger(__name__)

_USER = "covseg"
_LONGEST_SIDE = 1400  # Of a film on the page.
_PAGES = {
  "/": ("page.html", "text/html"),
  "/page.js": ("page.js", "text/javascript"),
  "/page.css": ("page.css", "text/css"),
}
_HEADERS = {
  "Content-Security-Policy": (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
  ),
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
  "Cache-Control": "no-store",
}


class Models:
  """The models to choose from, each loaded when it is first used, or ahead of that."""

  def __init__(self, names: Sequence[str], changes: Sequence[str]):
    self.names = list(names)
    self._changes = tuple(changes)
    self._loaded: dict[str, Predictor] = {}
    self._lock = threading.Lock()

  def get(self, name: str) -> Predictor:
    """A model, ready to predict for one film at a time."""
    with self._lock:
      if name not in self._loaded:
        loaded = predictor.load(name, self._changes if name == self.names[0] else ())
        loaded.warm_up(1)
        self._loaded[name] = loaded
      return self._loaded[name]

  def is_ready(self) -> bool:
    return self.names[0] in self._loaded


def run(model: str, changes: Sequence[str], host: str, port: int, dataset_fields: dict[str, str] | None = None) -> None:
  """Serves the page until it is stopped.

  Args:
    model: what `predictor.load` takes, beside which those that ship can be chosen.
    changes: how it predicts, as `predictor.load` takes them.
    host: address to listen on.
    port: 0 for any that is free.
    dataset_fields: fields of `config.dataset` of a dataset whose validation films are examples; None for none.

  Raises:
    OSError: the port is taken, or the address is not one of this machine.
    ValueError: there is no such model or dataset.
  """
  models = Models(list(dict.fromkeys([model, *model_files.released()])), changes)
  examples = examples_of(dataset_fields)
  listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
  port = listener.getsockname()[1]
  password = None if _is_loopback(host) else secrets.token_urlsafe(9)
  threading.Thread(target=_load_ahead, args=(models,), daemon=True).start()
  shown = f"[{host}]" if ":" in host else host
  print(f"The page is at http://{shown}:{port}/ - stop it with Ctrl-C.")
  if password:
    print(f"It asks for a name and a password: {_USER} and {password}. They cross the network unencrypted.")
  signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # So that the folder is removed then, too.
  with tempfile.TemporaryDirectory(prefix="covseg-") as folder, contextlib.suppress(KeyboardInterrupt):
    app = create_app(models, examples, pathlib.Path(folder), password, any_host=password is not None)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, server_header=False))
    server.run(sockets=[listener])


def create_app(
  models: Models,
  examples: Sequence[Example],
  folder: pathlib.Path,
  password: str | None = None,
  any_host: bool = False,
) -> Starlette:
  """The application, which keeps films in a folder.

  Args:
    models: to choose from.
    examples: films to try.
    folder: an empty one.
    password: that has to be given; None for none.
    any_host: whether requests by another name than this machine's loopback are answered.
  """
  return Starlette(
    routes=[
      *(Route(path, _page) for path in _PAGES),
      Route("/sessions", _begin, methods=["POST"]),
      Route("/{session}/films", _add, methods=["POST"]),
      Route("/{session}/examples/{number:int}", _add_example, methods=["POST"]),
      Route("/{session}/films/{film}", _remove, methods=["DELETE"]),
      Route("/{session}/films/{film}/values", _values),
      Route("/{session}/films/{film}/{picture}.png", _picture),
      Route("/{session}/results.zip", _results),
    ],
    middleware=[Middleware(_Guard, password=password, any_host=any_host)],
    exception_handlers={HTTPException: _problem, Exception: _problem},
    lifespan=_with_state(models=models, examples=list(examples), sessions=Sessions(folder), network=threading.Lock()),
  )


class _Guard:
  """Refuses requests that are not from the page itself, or lack the password; adds headers to answers."""

  def __init__(self, app: Callable, password: str | None, any_host: bool):
    self._app, self._any_host = app, any_host
    token = base64.b64encode(f"{_USER}:{password}".encode()).decode()
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
    # Another page's name that leads here (DNS rebinding) is not this machine's.
    if not self._any_host and not _is_loopback(urllib.parse.urlsplit(f"//{host}").hostname or ""):
      return Response("This page is served for this machine alone.", 403)
    origin = request.headers.get("origin")
    if origin is not None and urllib.parse.urlsplit(origin).netloc != host:
      return Response("Another page may not use this one.", 403)
    if self._authorization is not None:
      given = request.headers.get("authorization", "")
      if not secrets.compare_digest(given.encode(), self._authorization.encode()):
        return Response("A password is needed.", 401, {"WWW-Authenticate": 'Basic realm="covseg"'})
    return None


async def _page(request: Request) -> Response:
  name, media_type = _PAGES[request.url.path]
  return Response(importlib.resources.files("covseg.app").joinpath(name).read_bytes(), media_type=media_type)


def _begin(request: Request) -> Response:
  """A new session, what can be chosen in it, and whether the model has been loaded."""
  models: Models = request.state.models
  return JSONResponse(
    {
      "session": request.state.sessions.create(),
      "models": models.names,
      "examples": [example.name for example in request.state.examples],
    }
  )


async def _add(request: Request) -> Response:
  """Predicts for the film that is the request's body."""
  name = request.query_params.get("name", "film")
  content = bytearray()
  try:
    async for chunk in request.stream():
      content += chunk
      if len(content) > MAX_BYTES:
        raise HTTPException(413, f"{name} has more than {MAX_BYTES} bytes.")
  except ClientDisconnect:
    return Response(status_code=400)
  if not content:
    raise HTTPException(422, f"{name} is empty.")

  def add() -> Response:
    return _added(request, name, lambda: film_files.decode(bytes(content)))

  return await run_in_threadpool(add)


def _add_example(request: Request) -> Response:
  examples: list[Example] = request.state.examples
  number = request.path_params["number"]
  if not 0 <= number < len(examples):
    raise HTTPException(404, "There is no such example.")
  example = examples[number]
  return _added(request, example.file_name, lambda: Radiograph(example.film), example.truth)


def _added(request: Request, name: str, read: Callable[[], Radiograph], truth: np.ndarray | None = None) -> Response:
  models: Models = request.state.models
  model = request.query_params.get("model", models.names[0])
  if model not in models.names:
    raise HTTPException(422, f"There is no model {model!r}.")
  session = _session(request)
  loaded = models.get(model)
  try:
    film = read()
    with request.state.network:
      stored = session.add(name, film, loaded, truth)
  except (ValueError, MemoryError) as error:
    raise HTTPException(422, f"{name} {error or 'does not fit into memory'}.") from error
  threshold = loaded.trained.config.eval.threshold
  return JSONResponse({"id": stored.id, "threshold": threshold, **_described(stored, stored.prediction(threshold))})


def _described(stored: StoredFilm, prediction: Prediction) -> dict[str, Any]:
  severity = prediction.severity
  return {
    "name": stored.name,
    "model": stored.predictor.trained.name,
    "height": prediction.film.shape[0],
    "width": prediction.film.shape[1],
    "infected_pixels": int(np.count_nonzero(prediction.mask)),
    "infected_percent_of_film": prediction.infected_percent_of_film,
    "severity": None if severity is None else dataclasses.asdict(severity),
    "confidence": prediction.confidence,
    "involvement": prediction.involvement,
    "warnings": list(prediction.warnings),
    "has_lungs": prediction.lungs is not None,
    "has_truth": stored.truth is not None,
  }


def _remove(request: Request) -> Response:
  _session(request).remove(_film(request).id)
  return Response(status_code=204)


def _values(request: Request) -> Response:
  stored = _film(request)
  return JSONResponse(_described(stored, stored.prediction(_threshold(request))))


def _picture(request: Request) -> Response:
  """The film, its lungs, its truth, or its probabilities, whose higher byte is red and lower one green."""
  stored, kind = _film(request), request.path_params["picture"]
  prediction = stored.prediction(0.5)
  scale = min(1, _LONGEST_SIDE / max(prediction.film.shape))
  size = tuple(max(1, round(scale * n)) for n in prediction.film.shape[::-1])
  masks = {"lungs": prediction.lungs, "truth": stored.truth}
  if kind == "film":
    image = Image.fromarray(prediction.film).resize(size, Image.Resampling.BILINEAR)
  elif kind == "probability":
    scaled = Image.fromarray(prediction.probability).resize(size, Image.Resampling.BILINEAR)
    values = np.round(65535 * np.asarray(scaled)).astype(np.uint16)
    image = Image.fromarray(np.stack([values >> 8, values & 255, np.zeros_like(values)], axis=-1).astype(np.uint8))
  elif masks.get(kind) is not None:
    image = Image.fromarray(np.uint8(255) * masks[kind]).resize(size, Image.Resampling.NEAREST)
  else:
    raise HTTPException(404, "There is no such picture.")
  file = io.BytesIO()
  image.save(file, format="PNG", compress_level=1)
  return Response(file.getvalue(), media_type="image/png")


def _results(request: Request) -> Response:
  """What `python -m covseg predict --lungs --probabilities` writes, of all films, as one file."""
  session, threshold = _session(request), _threshold(request)
  films = list(session.films.values())
  if not films:
    raise HTTPException(422, "There is no film yet.")
  descriptor, path = tempfile.mkstemp(suffix=".zip", dir=session.folder)
  with open(descriptor, "wb") as file, tempfile.TemporaryDirectory(dir=session.folder) as folder:
    results, lines = pathlib.Path(folder), []
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
      for film in films:
        prediction = film.prediction(threshold)
        name = _name_in_table(film.predictor.trained, threshold)
        wanted = Wanted(lungs=prediction.lungs is not None, probabilities=True)
        prediction_files.write(results, FoundFilm("", film.name), prediction, wanted, name)
        lines.append(predictions_table.line(film.name, name, prediction))
      predictions_table.Journal(results, "").write_table(lines)
      for written in sorted(p for p in results.rglob("*") if p.is_file()):
        archive.write(written, written.relative_to(results))
  headers = {"Content-Disposition": 'attachment; filename="covseg-results.zip"'}
  return FileResponse(path, media_type="application/zip", headers=headers)


def _name_in_table(trained: TrainedModel, threshold: float) -> str:
  """The model's name and fingerprint, as `predict --set eval.threshold=...` writes them."""
  config = trained.config.copy_and_resolve_references()
  config.eval.threshold = threshold
  return f"{trained.name} {dataclasses.replace(trained, config=config).fingerprint}"


async def _problem(request: Request, error: Exception) -> Response:
  """A problem in one sentence, for the page to show."""
  if isinstance(error, HTTPException):
    return JSONResponse({"problem": str(error.detail)}, error.status_code)
  logger.error("%s", error, exc_info=error)
  return JSONResponse({"problem": "Something went wrong; the terminal says what."}, 500)


def _session(request: Request) -> Session:
  session = request.state.sessions.get(request.path_params["session"])
  if session is None:
    raise HTTPException(404, "This page is from an earlier start; reload it.")
  return session


def _film(request: Request) -> StoredFilm:
  film = _session(request).films.get(request.path_params["film"])
  if film is None:
    raise HTTPException(404, "There is no such film.")
  return film


def _threshold(request: Request) -> float:
  text = request.query_params.get("threshold", "0.5")
  try:
    threshold = float(text)
  except ValueError:
    threshold = 0.0
  if not 0 < threshold < 1:
    raise HTTPException(422, f"The threshold has to lie between 0 and 1, and is {text}.")
  return threshold


def _load_ahead(models: Models) -> None:
  try:
    models.get(models.names[0])
    print("The model is ready.")
  except Exception as error:  # The page shows it when a film is given.
    print(f"The model cannot be loaded: {error}")


def _with_state(**state: Any) -> Callable[[Starlette], contextlib.AbstractAsyncContextManager[dict[str, Any]]]:
  @contextlib.asynccontextmanager
  async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
    yield state

  return lifespan


def _is_loopback(host: str) -> bool:
  try:
    return host == "localhost" or ipaddress.ip_address(host).is_loopback
  except ValueError:
    return False
