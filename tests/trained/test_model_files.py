import jax
import numpy as np
import pytest
import safetensors.numpy

from covseg.trained import model_files, release, trained_model


def _logits(trained):
  images = np.random.default_rng(0).random((2, 32, 32, 1), np.float32)
  return np.asarray(trained.network.apply(trained.variables, images, train=False)["infection"])


def test_a_released_file_predicts_what_the_run_does_to_half_precision(whole_run, tmp_path):
  run, file = trained_model.load(str(whole_run)), tmp_path / "model.safetensors"
  model_files.save(file, run.config, run.variables, run.step)
  released = trained_model.load(str(file))
  assert (released.step, released.config.image_size) == (run.step, 32)
  np.testing.assert_allclose(_logits(released), _logits(run), rtol=1e-2, atol=1e-2)
  assert released.config.dataset.data_dir == ""  # Nothing of the machine it was made on.
  assert {x.dtype for x in jax.tree.leaves(released.variables)} == {np.dtype("float32")}
  assert released.fingerprint != run.fingerprint


def test_files_of_another_kind_are_refused(tmp_path):
  text, plain, absent = (str(tmp_path / f"{name}.safetensors") for name in ("text", "plain", "absent"))
  (tmp_path / "text.safetensors").write_text("no tensors")
  safetensors.numpy.save_file({"a": np.zeros(3)}, plain)
  for file in (text, plain):
    with pytest.raises(ValueError, match="is not a model that covseg wrote"):
      trained_model.load(file)
  with pytest.raises(FileNotFoundError, match="absent"):
    trained_model.load(absent)


def test_a_file_with_missing_weights_names_them(whole_run, tmp_path):
  run, file = trained_model.load(str(whole_run)), tmp_path / "model.safetensors"
  variables = {"params": {k: v for k, v in run.variables["params"].items() if k != "heads"}}
  model_files.save(file, run.config, {**run.variables, **variables}, run.step)
  with pytest.raises(ValueError, match="2 missing: params/heads/infection/bias"):
    trained_model.load(str(file))


def test_a_model_is_released_with_another_way_to_predict(whole_run, tmp_path):
  release.run(str(whole_run), str(tmp_path / "flipped.safetensors"), ["eval.flip=true"])
  flipped = trained_model.load(str(tmp_path / "flipped.safetensors"))
  assert flipped.config.eval.flip is True
  plain = trained_model.load(str(tmp_path / "flipped.safetensors"), ["eval.flip=false"])
  assert plain.config.eval.flip is False
  assert plain.fingerprint != flipped.fingerprint  # A prediction run is not resumed with the other.
  batched = trained_model.load(str(tmp_path / "flipped.safetensors"), ["eval.batch_size=9"])
  assert batched.fingerprint == flipped.fingerprint


@pytest.mark.parametrize(
  "output, change, message",
  [
    ("model.bin", "eval.flip=true", "must end in .safetensors"),
    ("model.safetensors", "eval.flop=true", "did you mean 'eval.flip'"),
    ("model.safetensors", "seed=1", "seed is not one of"),
    ("model.safetensors", "eval.flip=yes", "is not a value"),
    ("model.safetensors", "eval.threshold=None", "is not a value of eval.threshold .float"),
    ("model.safetensors", "eval.lung_only=true", "head 'lung'"),
    ("model.safetensors", "model.prune_to=2", "has no effect on unet"),
  ],
)
def test_what_cannot_be_released_is_not_written(whole_run, tmp_path, output, change, message):
  with pytest.raises(ValueError, match=message):
    release.run(str(whole_run), str(tmp_path / output), [change])
  assert not list(tmp_path.iterdir())
