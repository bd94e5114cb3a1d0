import csv
import errno
import functools
import os
import pathlib
import re
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

import covseg
from covseg.prediction import pipeline, predict, predictor
from covseg.prediction.predict import Wanted
from covseg.prediction.reading import film_files
from tests.conftest import ROOT
from tests.film_makers import dicom, film, hostile, picture

_FILMS = {f"{i}.png": picture(np.roll(film(64), i, axis=1)) for i in range(5)}


@pytest.fixture(scope="module", autouse=True)
def load_once():
  """Keeps the model between runs, which saves compiling it."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(predictor, "load", functools.cache(predictor.load))
    yield


def _write(folder, files):
  for name, content in files.items():
    path = os.path.join(os.fsencode(folder), os.fsencode(name))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
      file.write(content)
  return str(folder)


def _run(whole_run, tmp_path, *paths, output="out", wanted=Wanted(), **options):  # noqa: B008
  failed = predict.run([*map(str, paths)], str(whole_run), str(tmp_path / output), wanted, **options)
  return failed, _rows(tmp_path / output / "predictions.csv")


def _rows(table):
  with open(table, newline="") as file:
    return list(csv.DictReader(file))


def _files(folder):
  return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def test_the_command_gives_what_the_api_gives(whole_run, tmp_path):
  films = _write(tmp_path / "films", {**_FILMS, "sub/wide.jpg": picture(film(80)[:50], "JPEG"), "x.dcm": dicom(film())})
  failed, rows = _run(whole_run, tmp_path, films, wanted=Wanted(probabilities=True))
  assert failed == 0
  model = covseg.load(str(whole_run))
  assert [row["file"] for row in rows] == [*sorted(_FILMS), "x.dcm", "sub/wide.jpg"]
  for row in rows:
    result = model.predict(tmp_path / "films" / row["file"])
    name = row["file"] if row["file"].endswith(".png") else f"{row['file']}.png"
    mask = np.asarray(Image.open(tmp_path / "out" / "masks" / name))
    assert np.array_equal(mask, 255 * result.mask)
    probability = np.asarray(Image.open(tmp_path / "out" / "probabilities" / name)) / 65535
    np.testing.assert_allclose(probability, result.probability, atol=1e-4)
    assert (int(row["height"]), int(row["width"])) == result.film.shape
    assert int(row["infected_pixels"]) == result.mask.sum()
    assert float(row["infected_percent_of_film"]) == pytest.approx(100 * result.mask.mean(), abs=0.01)
    assert row["warnings"] == "; ".join(result.warnings)
    assert row["infected_percent_of_lungs"] == ""  # The network does not tell lungs.
    assert Image.open(tmp_path / "out" / "overlays" / name).mode == "P"


def test_masks_of_lungs_are_written_where_they_are_asked_for(whole_run, recipe_run, tmp_path):
  films = _write(tmp_path / "films", {"a.png": picture(film(96))})
  _run(recipe_run, tmp_path, films)
  assert not (tmp_path / "out" / "lungs").exists()
  _run(recipe_run, tmp_path, films, output="asked", wanted=Wanted(lungs=True))
  written = np.asarray(Image.open(tmp_path / "asked" / "lungs" / "a.png"))
  assert np.array_equal(written, 255 * covseg.load(str(recipe_run)).predict(tmp_path / "films" / "a.png").lungs)
  with pytest.raises(ValueError, match="no lung head, which --lungs needs"):
    _run(whole_run, tmp_path, films, output="none", wanted=Wanted(lungs=True))
  assert not (tmp_path / "none").exists()


def test_the_networks_time_is_told_apart_from_the_rest(whole_run, tmp_path, capfd, monkeypatch):
  apply = predictor.Predictor.logits

  def slowly(self, seen):
    time.sleep(0.3)
    return apply(self, seen)

  _run(whole_run, tmp_path, _write(tmp_path / "films", _FILMS))  # What it compiles, it has compiled now.
  monkeypatch.setattr(predictor.Predictor, "logits", slowly)
  capfd.readouterr()
  _run(whole_run, tmp_path, tmp_path / "films", output="again")
  told = r"It took (.*) s, in (.*) s of which the network computed. Reading and writing took (.*) s of"
  whole, network, rest = map(float, re.search(told, capfd.readouterr().out).groups())
  assert 0.2 < network <= whole < network + 5
  assert rest < 0.3  # The network's time is not among it.


def test_patients_are_named_nowhere(whole_run, tmp_path, capfd):
  films = _write(tmp_path / "films", {"a.dcm": dicom(film()), "b.dcm": dicom(film())[:-50]})
  _run(whole_run, tmp_path, films)
  written = b"".join((tmp_path / "out" / name).read_bytes() for name in _files(tmp_path / "out"))
  for identifier in ("Roe", "Jane", "ID4711", "19500102"):
    assert identifier.encode() not in written
    assert identifier not in "".join(capfd.readouterr())


def test_a_run_goes_on_where_it_stopped(whole_run, tmp_path, monkeypatch):
  films = _write(tmp_path / "films", _FILMS)
  _, expected = _run(whole_run, tmp_path, films, output="whole")
  finished = []
  line = pipeline.predictions_table.line

  def killed(name, *arguments):
    finished.append(name)
    if len(finished) == 4:
      raise KeyboardInterrupt
    return line(name, *arguments)

  monkeypatch.setattr(pipeline.predictions_table, "line", killed)
  with pytest.raises(KeyboardInterrupt):
    _run(whole_run, tmp_path, films)
  monkeypatch.undo()
  assert not (tmp_path / "out" / "predictions.csv").exists()
  journal = tmp_path / "out" / ".predictions.jsonl"
  journal.write_bytes(journal.read_bytes()[:-20])  # The last entry is cut.

  done_again = []
  monkeypatch.setattr(
    pipeline.predictions_table,
    "line",
    lambda name, *rest: done_again.append(name) or line(name, *rest),
  )
  assert _run(whole_run, tmp_path, films, resume=True) == (0, expected)
  assert 0 < len(done_again) < 5
  done_again.clear()
  assert _run(whole_run, tmp_path, films, resume=True) == (0, expected)
  assert done_again == []


def test_resuming_sees_changed_films_and_lost_masks(whole_run, tmp_path):
  films = _write(tmp_path / "films", _FILMS)
  _, before = _run(whole_run, tmp_path, films)
  _write(tmp_path / "films", {"1.png": picture(film(128))})
  (tmp_path / "out" / "masks" / "2.png").unlink()
  _, after = _run(whole_run, tmp_path, films, resume=True)
  assert [row["width"] for row in after] == ["64", "128", "64", "64", "64"]
  assert after[2] == before[2]
  assert (tmp_path / "out" / "masks" / "2.png").exists()


def test_results_are_not_mixed_with_those_of_another_run(whole_run, tmp_path):
  films = _write(tmp_path / "films", _FILMS)
  _run(whole_run, tmp_path, films)
  with pytest.raises(ValueError, match="--resume"):
    _run(whole_run, tmp_path, films)
  table = (tmp_path / "out" / "predictions.csv").read_bytes()
  others = _write(tmp_path / "others", {"1.png": picture(film(70)), "x.png": _FILMS["2.png"]})
  with pytest.raises(ValueError, match=f"predictions of {len(_FILMS)} films that are not among those named, .* 0.png"):
    _run(whole_run, tmp_path, others, resume=True)
  assert (tmp_path / "out" / "predictions.csv").read_bytes() == table


def test_another_film_of_the_same_name_is_not_taken_for_the_first(whole_run, tmp_path):
  for patient, shown in (("a", "0.png"), ("b", "1.png")):
    _write(tmp_path / patient, {"film.png": _FILMS[shown]})
  _, before = _run(whole_run, tmp_path, tmp_path / "a")
  mask = (tmp_path / "out" / "masks" / "film.png").read_bytes()
  with pytest.raises(ValueError, match="predictions of 1 films that are not among those named, such as film.png"):
    _run(whole_run, tmp_path, tmp_path / "b", resume=True)
  assert (tmp_path / "out" / "masks" / "film.png").read_bytes() == mask
  (tmp_path / "a").rename(tmp_path / "moved")
  assert _run(whole_run, tmp_path, tmp_path / "moved", resume=True) == (0, before)


def test_films_keep_their_names_where_further_folders_are_named(whole_run, tmp_path):
  for folder, shown in (("a", "0.png"), ("b", "1.png")):
    _write(tmp_path / folder, {"film.png": _FILMS[shown]})
  _, first = _run(whole_run, tmp_path, tmp_path / "a")
  _, rows = _run(whole_run, tmp_path, tmp_path / "a", tmp_path / "b", resume=True)
  assert rows[0] == first[0] and [row["file"] for row in rows] == ["film.png", "b/film.png"]
  assert set(_files(tmp_path / "out" / "masks")) == {"film.png", "b/film.png"}


def test_a_new_film_does_not_take_the_name_of_an_earlier_one(whole_run, tmp_path):
  for folder, shown in (("a", "0.png"), ("b", "1.png")):
    _write(tmp_path / folder, {"film.png": _FILMS[shown]})
  _, first = _run(whole_run, tmp_path, tmp_path / "a")
  mask = (tmp_path / "out" / "masks" / "film.png").read_bytes()
  failed, rows = _run(whole_run, tmp_path, tmp_path / "b" / "film.png", tmp_path / "a", resume=True)
  assert failed == 1 and "has the name of another film" in rows[0]["reason"] and rows[1] == first[0]
  assert (tmp_path / "out" / "masks" / "film.png").read_bytes() == mask


def test_a_film_that_is_named_twice_is_taken_once(whole_run, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  _write(tmp_path / "a", {"1.png": _FILMS["0.png"]})
  for i, paths in enumerate((("a", "./a/"), ("a/1.png", "a"), (tmp_path / "a", "a/1.png"))):
    failed, rows = _run(whole_run, tmp_path, *paths, output=f"out{i}")
    assert (failed, len(rows)) == (0, 1)


def test_masks_belong_to_the_line_of_their_film_whatever_ran_before(whole_run, tmp_path, caplog, capsys):
  films = _write(tmp_path / "films", _FILMS)
  _, before = _run(whole_run, tmp_path, films)
  mask = tmp_path / "out" / "masks" / "0.png"
  expected = mask.read_bytes()
  assert _run(whole_run, tmp_path, films, resume=True) == (0, before)
  assert "5 of 5 films are predicted, 0 failed, 5 done before" in capsys.readouterr().out
  assert not caplog.messages
  _, low = _run(whole_run, tmp_path, films, resume=True, changes=("eval.threshold=0.01",))
  assert caplog.messages[0].startswith(f"5 films in {tmp_path / 'out'} were predicted by another model or with other")
  assert "done before" not in capsys.readouterr().out
  assert low != before and mask.read_bytes() != expected
  assert _run(whole_run, tmp_path, films, resume=True) == (0, before)
  assert mask.read_bytes() == expected


def test_a_segmentation_that_was_lost_is_written_again(whole_run, tmp_path):
  pytest.importorskip("highdicom")
  films = _write(tmp_path / "films", {"x.dcm": dicom(film())})
  for _ in range(2):
    _run(whole_run, tmp_path, films, resume=True, wanted=Wanted(segmentations=True))
    (segmentation,) = (tmp_path / "out" / "segmentations").iterdir()
    segmentation.unlink()


@pytest.mark.parametrize(("first", "second"), [((1, 1), (1, 2)), ((1, 2), (1, 1)), ((1, 2), (1, 3)), ((1, 2), (1, 2))])
def test_shards_do_not_write_over_other_runs(whole_run, tmp_path, first, second):
  films = _write(tmp_path / "films", _FILMS)
  predict.run([films], str(whole_run), str(tmp_path / "out"), Wanted(), shard=first)
  with pytest.raises(ValueError, match="--resume"):
    predict.run([films], str(whole_run), str(tmp_path / "out"), Wanted(), shard=second)


def test_a_shard_may_have_no_film(whole_run, tmp_path):
  films = _write(tmp_path / "films", _FILMS)
  assert predict.run([films], str(whole_run), str(tmp_path / "out"), Wanted(), shard=(9, 9)) == 0
  assert _rows(tmp_path / "out" / "predictions-9-of-9.csv") == []


def test_arguments_that_are_called_alike_are_told_apart_by_their_paths(whole_run, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  _write(tmp_path, {"a/film.png": _FILMS["0.png"], "b/film.png": _FILMS["1.png"], "b/c/x.png": _FILMS["2.png"]})
  assert [row["file"] for row in _run(whole_run, tmp_path, "a/film.png", "../" + tmp_path.name + "/b/film.png")[1]] == [
    "a/film.png",
    f"{tmp_path.name}/b/film.png",
  ]
  (tmp_path / "d" / "c").mkdir(parents=True)
  (tmp_path / "d" / "c" / "x.png").write_bytes(_FILMS["3.png"])
  _, rows = _run(whole_run, tmp_path, "b/c", "d/c", output="other")
  assert [row["file"] for row in rows] == ["b/c/x.png", "d/c/x.png"]


def test_a_film_too_large_for_the_memory_fails_alone(whole_run, tmp_path, monkeypatch):
  films = _write(tmp_path / "films", _FILMS)
  write = predict.prediction_files.write

  def full(folder, found, *rest):
    if found.name == "2.png":
      raise MemoryError
    return write(folder, found, *rest)

  monkeypatch.setattr(predict.prediction_files, "write", full)
  failed, rows = _run(whole_run, tmp_path, films)
  assert failed == 1
  assert [row["reason"] for row in rows] == ["", "", "does not fit into memory", "", ""]


def test_shards_together_are_the_whole(whole_run, tmp_path, caplog):
  films = _write(tmp_path / "films", _FILMS)
  _, expected = _run(whole_run, tmp_path, films, output="whole")
  for i in (1, 2, 3):
    predict.run([films], str(whole_run), str(tmp_path / "out"), Wanted(), shard=(i, 3))
  parts = [_rows(tmp_path / "out" / f"predictions-{i}-of-3.csv") for i in (1, 2, 3)]
  assert [len(part) for part in parts] == [2, 2, 1]
  changes = ("eval.threshold=0.01",)
  predict.run([films], str(whole_run), str(tmp_path / "out"), Wanted(), shard=(3, 3), resume=True, changes=changes)
  assert caplog.messages[0].startswith("1 films in")  # Not those of the other shards.
  assert _run(whole_run, tmp_path, films, resume=True) == (0, expected)


@pytest.mark.filterwarnings("ignore::UserWarning")  # The command does so itself.
def test_damaged_and_deceitful_files_are_a_line_each(whole_run, tmp_path, capfd):
  files = dict(hostile(seed=2, mutations=8))
  assert len(files) > 200
  films = _write(tmp_path / "films", {**files, "zz.png": _FILMS["1.png"]})
  failed, rows = _run(whole_run, tmp_path, films)
  assert len(rows) == len(files) + 1
  assert failed == sum(row["status"] == "failed" for row in rows)
  assert rows[-1]["status"] == "done"  # The run goes on after them.
  problems = [row["reason"] for row in rows if row["status"] == "failed"]
  assert all(problem and "\n" not in problem and len(problem) < 200 for problem in problems)
  named = [line for line in capfd.readouterr().err.splitlines() if line.split(" ")[0] in files]
  assert len(named) == failed
  flipped_or_whole = {row["file"] for row in rows if row["status"] == "done"}
  assert _files(tmp_path / "out" / "masks") == {
    name if name.endswith(".png") else f"{name}.png" for name in flipped_or_whole
  }


def test_links_pipes_and_odd_names(whole_run, tmp_path, caplog):
  outside = pathlib.Path(_write(tmp_path / "elsewhere", {"secret.png": _FILMS["0.png"]}))
  names = [
    "new\nline.png",
    "größe.png",
    b"\xff\xfe.png",
    "=1+1.png",
    'a,b".png',
    "n" * 251 + ".png",
    "j" * 251 + ".jpg",
  ]
  films = pathlib.Path(_write(tmp_path / "films", dict.fromkeys(names, _FILMS["1.png"])))
  (films / "inside.png").symlink_to("größe.png")
  (films / "outside.png").symlink_to(outside / "secret.png")
  (films / "broken.png").symlink_to("nowhere.png")
  (films / "loop.png").symlink_to("loop.png")
  (films / "loop").symlink_to(".")
  (films / "folder").symlink_to(outside)
  (films / "empty_folder.png").mkdir()
  os.mkfifo(films / "pipe.png")
  failed, rows = _run(whole_run, tmp_path, films)
  by_name = {row["file"]: row for row in rows}
  assert len(rows) == len(names) + 5
  assert "link out of the folder" in by_name["outside.png"]["reason"]
  assert "folder is a link to a folder, which is not followed" in caplog.text
  assert "No such file" in by_name["broken.png"]["reason"]
  assert "no regular file" in by_name["pipe.png"]["reason"]
  assert "symbolic links" in by_name["loop.png"]["reason"]
  assert "too long" in by_name["j" * 251 + ".jpg"]["reason"]  # With .png after it.
  assert failed == 5
  for name in ("inside.png", "größe.png", r"new\nline.png", r"\xff\xfe.png", "n" * 251 + ".png"):
    assert by_name[name]["status"] == "done"
  assert {path.name for path in tmp_path.iterdir() if path.name != "tfds"} >= {"elsewhere", "films", "out"}
  assert os.listdir(outside) == ["secret.png"]


def test_an_unreadable_file_and_folder(whole_run, tmp_path, monkeypatch):
  films = pathlib.Path(
    _write(tmp_path / "films", {**_FILMS, "shut/1.png": _FILMS["0.png"], "locked.png": _FILMS["0.png"]})
  )

  def refusing(function, path):  # The rights of files do not bind root, as whom tests often run.
    def refuse(argument, *rest):
      if str(argument) == str(path):
        raise PermissionError(errno.EACCES, "Permission denied")
      return function(argument, *rest)

    return refuse

  monkeypatch.setattr(os, "scandir", refusing(os.scandir, films / "shut"))
  monkeypatch.setattr(film_files, "read_bytes", refusing(film_files.read_bytes, films / "locked.png"))
  failed, rows = _run(whole_run, tmp_path, films)
  reasons = {row["file"]: row["reason"] for row in rows if row["status"] == "failed"}
  assert reasons == {"locked.png": "cannot be read: Permission denied", "shut": "cannot be listed: Permission denied"}
  assert failed == 2 and len(rows) == 7


def test_films_whose_results_would_have_the_same_name(whole_run, tmp_path):
  films = _write(tmp_path / "films", {"a.dcm": dicom(film()), "a.dcm.png": _FILMS["0.png"]})
  failed, rows = _run(whole_run, tmp_path, films)
  assert (failed, rows[1]["reason"]) == (1, "has the name of another film (case is ignored); give it its own --output")
  for folder in ("one", "two"):
    _write(tmp_path / folder, {"a.png": _FILMS["0.png"]})
  failed, rows = _run(whole_run, tmp_path, tmp_path / "one", tmp_path / "two", output="both")
  assert (failed, [row["file"] for row in rows]) == (0, ["one/a.png", "two/a.png"])


def test_dicom_files_without_a_suffix_are_found_and_other_files_are_not(whole_run, tmp_path):
  files = {
    "IM0001": dicom(film()),
    "notes.txt": b"",
    "data": b"x" * 200,
    ".hidden.png": b"",
    "1.2.840.1": dicom(film()),
  }
  failed, rows = _run(whole_run, tmp_path, _write(tmp_path / "films", files))
  assert (failed, [row["file"] for row in rows]) == (0, ["1.2.840.1", "IM0001"])


def test_films_with_warnings_are_counted_also_where_they_were_done_before(whole_run, tmp_path, capsys):
  films = _write(tmp_path / "films", {f"{i}.png": picture(film(130)) for i in range(2)} | {"x.png": picture(film(40))})
  _, rows = _run(whole_run, tmp_path, films)
  assert [bool(row["warnings"]) for row in rows] == [False, False, True]
  assert "0 failed, 1 with warnings; see" in capsys.readouterr().out
  _run(whole_run, tmp_path, films, resume=True)
  assert "0 failed, 3 done before, 1 with warnings; see" in capsys.readouterr().out


def test_pictures_that_are_not_read_are_told_of(whole_run, tmp_path, caplog):
  files = {"a.png": _FILMS["0.png"], "b.jp2": b"x", "c.nii.gz": b"x", "d.HEIC": b"x", "e.pgm": b"x", "notes.xml": b"x"}
  assert _run(whole_run, tmp_path, _write(tmp_path / "films", files))[0] == 0
  assert "4 files in" in caplog.text and "not read here: b.jp2, c.nii.gz, d.HEIC, ..." in caplog.text


def test_the_results_are_no_films_of_the_next_run(whole_run, tmp_path):
  films = _write(tmp_path / "films", _FILMS)
  for resume in (False, True):
    _, rows = _run(whole_run, tmp_path, films, output="films/out", resume=resume)
    assert len(rows) == len(_FILMS)


def test_a_full_disk_ends_the_run_and_leaves_nothing_half_written(whole_run, tmp_path, monkeypatch):
  films = _write(tmp_path / "films", _FILMS)
  room = [5]

  def write_bytes(path, content):
    room[0] -= 1
    with open(path, "wb") as file:
      file.write(content if room[0] > 0 else content[: len(content) // 2])
    if room[0] <= 0:
      raise OSError(errno.ENOSPC, "No space left on device", str(path))

  monkeypatch.setattr(pathlib.Path, "write_bytes", write_bytes)
  with pytest.raises(OSError, match=r"out takes no more: No space left on device\. Make room, and go on"):
    _run(whole_run, tmp_path, films)
  monkeypatch.undo()
  for name in _files(tmp_path / "out") - {".predictions.jsonl"}:
    Image.open(tmp_path / "out" / name).load()  # Whole.
  assert _run(whole_run, tmp_path, films, resume=True)[0] == 0


def test_nothing_to_predict_is_an_error(whole_run, tmp_path):
  (tmp_path / "films").mkdir()
  with pytest.raises(ValueError, match="no PNG, JPEG, TIFF, BMP, WebP, GIF or DICOM"):
    _run(whole_run, tmp_path, tmp_path / "films")
  with pytest.raises(FileNotFoundError, match="does not exist"):
    _run(whole_run, tmp_path, tmp_path / "absent")
  assert not (tmp_path / "out").exists()


_PEAK = """
import resource, sys
from covseg.prediction import predict
predict.run([sys.argv[1]], sys.argv[2], sys.argv[3], predict.Wanted())
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_many_films_take_no_more_memory_than_few(whole_run, tmp_path):
  peaks = []
  for count in (30, 300):  # Each in a process of its own: a peak is of the whole life of a process.
    films = _write(tmp_path / f"films{count}", {f"{i:03}.png": picture(film(256)) for i in range(count)})
    command = [sys.executable, "-c", _PEAK, films, str(whole_run), str(tmp_path / f"out{count}")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    peaks.append(int(done.stdout.split()[-1]))
  assert peaks[1] - peaks[0] < 40_000  # kB


@pytest.mark.parametrize(
  ("arguments", "status", "expected"),
  [
    (["predict", "--help"], 0, "Example: python -m covseg predict"),
    (["predict", "--output=x", "--model=y"], 2, "FILE_OR_FOLDER"),
    (["predikt"], 2, "did you mean 'predict'"),
    (["predict", "x", "--output=x", "--shard=4/3"], 2, "is not I/N"),
    (["sweep", "--config=x", "--workdir=x", "--shard=0/3"], 2, "is not I/N"),
    (["predict", "FILMS", "--output=OUT", "--model=/absent"], 1, "is no folder or file"),
    (
      ["predict", "FILMS/bad.png", "--output=OUT", "--model=RUN", "--set", "eval.flip=true"],
      1,
      "bad.png is no",
    ),
    (
      ["predict", "FILMS", "--output=OUT", "--model=RUN", "--set", "eval.flop=true"],
      2,
      "eval.flop is not one of",
    ),
  ],
)
def test_command_line(whole_run, tmp_path, arguments, status, expected):
  films = _write(tmp_path / "films", {"good.png": _FILMS["0.png"], "bad.png": b"text"})
  places = {"FILMS": films, "OUT": str(tmp_path / "out"), "RUN": str(whole_run)}
  for name, place in places.items():
    arguments = [argument.replace(name, place) for argument in arguments]
  done = subprocess.run([sys.executable, "-m", "covseg", *arguments], cwd=ROOT, capture_output=True, text=True)
  assert done.returncode == status
  assert expected in done.stdout + done.stderr
  assert "Traceback" not in done.stderr


def test_results_within_the_input_folder_are_no_films(whole_run, tmp_path):
  names = ("a.png", "sub/b.png", "masks/c.png")
  films = _write(tmp_path / "films", dict(zip(names, _FILMS.values(), strict=False)))
  # The results of one run lie in another's input.
  assert predict.run([films], str(whole_run), films + "/sub", Wanted(probabilities=True)) == 0
  assert {row["file"] for row in _rows(tmp_path / "films" / "sub" / "predictions.csv")} == {"a.png", "masks/c.png"}
  assert {row["file"] for row in _run(whole_run, tmp_path, films)[1]} == {"a.png", "sub/b.png", "masks/c.png"}


def test_a_film_that_can_have_no_segmentation_keeps_its_other_results(whole_run, tmp_path, capfd):
  pytest.importorskip("highdicom")
  films = _write(tmp_path / "films", {"a.dcm": dicom(film()), "b.dcm": dicom(film(), StudyInstanceUID=None)})
  failed, (whole, lacking) = _run(whole_run, tmp_path, films, wanted=Wanted(segmentations=True))
  printed = capfd.readouterr()
  assert whole["status"] == "done" and "segmentation" not in whole["warnings"], printed
  assert failed == 1  # Not all went well.
  assert "2 of 2 films are predicted, 0 failed, 1 without a segmentation, 2 with warnings; see" in printed.out
  assert "b.dcm: it has no segmentation" in printed.err
  assert _files(tmp_path / "out" / "segmentations") == {"a.dcm.dcm"}
  assert lacking["status"] == "done" and lacking["infected_pixels"] == whole["infected_pixels"]
  assert "it has no segmentation: the file lacks what a DICOM Segmentation needs" in lacking["warnings"]


def test_files_of_others_where_results_would_lie_are_not_overwritten(whole_run, tmp_path):
  films = _write(tmp_path / "train", {"images/0.png": _FILMS["0.png"], "masks/0.png": b"a radiologist's work"})
  with pytest.raises(ValueError, match=r"train/masks holds files that no run of predict has written"):
    predict.run([f"{films}/images"], str(whole_run), films, Wanted())
  assert _files(tmp_path / "train") == {"images/0.png", "masks/0.png"}
  assert (tmp_path / "train" / "masks" / "0.png").read_bytes() == b"a radiologist's work"


def test_a_run_into_the_folder_of_its_films_goes_on_after_a_kill(whole_run, tmp_path, monkeypatch):
  films = _write(tmp_path / "films", _FILMS)
  with monkeypatch.context() as patch:
    patch.setattr(
      pipeline.predictions_table.Journal, "write_table", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
      predict.run([films], str(whole_run), films, Wanted())
  assert (tmp_path / "films" / "masks" / "0.png").exists()
  assert predict.run([films], str(whole_run), films, Wanted(), resume=True) == 0
  assert [row["file"] for row in _rows(tmp_path / "films" / "predictions.csv")] == sorted(_FILMS)


@pytest.mark.parametrize(("output", "message"), [("", "--output is empty"), ("films/0.png", "is no folder")])
def test_an_output_that_is_no_folder_is_refused(whole_run, tmp_path, monkeypatch, output, message):
  _write(tmp_path / "films", _FILMS)
  monkeypatch.chdir(tmp_path)
  with pytest.raises(ValueError, match=message):
    predict.run(["films"], str(whole_run), output, Wanted())
  assert _files(tmp_path) == {f"films/{name}" for name in _FILMS}


def test_files_are_films_by_their_content(whole_run, tmp_path):
  bitmap = picture(film(64), "BMP")
  content = {"a.bmp": bitmap, "b.jfif": picture(film(64), "JPEG"), "c": picture(film(64)), "d.txt": b"text"}
  films = _write(tmp_path / "films", {**content, "e": b"BM is no bitmap"})
  _, rows = _run(whole_run, tmp_path, films)
  assert {row["file"]: row["status"] for row in rows} == {"a.bmp": "done", "b.jfif": "done", "c": "done"}


def test_a_name_is_no_formula_of_a_spreadsheet(whole_run, tmp_path):
  films = _write(tmp_path / "films", {"=1+1.png": _FILMS["0.png"], "@a.png": b"text"})
  _, rows = _run(whole_run, tmp_path, films)
  assert {row["file"] for row in rows} == {"'=1+1.png", "'@a.png"}
