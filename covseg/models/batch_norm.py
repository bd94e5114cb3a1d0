"""Batch norm, with its gradient written out: XLA:CPU would keep and read more arrays."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp


class BatchNorm(nn.Module):
  """Batch norm over all but the last axis (Ioffe and Szegedy 2015), with the variables of `nn.BatchNorm`.

  Statistics are float32, whatever the type of the input, which is that of the output.

  Attributes:
    epsilon: added to variances.
    momentum: part of the running statistics that a step keeps.
  """

  epsilon: float = 1e-5
  momentum: float = 0.9

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    shape = x.shape[-1:]
    running_mean = self.variable("batch_stats", "mean", jnp.zeros, shape)
    running_var = self.variable("batch_stats", "var", jnp.ones, shape)
    scale = self.param("scale", nn.initializers.ones, shape)
    bias = self.param("bias", nn.initializers.zeros, shape)
    if not train:
      return _normalised(x, running_mean.value, running_var.value, scale, bias, self.epsilon)
    y, mean, var = _batch_norm(self.epsilon, x, scale, bias)
    if not self.is_initializing():
      running_mean.value = self.momentum * running_mean.value + (1 - self.momentum) * mean
      running_var.value = self.momentum * running_var.value + (1 - self.momentum) * var
    return y


def _normalised(
  x: jax.Array, mean: jax.Array, var: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float
) -> jax.Array:
  factor = jax.lax.rsqrt(var + epsilon) * scale
  return ((x - mean) * factor + bias).astype(x.dtype)


def _sums(x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Sums of x and of x y over all but the last axis, float32 (C,)."""
  x, y = (a.astype(jnp.float32) for a in (x, y))
  axes = tuple(range(x.ndim - 1))
  return x.sum(axis=axes), (x * y).sum(axis=axes)


def _forward(epsilon: float, x: jax.Array, scale: jax.Array, bias: jax.Array):
  total, squares = _sums(x, x)
  count = x.size // x.shape[-1]
  mean = total / count
  var = jnp.maximum(squares / count - mean**2, 0)
  return (_normalised(x, mean, var, scale, bias, epsilon), mean, var), (x, mean, var, scale)


def _backward(
  epsilon: float, saved: tuple[jax.Array, ...], gradients: tuple[jax.Array, ...]
) -> tuple[jax.Array, jax.Array, jax.Array]:
  x, mean, var, scale = saved
  g, *_ = gradients  # Of the statistics none is used.
  inverse = jax.lax.rsqrt(var + epsilon)
  bias_gradient, products = _sums(g, x)
  scale_gradient = inverse * (products - mean * bias_gradient)
  count = x.size // x.shape[-1]
  slope, offset = inverse * scale_gradient / count, bias_gradient / count
  x_gradient = scale * inverse * (g - offset - (x - mean) * slope)
  return x_gradient.astype(x.dtype), scale_gradient, bias_gradient


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _batch_norm(
  epsilon: float, x: jax.Array, scale: jax.Array, bias: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """The batch normalised by its own mean and variance; and these, which have no gradient."""
  return _forward(epsilon, x, scale, bias)[0]


_batch_norm.defvjp(_forward, _backward)
