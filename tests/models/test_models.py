"""What every network keeps to. Those over encoders are large: shapes are told without computing."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import default
from covseg.models import NETWORKS, blocks, create_model, heads
from covseg.models.encoders import ENCODERS
from covseg.training import losses
from input_pipeline.cxr_phantom import phantom
from tests.random_variables import random_variables

# At the base features of their configurations and one input channel.
PARAMETERS = {
  # mateuszbuda/brain-segmentation-pytorch has 7,763,041, of which two input channels are 2 * 9 * 32.
  "unet": 7_762_465,
  # The 31.0 M of Ronneberger et al., without the second class.
  "unet_baseline": 31_030_593,
  # The 9.04 M of Zhou et al., and the scales of batch norm, 2 * (5 * 32 + 4 * 64 + 3 * 128 + 2 * 256 + 512).
  "unet_plus_plus": 9_041_700 + 3_648,
  # The U-Net, and gates of (4 + 2) C^2 + 2 C + 1 for C = 64, 128, 256.
  "attention_unet": 7_762_465 + 516_995,
  # ResNet-34, a decoder of 9 (C + F) F + 4 F for each level, and 17 for the head.
  "encoder_decoder": 21_281_536 + 3_151_552 + 17,
}
# Of the U-Net decoder over each encoder.
DECODER_PARAMETERS = {
  "efficientnet_lite0": 2_239_168,
  "efficientnet_lite1": 2_239_168,
  "mobilenet_v2": 4_404_928,
  "densenet121": 6_653_632,
}
# The published counts; of those, the classifiers', and a plane of the first kernel. Of EfficientNet-Lite
# the layer before the classifier, too, and two planes.
ENCODER_PARAMETERS = {
  "efficientnet_lite0": 4_652_008 - 1281 * 1000 - (320 + 2) * 1280 - 2 * 3 * 3 * 32,
  "efficientnet_lite1": 5_416_680 - 1281 * 1000 - (320 + 2) * 1280 - 2 * 3 * 3 * 32,
  "mobilenet_v2": 3_504_872 - 1281 * 1000 - 3 * 3 * 32,
  "resnet18": 11_689_512 - 513 * 1000 - 7 * 7 * 64,
  "resnet34": 21_797_672 - 513 * 1000 - 7 * 7 * 64,
  "resnet50": 25_557_032 - 2049 * 1000 - 7 * 7 * 64,
  "densenet121": 7_978_856 - 1025 * 1000 - 7 * 7 * 64,
}
# Shapes of the heads that predict no pixels, for two films.
OF_FILMS = {"presence": (2, 1, 1, 1), "involvement": (2, 1, 2, 1)}
PLAIN = [name for name in NETWORKS if name != "encoder_decoder"]
# One of each kind, where a network has to compute.
SMALL = [
  *((name, {"base_features": 4}) for name in PLAIN),
  ("encoder_decoder", {"encoder": "mobilenet_v2"}),
  ("encoder_decoder", {"encoder": "resnet18", "decoder": "fpn"}),
]


def _create(name, **fields):
  config = default.get_config().model
  config.name = name
  config.update(fields)
  return create_model(config)


def _variable_shapes(model):
  return jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 32, 32, 1)), train=False))


def _num_parameters(model):
  return sum(x.size for x in jax.tree.leaves(_variable_shapes(model)["params"]))


def _jit(function):
  """Jitted in half the time: what is computed once need not be fast."""
  return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


def _predict(model, variables, images):
  return _jit(lambda v, x: model.apply(v, x, train=False))(variables, images)


def _train_mode(model, variables, images):
  return model.apply(variables, images, train=True, mutable=["batch_stats"], rngs={"dropout": jax.random.key(0)})


def test_every_network_is_tested():
  assert PARAMETERS.keys() == NETWORKS.keys()
  assert ENCODER_PARAMETERS.keys() == ENCODERS.keys()


@pytest.mark.parametrize("name", NETWORKS)
def test_parameter_count(name):
  base_features = {"base_features": 64} if name == "unet_baseline" else {}
  assert _num_parameters(_create(name, **base_features)) == PARAMETERS[name]


@pytest.mark.parametrize("name", DECODER_PARAMETERS)
def test_parameter_count_over_an_encoder(name):
  expected = ENCODER_PARAMETERS[name] + DECODER_PARAMETERS[name] + 17
  assert _num_parameters(_create("encoder_decoder", encoder=name)) == expected


@pytest.mark.parametrize("name", ENCODERS)
def test_encoder_has_the_published_parameters(name):
  assert _num_parameters(ENCODERS[name]()) == ENCODER_PARAMETERS[name]


@pytest.mark.parametrize("name", ENCODERS)
def test_encoder_gives_features_at_five_strides(name):
  encoder = ENCODERS[name]()
  images = jnp.zeros((2, 64, 96, 1), jnp.bfloat16)
  features = jax.eval_shape(lambda v: encoder.apply(v, images, train=False), _variable_shapes(encoder))
  assert [x.shape[:3] for x in features] == [(2, 64 // s, 96 // s) for s in (2, 4, 8, 16, 32)]
  assert {x.dtype for x in features} == {np.dtype("bfloat16")}


@pytest.mark.parametrize(
  ("name", "size"),
  [(name, (33, 47)) for name in NETWORKS] + [(name, size) for name in PLAIN for size in ((32, 32), (5, 3))],
)
def test_logits_have_the_size_of_the_images_whatever_the_heads(name, size):
  decoders = ("unet", "fpn") if name == "encoder_decoder" else ("unet",)
  for decoder in decoders:
    model = _create(name, decoder=decoder).clone(heads=heads.HEADS, dtype="bfloat16")
    variables = _variable_shapes(model)
    assert {x.dtype for x in jax.tree.leaves(variables)} == {np.dtype("float32")}
    images = jnp.zeros((2, *size, 1))
    logits = jax.eval_shape(lambda v, m=model, x=images: m.apply(v, x, train=False), variables)
    in_training, updated = jax.eval_shape(lambda v, m=model, x=images: _train_mode(m, v, x), variables)
    assert in_training.keys() - {"auxiliary"} == logits.keys() == set(heads.HEADS)
    for path, array in jax.tree_util.tree_leaves_with_path((logits, in_training)):
      assert array.shape == OF_FILMS.get(path[-1].key, (2, *size, 1))
      assert array.dtype == jnp.float32
    assert {x.dtype for x in jax.tree.leaves(updated)} <= {np.dtype("float32")}


@pytest.mark.parametrize(
  ("name", "fields"), [("attention_unet", {"base_features": 4}), ("encoder_decoder", {"encoder": "mobilenet_v2"})]
)
def test_bfloat16_is_used_within(name, fields):
  model = _create(name, **fields)
  variables = random_variables(model)
  images = np.random.default_rng(0).random((2, 32, 32, 1), np.float32)
  full = _predict(model, variables, images)["infection"]
  half = _predict(model.clone(dtype="bfloat16"), variables, images)["infection"]
  assert 0 < np.abs(half - full).max() < 0.1 * np.abs(full).max()


@functools.cache
def _phantoms():
  films = [phantom.draw((0, i), infected=True) for i in range(4)]
  images = np.stack([film.image[::4, ::4] for film in films])[..., None] / 255
  masks = np.stack([film.infection_mask[::4, ::4] for film in films])[..., None]
  return images.astype(np.float32), masks.astype(np.float32)


@pytest.mark.parametrize(("name", "fields"), SMALL)
def test_loss_falls_on_phantoms(name, fields):
  model = _create(name, **fields)
  images, masks = _phantoms()

  @_jit
  def loss_and_gradients(variables, key):
    def loss(params):
      outputs, updated = model.apply(
        {**variables, "params": params}, images, train=True, mutable=["batch_stats"], rngs={"dropout": key}
      )
      every = [outputs, *outputs.get("auxiliary", ())]
      values = [losses.bce(logits=output["infection"], masks=masks).mean() for output in every]
      return sum(values) / len(values), updated

    return jax.value_and_grad(loss, has_aux=True)(variables["params"])

  variables, values = random_variables(model), []
  for i in range(10):
    (loss, updated), gradients = loss_and_gradients(variables, jax.random.key(i))
    values.append(float(loss))
    params = jax.tree.map(lambda x, g: x - 0.1 * np.asarray(g), variables["params"], gradients)
    variables = {"params": params, **updated}
  assert max(values[-3:]) < 0.95 * values[0]


@pytest.mark.parametrize("norm", blocks.NORMS)
def test_a_film_sees_the_others_of_its_batch_by_batch_norm_only(norm):
  model = _create("unet", base_features=4, norm=norm)
  images = np.random.default_rng(0).random((2, 32, 32, 1), np.float32)
  apply = _jit(functools.partial(_train_mode, model, random_variables(model)))
  both, alone = (np.asarray(apply(x)[0]["infection"]) for x in (images, images[[0, 0]]))
  assert np.allclose(both[0], alone[0], atol=1e-4) == (norm == "group")


def test_dropout_acts_in_training_only():
  model = _create("unet_baseline", base_features=2)
  variables, images = random_variables(model), jnp.ones((1, 32, 32, 1))
  keys = jax.random.split(jax.random.key(0))
  for train in (True, False):
    apply = _jit(lambda key, train=train: model.apply(variables, images, train=train, rngs={"dropout": key}))
    first, second = (apply(key)["infection"] for key in keys)
    assert (first != second).any() == train


def test_pruned_u_net_plus_plus_needs_no_node_beyond_its_output():
  whole = _create("unet_plus_plus", base_features=2)
  images = np.random.default_rng(0).random((1, 32, 32, 1), np.float32)
  variables = random_variables(whole)
  outputs = []
  for depth in (1, 2, 3, 4):
    pruned = whole.clone(prune_to=depth)
    assert _variable_shapes(pruned) == _variable_shapes(whole)  # It trains as a whole.
    kept = {kind: {name: x for name, x in tree.items() if _is_needed(name, depth)} for kind, tree in variables.items()}
    outputs.append(_predict(pruned, kept, images)["infection"])
  assert outputs[0].shape == images.shape
  mean = _predict(whole, variables, images)["infection"]
  np.testing.assert_allclose(mean, np.mean(outputs, axis=0), rtol=1e-4, atol=1e-5)


def _is_needed(name, depth):
  """Whether X(0, depth) needs a module: level and column of its node are together no more than the depth."""
  kind, *numbers = name.split("_")
  return int(numbers[0]) == depth if kind == "heads" else sum(map(int, numbers)) <= depth


def test_deep_supervision_is_over_the_four_outputs():
  model = _create("unet_plus_plus", base_features=2)
  outputs, _ = _jit(functools.partial(_train_mode, model))(random_variables(model), jnp.ones((1, 33, 47, 1)))
  every = [outputs["infection"], *(output["infection"] for output in outputs["auxiliary"])]
  assert [logits.shape for logits in every] == [(1, 33, 47, 1)] * 4
  assert len({float(logits.sum()) for logits in every}) == 4


def test_attention_of_1_makes_it_a_u_net():
  model = _create("attention_unet", base_features=2)
  variables = random_variables(model)
  images = np.random.default_rng(0).random((2, 33, 47, 1), np.float32)
  gates = [name for name in variables["params"] if "gate" in name]
  assert sorted(gates) == ["gate_1", "gate_2", "gate_3"]
  for gate in gates:
    variables["params"][gate]["weights"]["bias"] += 100
  logits = _predict(model, variables, images)["infection"]
  u_net = {kind: {name: x for name, x in tree.items() if "gate" not in name} for kind, tree in variables.items()}
  expected = _predict(_create("unet", base_features=2), u_net, images)["infection"]
  np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
  ("name", "field", "value"),
  [
    ("encoder_decoder", "base_features", 16),
    ("unet", "prune_to", 2),
    ("unet", "encoder_weights", "encoder.safetensors"),
    ("unet", "encoder", "resnet18"),
    ("attention_unet", "decoder", "fpn"),
    ("unet", "dropout", 0.1),
  ],
)
def test_a_field_that_the_network_does_not_have_is_refused(name, field, value):
  with pytest.raises(ValueError, match=f"model.{field}=.* {name}"):
    _create(name, **{field: value})


def test_weights_are_no_field_of_a_network_over_an_encoder():
  assert _create("encoder_decoder", encoder_weights="a.safetensors") == _create("encoder_decoder")


def test_up_convolution_is_a_transposed_convolution():
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, 5, 6, 4)).astype(np.float32)
  variables = blocks.UpConv(3).init(jax.random.key(0), x)
  kernel, bias = np.asarray(variables["params"]["kernel"]), rng.normal(size=3).astype(np.float32)
  expected = np.zeros((2, 10, 12, 3), np.float32) + bias
  for dy in range(2):
    for dx in range(2):
      expected[:, dy::2, dx::2] += x @ kernel[:, dy, dx]
  out = blocks.UpConv(3).apply({"params": {"kernel": kernel, "bias": bias}}, x)
  np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-5)


def test_resizing_by_corners_is_linear_between_the_outer_pixels():
  x = jnp.array([[0.0, 3.0], [6.0, 9.0]])[None, ..., None]
  expected = np.array([[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7], [6, 7, 8, 9]])
  np.testing.assert_allclose(blocks.resize(x, (4, 4), align_corners=True)[0, ..., 0], expected, rtol=1e-6)
  assert (blocks.resize(jnp.full((1, 1, 1, 1), 5.0), (2, 3), align_corners=True) == 5).all()


@pytest.mark.parametrize("size", [(10, 12), (9, 7), (5, 6), (3, 4), (2, 9)])
def test_resize_is_jaxs_bilinear(size):
  x = np.random.default_rng(0).normal(size=(2, 5, 6, 3)).astype(np.float32)
  expected = jax.image.resize(x, (2, *size, 3), "bilinear")
  np.testing.assert_allclose(blocks.resize(jnp.asarray(x), size), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
  "field, value", [("base_features", 64), ("decoder_features", (64, 32, 16, 8)), ("prune_to", 2)]
)
def test_a_field_that_a_network_does_not_use_is_refused(field, value):
  config = default.get_config().model
  config.name, config.decoder = "encoder_decoder", "fpn"
  config[field] = value
  with pytest.raises(ValueError, match=f"model.{field}=.* has no effect on encoder_decoder"):
    create_model(config)
