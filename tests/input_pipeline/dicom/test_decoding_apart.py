import queue
import signal
import subprocess
import sys

import numpy as np
import pytest

from covseg.prediction.reading import film_files
from input_pipeline.dicom import decoding_apart
from tests.film_makers import dicom, film

pytest.importorskip("pydicom")
_FILM = film(64)
_CONTENT = dicom(_FILM, "RLELossless")


@pytest.fixture(autouse=True)
def none_idle(monkeypatch):
  monkeypatch.setattr(decoding_apart, "_idle", queue.LifoQueue())


def test_one_process_decodes_file_after_file():
  for _ in range(3):
    assert np.array_equal(decoding_apart.pixel_array(_CONTENT), _FILM)
  with pytest.raises(ValueError, match="is a damaged DICOM file, or"):
    decoding_apart.pixel_array(_CONTENT[:-500])
  assert np.array_equal(decoding_apart.pixel_array(_CONTENT), _FILM)
  assert decoding_apart._idle.qsize() == 1
  (process,) = decoding_apart._idle.queue
  process.kill()
  process.wait()
  assert np.array_equal(decoding_apart.pixel_array(_CONTENT), _FILM)


def test_modules_of_the_folder_that_it_is_run_in_are_not_its_own(tmp_path, monkeypatch):
  (tmp_path / "queue.py").write_text("raise SystemExit")
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
  assert np.array_equal(decoding_apart.pixel_array(_CONTENT), _FILM)


@pytest.mark.parametrize(
  "code",
  [
    "import os; os.abort()",
    "import sys; sys.stdin.buffer.read(9); print('12')",
    "import time; time.sleep(60)",
  ],
)
def test_a_decoder_that_breaks_down_or_hangs_is_an_error_of_its_film_only(monkeypatch, code):
  def start():
    return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

  with monkeypatch.context() as patch:
    patch.setattr(decoding_apart, "_start", start)
    patch.setattr(decoding_apart, "_SECONDS", 1)
    with pytest.raises(ValueError, match="broke down or took too long"):
      film_files.decode(_CONTENT)
  assert np.array_equal(film_files.decode(_CONTENT).pixels, _FILM)


def test_a_decoder_that_hangs_does_not_outlive_a_process_that_was_killed():
  """As after a kill, nobody ends it from outside, and what it waits for never comes."""
  code = (
    "from input_pipeline.dicom import decoding_apart as apart; import itertools;"
    "apart._SECONDS = 1; apart.file.stored_pixels = lambda content: sum(itertools.repeat(0)); apart._serve()"
  )
  with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
    decoding_apart._send(process.stdin, b"a film")
    assert process.wait(timeout=30) == -signal.SIGALRM
