import csv
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from covseg.evaluation.evaluation_command import Request, run
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
  run(Request("test", model=str(whole_run), threshold=0.01, output=str(tmp_path / "network")))
  with (tmp_path / "network" / "per_image.csv").open() as file:
    rows = list(csv.DictReader(file))
  masks = tmp_path / "masks"
  masks.mkdir()
  for row in rows:
    assert int(row["predicted_pixels"]) == 256 * 256  # All of it, at this threshold.
    Image.fromarray(np.full((256, 256), 255, np.uint8)).save(masks / f"{row['id']}.png")
  config = json.loads((whole_run / "config.json").read_text())["dataset"]
  fields = {"name": config["name"], "data_dir": config["data_dir"]}
  run(Request("test", predictions=str(masks), dataset_fields=fields))
  found = _metrics(masks / "evaluation" / "test")
  network = _metrics(tmp_path / "network")
  for protocol in ("per_image", "pooled", "with_negatives", "by_infected_area"):
    assert found[protocol] == network[protocol]
  assert found["calibration"] is found["at_chosen_threshold"] is found["threshold"] is None
  assert (masks / "evaluation" / "test" / "report.html").exists()


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
  with pytest.raises(ValueError, match="test has no such film"):
    run(Request("test", str(whole_run), chosen_films=["covid_0"], output=str(folder)))
  duplicates.write_text("a,b\n")
  with pytest.raises(ValueError, match="no column id, split, duplicate_id, duplicate_split; it has a, b"):
    run(Request("test", str(whole_run), duplicates=str(duplicates), output=str(folder)))


def test_what_is_not_there_is_named(whole_run, tmp_path):
  with pytest.raises(ValueError, match=r"--split=tset: .* has train, validation, test"):
    run(Request("tset", str(whole_run)))
  with pytest.raises(FileNotFoundError, match="no such folder or file"):
    run(Request("test", str(tmp_path / "absent")))
  assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize(
  ("arguments", "status", "expected"),
  [
    (["--help"], 0, "evaluate"),
    (["evaluate", "--help"], 0, "Example: python -m covseg evaluate"),
    (["evaluate", "--model=x", "--predictions=y"], 2, "not allowed with"),
    (["evalute", "--model=x"], 2, "evaluate"),
    (["evaluate", "--model=/absent"], 1, "no such folder or file"),
  ],
)
def test_command_line(arguments, status, expected):
  command = [sys.executable, "-m", "covseg", *arguments]
  done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
  assert done.returncode == status
  assert expected in done.stdout + done.stderr
  assert "Traceback" not in done.stderr
