"""The same networks and the same training in PyTorch, which must be installed to import this.

A twin starts from the parameters of ours: a kernel [in, out] is PyTorch's weight [out, in], an image has its channels first. Parts of
PyTorch that come in several forms are used in the fastest one on a CPU: the fused AdamW, the weighted sum over a set as a batched product.
"""

import itertools
import math
import shutil
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import torch
from torch import nn

from benchmarks.training.problems import LEARNING_RATE, WEIGHT_DECAY, Problem
from jaxsci.core import Inputs, Params
from jaxsci.losses import binary_cross_entropy, squared_error

LOSSES = {
    binary_cross_entropy: nn.functional.binary_cross_entropy_with_logits,
    squared_error: nn.functional.mse_loss,
}


def can_compile() -> bool:
    """Whether there is the C++ compiler that `torch.compile` needs for a CPU."""
    return any(shutil.which(name) for name in ("g++", "c++", "clang++"))


def twin(name: str, params: Params) -> nn.Module:
    """The network of the problem of that name with these parameters."""
    return {
        "dense": dense,
        "dense-wide": dense,
        "cnn": convolutional,
        "pfn": DeepSet,
        "autoencoder": autoencoder,
    }[name](params)


def dense(params: Params) -> nn.Module:
    """The twin of `jaxsci.models.dense` with one output as a scalar."""
    return nn.Sequential(*_stack(params), nn.Flatten(0))


def convolutional(params: Params) -> nn.Module:
    """The twin of `jaxsci.models.convolutional` with odd windows, padding SAME, and pooling over 2 x 2 after every block."""
    blocks = list(params["blocks"].values())
    layers = [layer for block in blocks for layer in (_convolution(block), nn.ReLU(), nn.MaxPool2d(2))]
    # The map is flattened with its channels first here and last there.
    first = params["dense"]["layer_0"]
    kernel = np.asarray(first["kernel"]).reshape(-1, len(blocks[-1]["bias"]), len(first["bias"]))
    first = {**first, "kernel": kernel.swapaxes(0, 1).reshape(-1, len(first["bias"]))}
    stack = _stack({**params["dense"], "layer_0": first})
    return nn.Sequential(*layers, nn.Flatten(), *stack, nn.Flatten(0))


def autoencoder(params: Params) -> nn.Module:
    """The twin of `jaxsci.models.autoencoder` on square images of one channel."""
    decoder = params["decoder"]
    side = math.isqrt(len(decoder[f"layer_{len(decoder) - 1}"]["bias"]))
    return nn.Sequential(nn.Flatten(), *_stack(params["encoder"]), *_stack(decoder), nn.Unflatten(1, (1, side, side)))


class DeepSet(nn.Module):
    """The twin of `jaxsci.models.deep_sets` with a sum over the elements and one output as a scalar."""

    def __init__(self, params: Params) -> None:
        super().__init__()
        self.phi = nn.Sequential(*_stack(params["phi"]), nn.ReLU())
        self.rho = nn.Sequential(*_stack(params["rho"]), nn.Flatten(0))

    def forward(self, elements: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """elements [batch, element, feature] and weights [batch, element] -> [batch]."""
        return self.rho(torch.bmm(weights[:, None], self.phi(elements))[:, 0])


def _stack(params: Params) -> list[nn.Module]:
    """Affine layers with ReLU between them."""
    layers = [_affine(params[f"layer_{i}"]) for i in range(len(params))]
    return [*itertools.chain(*((layer, nn.ReLU()) for layer in layers[:-1])), layers[-1]]


def _affine(params: Params) -> nn.Module:
    kernel = np.asarray(params["kernel"])
    return _filled(nn.Linear(*kernel.shape), kernel.T, params["bias"])


def _convolution(params: Params) -> nn.Module:
    kernel = np.asarray(params["kernel"])
    window, _, channels, outputs = kernel.shape
    layer = nn.Conv2d(channels, outputs, window, padding=window // 2)
    return _filled(layer, kernel.transpose(3, 2, 0, 1), params["bias"])


def _filled(layer: Any, weight: np.ndarray, bias: Any) -> nn.Module:
    layer.weight = nn.Parameter(torch.from_numpy(weight.copy()))
    layer.bias = nn.Parameter(torch.from_numpy(np.array(bias)))
    return layer


def tensors(inputs: Inputs) -> list[torch.Tensor]:
    """The arrays of the inputs, images with their channels first."""
    arrays = [np.asarray(leaf) for leaf in jax.tree.leaves(inputs)]
    return [torch.from_numpy(np.moveaxis(a, -1, 1).copy() if a.ndim == 4 else a.copy()) for a in arrays]


def optimizer(module: nn.Module) -> torch.optim.Optimizer:
    """AdamW that, like ours, spares the biases."""
    named = list(module.named_parameters())
    groups = [
        {"params": [p for name, p in named if name.endswith(ending)], "weight_decay": decay}
        for ending, decay in (("weight", WEIGHT_DECAY), ("bias", 0.0))
    ]
    return torch.optim.AdamW(groups, lr=LEARNING_RATE, fused=True)


def make_epoch(
    module: nn.Module, problem: Problem, *, microbatches: int = 1, compiled: bool = False
) -> Callable[[], float]:
    """A function that trains `module` for one epoch in a new order and returns the mean loss.

    Args:
        module: from `twin`.
        problem: its data and batch size.
        microbatches: of a batch, whose gradients are added up before the optimizer's step.
        compiled: the network and the loss go through `torch.compile`.
    """
    x, (y,) = tensors(problem.data.x), tensors(problem.data.y)
    loss_of_outputs: Any = LOSSES[problem.example_loss]

    def loss(x: list[torch.Tensor], y: torch.Tensor) -> torch.Tensor:
        return loss_of_outputs(module(*x), y)

    function: Callable[..., torch.Tensor] = torch.compile(loss) if compiled else loss
    update = optimizer(module)

    def epoch() -> float:
        total = torch.zeros((), dtype=y.dtype)
        batches = 0
        for rows in torch.randperm(len(y)).split(problem.batch_size):
            update.zero_grad(set_to_none=True)
            for part in rows.chunk(microbatches):
                value = function([leaf[part] for leaf in x], y[part])
                value = value / microbatches if microbatches > 1 else value
                value.backward()
                total += value.detach()
            update.step()
            batches += 1
        return float(total) / batches

    return epoch
