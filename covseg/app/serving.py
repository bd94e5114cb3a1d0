"""The page's server: `python -m covseg app`.

It listens on this machine alone unless told otherwise, asks nothing of any other, and keeps films in a folder that is
removed when it ends.
"""

import atexit
import contextlib
import errno
import pathlib
import secrets
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence

import uvicorn

from covseg.app.examples import examples_of
from covseg.app.guard import USER, is_loopback
from covseg.app.models import Models
from covseg.app.server import create_app
from covseg.runtime import compilation
from covseg.runtime.command_line import UsageError
from covseg.trained import model_files, trained_model

_LAST_SECONDS = 5  # For requests under way when it is stopped.


def run(model: str, changes: Sequence[str], host: str, port: int, dataset_fields: dict[str, str] | None = None) -> None:
  """Serves the page until it is stopped.

  Args:
    model: what `predictor.load` takes, beside which those that ship can be chosen.
    changes: how it predicts, as `predictor.load` takes them.
    host: address to listen on.
    port: 0 for any that is free.
    dataset_fields: fields of `config.dataset` of a dataset whose validation films are examples; None for none.

  Raises:
    OSError: the address is not one of this machine.
    ValueError: there is no such model or dataset, or the port is taken.
  """
  if not host:
    raise UsageError("--host is empty; name an address of this machine.")
  if not 0 <= port < 2**16:
    raise UsageError(f"--port={port} must lie between 0 and {2**16 - 1}.")
  compilation.set_up()  # Before anything is computed.
  models = Models(list(dict.fromkeys([model, *model_files.released()])), changes)
  threshold = trained_model.load(model, changes).config.eval.threshold  # Or an error, before the page opens.
  listener = _listen(host, port)
  examples = examples_of(dataset_fields)
  port = listener.getsockname()[1]
  password = None if is_loopback(host) else secrets.token_urlsafe(9)
  models.load_ahead()
  shown = socket.gethostname() if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
  print(f"The page is at http://{shown}:{port}/ - stop it with Ctrl-C.", flush=True)
  if password:
    print(f"It asks for a name and a password: {USER} and {password}. They cross the network unencrypted.", flush=True)
  for name in {"SIGTERM", "SIGHUP"} & set(dir(signal)):  # So that the folder is removed then, too.
    if signal.getsignal(getattr(signal, name)) != signal.SIG_IGN:  # As nohup has it.
      signal.signal(getattr(signal, name), lambda *_: sys.exit())
  folder = pathlib.Path(tempfile.mkdtemp(prefix="covseg-"))
  atexit.register(shutil.rmtree, folder, ignore_errors=True)  # After the threads that may still write there.
  with contextlib.suppress(KeyboardInterrupt):
    app = create_app(models, examples, folder, threshold, password)
    config = uvicorn.Config(
      app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=_LAST_SECONDS
    )
    uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
  try:
    return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
  except OSError as error:
    if error.errno != errno.EADDRINUSE:
      raise
    raise UsageError(f"Another program listens on port {port}; --port=0 takes one that is free.") from error
