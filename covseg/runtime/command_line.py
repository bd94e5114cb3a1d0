"""What the commands share at their edge: logging, and errors in plain words."""

import contextlib
import logging
import os
import pathlib
import platform
import sys
import textwrap
from collections.abc import Iterator
from typing import NoReturn

import absl.logging


class UsageError(ValueError):
  """A wrong argument, which ends the process with status 2."""


def use_huge_pages() -> None:
  """Starts the process again, once, with memory in huge pages where Linux gives them on request.

  XLA:CPU takes the memory of a step anew each time. In pages of 4 kB, the kernel spends a quarter of
  the time of training on handing it out. The C library reads the setting only when a process starts.
  """
  tunables = os.environ.get("GLIBC_TUNABLES", "")
  setting = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")
  if "glibc.malloc.hugetlb" in tunables or platform.libc_ver()[0] != "glibc":
    return
  if setting.exists() and "[madvise]" in setting.read_text():
    os.environ["GLIBC_TUNABLES"] = ":".join(filter(None, [tunables, "glibc.malloc.hugetlb=1"]))
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def set_up_logging() -> None:
  """Shows this project's own messages from INFO on, other libraries' from WARNING on."""
  logging.basicConfig(format="%(message)s")  # Without effect where absl has set it up.
  absl.logging.set_verbosity(absl.logging.WARNING)
  for name in ("covseg", "input_pipeline"):
    logging.getLogger(name).setLevel(logging.INFO)


@contextlib.contextmanager
def errors_in_plain_words(*kinds: type[Exception], status: int = 1) -> Iterator[None]:
  """Ends the process with a paragraph, in place of a traceback, for errors that a user can mend.

  With the environment variable COVSEG_TRACEBACK set, the traceback is shown.

  Args:
    *kinds: further kinds of errors that a user's mistake causes here.
    status: exit status of the process.
  """
  try:
    yield
  except UsageError as error:
    _exit(f"Error: {error}", 2)
  except KeyboardInterrupt as stop:
    _exit(str(stop) or "Stopped.", 130)
  except Exception as error:
    if os.environ.get("COVSEG_TRACEBACK"):
      raise
    _exit(_in_plain_words(error, (ValueError, OSError, FloatingPointError, *kinds)), status)


def _in_plain_words(error: Exception, kinds: tuple[type[Exception], ...]) -> str:
  """What to say of an error; `kinds` are those that a user can mend."""
  if isinstance(error, kinds):
    message = error.args[0] if isinstance(error, KeyError | AttributeError) else error
    return f"Error: {' '.join(str(message).split())}"
  if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):  # The latter is XLA's.
    return "Error: out of memory. Smaller batches (batch_size, eval.batch_size) or images (image_size) take less."
  if isinstance(error, RuntimeError) and "home directory" in str(error):  # Of pathlib, where "~" means nothing.
    return "Error: this user has no home folder. Set HOME, or name the folder in full (dataset.data_dir, for one)."
  if isinstance(error, ModuleNotFoundError) and error.name in sys.stdlib_module_names:
    return f"Error: Python has no {error.name} on this system. covseg is for Linux and macOS; on Windows, use WSL."
  if isinstance(error, ModuleNotFoundError):
    return (
      f"Error: the Python package {error.name} is missing in {sys.prefix}. In the project's folder, pip install -e . "
      "installs what covseg needs."
    )
  paragraph = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(".")
  return f"Internal error: {paragraph}. With COVSEG_TRACEBACK=1 the same command shows where it comes from."


def _exit(paragraph: str, status: int) -> NoReturn:
  print(textwrap.fill(paragraph, 100, break_long_words=False, break_on_hyphens=False), file=sys.stderr)
  sys.exit(status)
