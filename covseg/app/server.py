"""What the page asks its server for. Of a DICOM file only the pixels are kept."""

import contextlib
import dataclasses
import functools
import importlib.resources
import pathlib
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from covseg.app import archive, film_pictures
from covseg.app.examples import Example
from covseg.app.guard import Guard
from covseg.app.models import Models
from covseg.app.sessions import MAX_FILMS_OF_ALL, Session, Sessions, StoredFilm
from covseg.prediction.prediction import Prediction
from covseg.prediction.reading import film_files
from covseg.prediction.reading.film_files import Radiograph
from input_pipeline.limits import MAX_BYTES

_PAGES = {
  "/": ("page.html", "text/html"),
  "/page.js": ("page.js", "text/javascript"),
  "/page.css": ("page.css", "text/css"),
}


def create_app(
  models: Models,
  examples: Sequence[Example],
  folder: pathlib.Path,
  threshold: float = 0.5,
  password: str | None = None,
) -> Starlette:
  """The application, which keeps films in a folder.

  Args:
    models: to choose from.
    examples: films to try.
    folder: an empty one.
    threshold: that the page begins with.
    password: that has to be given; None for none, where the page is for this machine's loopback alone.
  """
  return Starlette(
    routes=[
      *(Route(path, _page) for path in _PAGES),
      Route("/sessions", _begin, methods=["POST"]),
      Route("/{session}", _end, methods=["DELETE"]),
      Route("/{session}/films", _add, methods=["POST"]),
      Route("/{session}/examples/{number:int}", _add_example, methods=["POST"]),
      Route("/{session}/films/{film}", _remove, methods=["DELETE"]),
      Route("/{session}/films/{film}/values", _values),
      Route("/{session}/films/{film}/{picture}.png", _picture),
      Route("/{session}/results.zip", _results),
    ],
    middleware=[Middleware(Guard, password=password)],
    exception_handlers={HTTPException: _problem, FileNotFoundError: _problem, Exception: _problem},
    lifespan=_with_state(
      models=models,
      examples=list(examples),
      threshold=threshold,
      sessions=Sessions(folder),
      network=threading.Lock(),
    ),
  )


async def _page(request: Request) -> Response:
  name, media_type = _PAGES[request.url.path]
  return Response(importlib.resources.files("covseg.app").joinpath(name).read_bytes(), media_type=media_type)


def _begin(request: Request) -> Response:
  """A new session, and what can be chosen in it."""
  return JSONResponse(
    {
      "session": request.state.sessions.create(),
      "models": request.state.models.names,
      "threshold": request.state.threshold,
      "examples": [example.name for example in request.state.examples],
    }
  )


def _end(request: Request) -> Response:
  request.state.sessions.end(request.path_params["session"])
  return Response(status_code=204)


async def _add(request: Request) -> Response:
  """Predicts for the film that is the request's body."""
  name = request.query_params.get("name", "film")
  _session(request)
  chunks, size = [], 0
  try:
    async for chunk in request.stream():
      chunks.append(chunk)
      size += len(chunk)
      if size > MAX_BYTES:
        raise HTTPException(413, f"{name} has more than {MAX_BYTES} bytes.")
  except ClientDisconnect:
    return Response(status_code=400)
  if not size:
    raise HTTPException(422, f"{name} is empty.")
  return await run_in_threadpool(_added, request, name, lambda: film_files.decode(b"".join(chunks)))


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
  if request.state.sessions.num_films() >= MAX_FILMS_OF_ALL:
    reason = f"has to wait until another page is closed: all together hold {MAX_FILMS_OF_ALL} films"
    raise HTTPException(422, f"{name} {reason}.")
  try:
    loaded = models.get(model)
  except (ValueError, OSError) as error:
    raise HTTPException(422, f"The model cannot be loaded: {error}") from error
  stored = None
  try:
    threshold = _threshold(request, loaded.trained.config.eval.threshold)
    film = read()
    with request.state.network:
      stored = session.add(name, film, loaded, truth)
    with stored.prediction(threshold) as prediction:
      return JSONResponse(_described(stored, prediction))
  except (ValueError, OSError, MemoryError) as error:
    if stored:
      session.remove(stored.id)
    reason = getattr(error, "strerror", None) or str(error) or "does not fit into memory"
    raise HTTPException(422, f"{name} {reason}.") from error


def _described(stored: StoredFilm, prediction: Prediction) -> dict[str, Any]:
  severity = prediction.severity
  return {
    "id": stored.id,
    "name": stored.name,
    "model": stored.predictor.trained.name,
    "threshold": prediction.threshold,
    "infected_pixels": int(np.count_nonzero(prediction.mask)),
    "infected_percent_of_film": prediction.infected_percent_of_film,
    "severity": None if severity is None else dataclasses.asdict(severity),
    "involvement": prediction.involvement,
    "warnings": list(prediction.warnings),
    "has_lungs": prediction.lungs is not None,
    "has_truth": stored.truth is not None,
  }


def _remove(request: Request) -> Response:
  _session(request).remove(request.path_params["film"])
  return Response(status_code=204)


def _values(request: Request) -> Response:
  stored = _film(request)
  with stored.prediction(_threshold(request)) as prediction:
    return JSONResponse(_described(stored, prediction))


def _picture(request: Request) -> Response:
  content = film_pictures.png(_film(request), request.path_params["picture"], "small" in request.query_params)
  if content is None:
    raise HTTPException(404, "There is no such picture.")
  return Response(content, media_type="image/png")


def _results(request: Request) -> Response:
  """What `python -m covseg predict --lungs --probabilities` writes, of all films, as one file."""
  session, threshold = _session(request), _threshold(request)
  films = list(session.films.values())
  if not films:
    raise HTTPException(422, "There is no film yet.")
  file = tempfile.NamedTemporaryFile(suffix=".zip", dir=session.folder, delete=False)  # noqa: SIM115
  remove = functools.partial(pathlib.Path(file.name).unlink, missing_ok=True)  # The page may have been closed.
  try:
    with file:
      archive.write(films, threshold, file, session.folder)
  except OSError as error:
    remove()
    raise HTTPException(507, f"The results cannot be written: {error.strerror or error}.") from error
  except BaseException:
    remove()
    raise
  headers = {"Content-Disposition": 'attachment; filename="covseg-results.zip"'}
  return FileResponse(file.name, media_type="application/zip", headers=headers, background=BackgroundTask(remove))


async def _problem(request: Request, error: Exception) -> Response:
  """A problem in one sentence, for the page to show."""
  match error:
    case HTTPException():
      return JSONResponse({"problem": str(error.detail)}, error.status_code)
    case FileNotFoundError():
      return JSONResponse({"problem": "This film has been removed."}, 404)
  return JSONResponse({"problem": "Something went wrong; the terminal says what."}, 500)


def _session(request: Request) -> Session:
  session = request.state.sessions.get(request.path_params["session"])
  if session is None:
    raise HTTPException(404, "This page's films were removed, to make room or by a restart; reload it.")
  return session


def _film(request: Request) -> StoredFilm:
  film = _session(request).films.get(request.path_params["film"])
  if film is None:
    raise HTTPException(404, "There is no such film.")
  return film


def _threshold(request: Request, default: float = 0.5) -> float:
  text = request.query_params.get("threshold", str(default))
  try:
    threshold = float(text)
  except ValueError:
    threshold = 0.0
  if not 0 < threshold < 1:
    raise HTTPException(422, f"The threshold has to lie between 0 and 1, and is {text}.")
  return threshold


def _with_state(**state: Any) -> Callable[[Starlette], contextlib.AbstractAsyncContextManager[dict[str, Any]]]:
  @contextlib.asynccontextmanager
  async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
    yield state

  return lifespan
