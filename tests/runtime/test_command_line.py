"""How commands tell of errors."""

import pytest

from covseg.runtime.command_line import UsageError, errors_in_plain_words


@pytest.mark.parametrize(
  ("error", "status", "message"),
  [
    (UsageError("--every=0 must be at least 1."), 2, "Error: --every=0 must be at least 1."),
    (ValueError("two\nlines"), 1, "Error: two lines"),
    (ModuleNotFoundError("No module named 'jax'", name="jax"), 1, "package jax is missing"),
    (ModuleNotFoundError("No module named 'fcntl'", name="fcntl"), 1, "covseg is for Linux and macOS; on Windows, use"),
    (RuntimeError("Could not determine home directory."), 1, "Error: this user has no home folder. Set HOME"),
    (MemoryError(), 1, "Error: out of memory. Smaller batches (batch_size,"),
    (RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes."), 1, "Error: out of memory."),
    (KeyboardInterrupt(), 130, "Stopped."),
    (KeyboardInterrupt("Stopped; go on with --resume."), 130, "Stopped; go on with --resume."),
    (ValueError(f"{'long ' * 18}/mnt/my-own-weights/a.npz"), 1, "/mnt/my-own-weights/a.npz"),
    (ZeroDivisionError("division by zero"), 1, "Internal error: ZeroDivisionError: division by zero"),
  ],
)
def test_an_error_is_a_paragraph_and_a_status(capsys, error, status, message):
  with pytest.raises(SystemExit) as ended, errors_in_plain_words():
    raise error
  assert ended.value.code == status
  assert message in " ".join(capsys.readouterr().err.split())


def test_the_traceback_is_shown_where_it_is_asked_for(monkeypatch):
  monkeypatch.setenv("COVSEG_TRACEBACK", "1")
  with pytest.raises(ModuleNotFoundError), errors_in_plain_words():
    raise ModuleNotFoundError("No module named 'jax'", name="jax")
