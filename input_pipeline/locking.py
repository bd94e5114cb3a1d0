"""Locks between processes, which end with the process that holds them, however it ends."""

import contextlib
import errno
import fcntl
import os
import pathlib
from collections.abc import Iterator


@contextlib.contextmanager
def only_process(file: pathlib.Path, what: str, wait: bool = False) -> Iterator[None]:
  """Holds a file for this process alone.

  The lock is the operating system's: what a killed process leaves behind does not bind.

  Args:
    file: of the lock; it stays, and holds the number of the process.
    what: is locked, for the error.
    wait: whether to wait for another process.

  Raises:
    ValueError: another process holds it, which the error names.
  """
  try:
    file.parent.mkdir(parents=True, exist_ok=True)
    opened = file.open("a+")
  except OSError as error:
    if error.errno not in (errno.EROFS, errno.EACCES) or not file.parent.is_dir():
      raise
    yield  # Where nothing can be written, nothing needs a lock.
    return
  with opened as lock:
    try:
      fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError as error:
      lock.seek(0)
      other = lock.read().strip() or "unknown"
      raise ValueError(f"{what} is in use by process {other}. Wait until it has ended, or choose another.") from error
    except OSError:  # The file system has no locks.
      pass
    lock.truncate(0)
    lock.write(f"{os.getpid()} on {os.uname().nodename}\n")
    lock.flush()
    yield
