"""Signals to a run."""

import signal
import time

import pytest

from covseg.training.stopping import stop_on_signal


def test_a_second_signal_acts_at_once_but_not_within_a_second(monkeypatch):
  now = [0.0]
  monkeypatch.setattr(time, "monotonic", lambda: now[0])
  before = signal.signal(signal.SIGINT, signal.default_int_handler)
  with stop_on_signal() as is_asked_to_stop:
    assert not is_asked_to_stop(0)
    for now[0] in (5.0, 5.5):  # As where a supervisor tells all processes, and one of them tells another.
      signal.raise_signal(signal.SIGINT)
      assert is_asked_to_stop(1)
    now[0] = 6.5
    with pytest.raises(KeyboardInterrupt):
      signal.raise_signal(signal.SIGINT)
  assert signal.signal(signal.SIGINT, before) is signal.default_int_handler
