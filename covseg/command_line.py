"""What the commands share at their edge: logging, and errors in plain words."""

import contextlib
import logging
import os
import sys
import textwrap
from collections.abc import Iterator

import absl.logging


def set_up_logging() -> None:
  """Shows this project's own messages from INFO on, other libraries' from WARNING on."""
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
  except (ValueError, OSError, FloatingPointError, *kinds) as error:
    if os.environ.get("COVSEG_TRACEBACK"):
      raise
    message = error.args[0] if isinstance(error, KeyError | AttributeError) else error
    paragraph = " ".join(str(message).split())
    print(textwrap.fill(f"Error: {paragraph}", 100, break_long_words=False), file=sys.stderr)
    sys.exit(status)
