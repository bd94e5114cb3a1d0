import csv
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from covseg.evaluation import evaluation_command
from covseg.evaluation.evaluation_command import Request, run
from covseg.evaluation.evaluator import Evaluator
from covseg.runtime import devices
from covseg.trained import model_files, trained_model
from covseg.workdir import Workdir
from input_pipeline import datasets
from input_pipeline.films import FilmReader, load_films
from tests.conftest import ROOT


def _metrics(folder):
  return json.loads((folder / "metrics.json").read_text())


def test_evaluates_the_best_checkpoint_as_training_did(whole_run, tmp_path):
  after_training = _metrics(whole_run / "evaluation" / "test")
  run(Request("test", model=str(whole_run), output=str(tmp_path / "out")))
  again = _metrics(tmp_path / "out")
  chosen, _ = again.pop("at_chosen_threshold"), after_training.pop("at_chosen_threshold")
  assert again == after_training

  run(Request("validation", model=str(whole_run)))  # Into the workdir.
  validation = _metrics(whole_run / "evaluation" / "validation")
  lines = [json.loads(line) for line in (whole_run / "metrics.jsonl").read_text().splitlines()]
  best = max(line["val_dice"] for line in lines)
  assert validation["per_image"]["dice"] == pytest.approx(best)
  # The second set of figures on test is at the threshold that is best on validation.
  assert chosen["chosen_on"] == "validation"
  assert chosen["threshold"] == validation["threshold_curve"]["best"]
  assert validation["at_chosen_threshold"]["per_image"]["dice"] == pytest.approx(
    max(validation["threshold_curve"]["dice"]), abs=2e-3
  )


def test_another_systems_masks_are_judged_by_the_same_code(whole_run, tmp_path):
  run(Request("test", model=str(whole_run), output=str(tmp_path / "network")))
  trained = trained_model.load(str(whole_run))
  config = trained.config.dataset
  films = load_films(FilmReader(datasets.prepare(config), "test", config, trained.config.image_size, 256))
  masks = tmp_path / "masks"
  masks.mkdir()
  evaluator = Evaluator(trained.config, trained.network, devices.create_mesh(1))
  predicted = evaluator.predict(trained.variables, films).masks
  assert len({mask.sum() for mask in predicted}) == len(films)  # So that exchanged masks would be noticed.
  for film_id, mask in zip(films.ids, predicted, strict=True):
    Image.fromarray(255 * mask.astype(np.uint8)).save(masks / f"{film_id}.png")
  fields = {"name": config["name"], "data_dir": config["data_dir"]}
  run(Request("test", predictions=str(masks), dataset_fields=fields))
  found = _metrics(masks / "evaluation" / "test")
  network = _metrics(tmp_path / "network")
  for protocol in ("per_image", "pooled", "with_negatives", "by_infected_area"):
    assert found[protocol] == network[protocol]
  assert found["calibration"] is found["at_chosen_threshold"] is found["threshold"] is None
  assert (masks / "evaluation" / "test" / "report.html").exists()


def test_a_folder_named_like_a_model_that_ships_is_not_its_workdir(whole_run, tmp_path, monkeypatch):
  run_of_folder = trained_model.load(str(whole_run))
  monkeypatch.setattr(model_files, "RELEASED", tmp_path / "released")
  (tmp_path / "released").mkdir()
  shipped = tmp_path / "released" / "tiny.safetensors"
  model_files.save(shipped, run_of_folder.config, run_of_folder.variables, run_of_folder.step)
  monkeypatch.chdir(tmp_path)
  (tmp_path / "tiny").mkdir()
  run(Request("test", model="tiny"))
  assert not list((tmp_path / "tiny").iterdir())
  assert _metrics(tmp_path / "evaluation" / "tiny" / "test")["model"] == "tiny"


def test_near_duplicates_and_chosen_films_are_taken_by_name(whole_run, tmp_path):
  with (whole_run / "evaluation" / "test" / "per_image.csv").open() as file:
    ids = [row["id"] for row in csv.DictReader(file) if int(row["true_pixels"])]
  duplicates = tmp_path / "duplicates.csv"
  duplicates.write_text(f"id,split,duplicate_id,duplicate_split,similarity\nx,train,{ids[0]},test,0.97\n")
  folder = tmp_path / "out"
  run(Request("test", str(whole_run), duplicates=str(duplicates), chosen_films=[ids[1]], output=str(folder)))
  found = _metrics(folder)
  assert found["deduplicated"]["num_images"] == found["per_image"]["num_images"] - 1
  assert (folder / "figures" / "cases_chosen.svg").exists()
  run(Request("test", str(whole_run), output=str(folder)))
  assert not (folder / "figures" / "cases_chosen.svg").exists()  # It is no part of this evaluation.
  with pytest.raises(ValueError, match="test has no such film"):
    run(Request("test", str(whole_run), chosen_films=["covid_0"], output=str(folder)))
  duplicates.write_text("a,b\n")
  with pytest.raises(ValueError, match="no column id, split, duplicate_id, duplicate_split; it has a, b"):
    run(Request("test", str(whole_run), duplicates=str(duplicates), output=str(folder)))


def test_what_is_not_there_is_named(whole_run, tmp_path):
  with pytest.raises(ValueError, match=r"--split=tset: .* has train, validation, test"):
    run(Request("tset", str(whole_run)))
  with pytest.raises(FileNotFoundError, match="is no folder or file"):
    run(Request("test", str(tmp_path / "absent")))
  assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    ({"model": "x", "every": 0, "robustness": True}, "--every=0 must be at least 1"),
    ({"model": "x", "every": 3}, "--every needs --robustness"),
    ({"model": "x", "reference": "y", "shortcuts": True}, "--reference needs --robustness"),
    ({"model": "x", "reference": "y", "robustness": True}, "--reference=y has no metrics.json"),
    ({"model": "x", "duplicates": "y"}, "--duplicates=y does not exist"),
    ({"predictions": "x", "changes": ["eval.flip=True"]}, "--predictions has no model"),
    ({"model": "x", "split": "train", "duplicates": "y"}, "no effect on --split=train"),
    ({"predictions": "x", "threshold": 5.0}, "--threshold=5.0 must lie between 0 and 1"),
    ({"predictions": "x", "shortcuts": True}, "need --model"),
  ],
)
def test_what_cannot_work_or_has_no_effect_is_refused_before_anything_is_read(fields, message):
  with pytest.raises(ValueError, match=message):
    run(Request(**{"split": "validation", **fields}))


def test_a_folder_that_cannot_be_written_is_told_of_before_the_work(whole_run, tmp_path, monkeypatch):
  (tmp_path / "file").write_text("")
  monkeypatch.setattr(Evaluator, "predict", lambda *_: pytest.fail("predicted"))
  with pytest.raises(OSError, match="Not a directory"):
    run(Request("test", model=str(whole_run), output=str(tmp_path / "file" / "out")))


def test_a_log_that_a_kill_has_cut_short_is_read_up_to_there(tmp_path):
  (tmp_path / "metrics.jsonl").write_text('{"epoch": 1, "step": 3, "seconds": 2.5}\n{"epoch": 2, "st')
  assert Workdir(tmp_path).read_metrics() == [{"epoch": 1, "step": 3, "seconds": 2.5}]


def test_ensembles_of_runs_that_are_called_alike_have_folders_of_their_own(whole_run, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(evaluation_command.evaluate, "evaluate_model", lambda *_, **__: None)
  for name in ("rate0.1", "rate0.2"):
    (tmp_path / name).mkdir()
    (tmp_path / name / "seed0").symlink_to(whole_run)
    run(Request("validation", model=f"{name}/seed0,{name}/seed0"))
  found = {path.name for path in (tmp_path / "evaluation").iterdir()}
  assert found == {"rate0.1_seed0,rate0.1_seed0", "rate0.2_seed0,rate0.2_seed0"}


@pytest.mark.parametrize(
  ("arguments", "status", "expected"),
  [
    (["--help"], 0, "evaluate"),
    (["evaluate", "--help"], 0, "Example: python -m covseg evaluate"),
    (["evaluate", "--model=x", "--predictions=y"], 2, "not allowed with"),
    (["evalute", "--model=x"], 2, "evaluate"),
    (["evaluate", "--splt=test"], 2, "no option --splt (did you mean '--split'?)"),
    (["predict", "x.png", "--outptu=x"], 2, "no option --outptu (did you mean '--output'?)"),
    (["evaluate", "--model=x", "--every=0", "--shortcuts"], 2, "must be at least 1"),
    (["evaluate", "--set=eval.thresold=0.3"], 2, "did you mean 'eval.threshold'"),
    (["evaluate", "--set=eval.threshold=2"], 2, "must lie between 0 and 1"),
    (["evaluate", "--model=/absent"], 1, "is no folder or file"),
    (["evaluate", "--model=README.md"], 1, "ends in .safetensors"),
  ],
)
def test_command_line(arguments, status, expected):
  command = [sys.executable, "-m", "covseg", *arguments]
  done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
  assert done.returncode == status
  assert expected in done.stdout + done.stderr
  assert "Traceback" not in done.stderr
