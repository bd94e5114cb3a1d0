import pathlib
import shutil
import threading
from collections.abc import Callable, Iterator

import pytest
import uvicorn

from covseg.app import examples, server
from covseg.app.models import Models


@pytest.fixture(scope="package")
def models(recipe_run) -> Models:
  """A small model with a lung head, loaded once."""
  models = Models([str(recipe_run)], [])
  models.get(str(recipe_run))
  return models


@pytest.fixture
def create_app(models, tmp_path) -> Callable:
  """The application, which keeps its films in `tmp_path / "kept"`."""

  def create(**options):
    folder = tmp_path / "kept"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return server.create_app(models, examples.examples_of(None), folder, **options)

  return create


@pytest.fixture
def address(create_app) -> Iterator[str]:
  """Of the page, served on this machine."""
  running = uvicorn.Server(uvicorn.Config(create_app(), port=0, log_level="warning"))
  thread = threading.Thread(target=running.run)
  thread.start()
  while thread.is_alive() and not running.started:
    thread.join(0.01)
  (listening,) = running.servers
  yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
  running.should_exit = True
  thread.join()


def files_under(folder: pathlib.Path) -> list[pathlib.Path]:
  return [path for path in folder.rglob("*") if path.is_file()]
