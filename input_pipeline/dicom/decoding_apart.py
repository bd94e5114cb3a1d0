"""Decompression of DICOM in processes of their own, which damaged files may bring down or keep for ever.

The decoders for medical formats are native libraries that abort on some damaged streams.
"""

import contextlib
import io
import os
import queue
import signal
import subprocess
import sys
import threading

import numpy as np

from input_pipeline.dicom import file
from input_pipeline.limits import RefusedFilm

_SECONDS = 120
_MEMORY = 3 * 2**30  # Bytes of address space for a process.
_LENGTH = 8  # Bytes before each message, which tell its length.

_idle: queue.LifoQueue[subprocess.Popen] = queue.LifoQueue()


def pixel_array(content: bytes) -> np.ndarray:
  """The stored pixels of a DICOM file, (H, W) or (H, W, 3).

  Raises:
    RefusedFilm: they cannot be decoded.
  """
  process = _idle_process() or _start()
  watchdog = threading.Timer(_SECONDS, process.kill)
  watchdog.start()
  try:
    _send(process.stdin, content)
    reply = _receive(process.stdout)
  except OSError:  # It has ended.
    reply = None
  finally:
    watchdog.cancel()
  if reply is None:
    process.kill()
    process.wait()
    raise RefusedFilm("is a damaged DICOM file: its decoder broke down or took too long")
  _idle.put(process)
  if not reply:
    raise RefusedFilm("is a damaged DICOM file, or of a compression that is not known here")
  return np.load(io.BytesIO(reply), allow_pickle=False)


def _idle_process() -> subprocess.Popen | None:
  """A process that waits for work; None if there is none."""
  with contextlib.suppress(queue.Empty):
    while (process := _idle.get_nowait()).poll() is not None:  # It has ended, as for want of memory.
      pass
    return process
  return None


def _start() -> subprocess.Popen:
  """A process that runs `_serve`; it ends with this one, when its input does and it has answered."""
  return subprocess.Popen(
    # Without the folder that it is run in, whose modules may be called like others.
    [sys.executable, "-P", "-m", "input_pipeline.dicom.decoding_apart"],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,  # What decoders print may quote the file.
    start_new_session=True,  # Ctrl-C is not for it.
    env={**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path), "OMP_NUM_THREADS": "1"},
  )


def _serve() -> None:
  """Answers each file with its pixels in NumPy's format, or with nothing if they cannot be decoded."""
  try:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
  except (ImportError, ValueError, OSError):  # Not on this system, or the limit is lower already.
    pass
  answers = os.fdopen(os.dup(1), "wb")
  os.dup2(2, 1)  # Decoders print.
  while (content := _receive(sys.stdin.buffer)) is not None:
    answer = io.BytesIO()
    _end_after(_SECONDS)  # A decoder that hangs may have lost who would end it.
    try:
      np.save(answer, file.stored_pixels(content))
    except Exception:  # On damaged files, decoders raise errors of any kind.
      answer = io.BytesIO()
    _end_after(0)
    _send(answers, answer.getvalue())


def _end_after(seconds: int) -> None:
  """Has the system end this process after so many seconds; 0 takes that back."""
  if hasattr(signal, "alarm"):  # Not on Windows.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(seconds)


def _send(stream: io.BufferedIOBase, message: bytes) -> None:
  stream.write(len(message).to_bytes(_LENGTH, "little"))
  stream.write(message)
  stream.flush()


def _receive(stream: io.BufferedIOBase) -> bytes | None:
  """The next message; None where the stream ends before or within it."""
  length = stream.read(_LENGTH)
  if len(length) < _LENGTH:
    return None
  size = int.from_bytes(length, "little")
  message = stream.read(size)
  return message if len(message) == size else None


if __name__ == "__main__":
  _serve()
