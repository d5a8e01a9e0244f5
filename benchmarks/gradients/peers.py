"""The same quantities of the dense network by BackPACK, Opacus and curvlinops, which are given the same parameters and batch."""

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxsci.core import Batch, Params

PYTORCH = "PyTorch, loss and gradient"


def peers(params: Params, batch: Batch, norms: np.ndarray, products: dict[str, Params]) -> dict[str, Callable[[], Any]]:
    """What is installed of PyTorch's gradient, BackPACK's and Opacus' norms, and curvlinops' products.

    Norms and products must be ours; the gradient, of which nothing is returned, is not compared.

    Args:
        params: of affine layers with ReLU between them.
        batch: of the mean cross entropy of a yes/no answer.
        norms: squared norms of the gradients of single examples.
        products: of "Hessian product" and "Gauss-Newton product" with the parameters.
    """
    try:
        import torch
    except ImportError:
        return {}
    x, y = torch.tensor(np.asarray(batch.x)), torch.tensor(np.asarray(batch.y))[:, None]
    network = _network(params)

    def plain() -> None:
        network.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(network(x), y).backward()

    calls: dict[str, Callable[[], Any]] = {PYTORCH: plain}
    for found in (_backpack(_network(params), x, y), _opacus(_network(params), x, y)):
        for name, call in found.items():
            np.testing.assert_allclose(call().detach().numpy(), norms, rtol=1e-3, err_msg=name)
            calls[name] = call
    for name, call in _curvlinops(network, x, y).items():
        ours = products[name.removeprefix("curvlinops, ")]
        leaves = [np.asarray(layer[key]).T for layer in ours.values() for key in ("kernel", "bias")]
        largest = max(np.abs(leaf).max() for leaf in leaves)
        for leaf, theirs in zip(leaves, call(), strict=True):
            np.testing.assert_allclose(theirs.detach().numpy(), leaf, atol=1e-3 * largest, err_msg=name)
        calls[name] = call
    return calls


def _network(params: Params) -> Any:
    import torch

    layers: list[Any] = []
    for layer in params.values():
        kernel, bias = (torch.tensor(np.asarray(layer[key])) for key in ("kernel", "bias"))
        affine = torch.nn.Linear(*kernel.shape)
        affine.weight.data, affine.bias.data = kernel.T.contiguous(), bias
        layers += [affine, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def _backpack(network: Any, x: Any, y: Any) -> dict[str, Callable[[], Any]]:
    try:
        import backpack
        import torch
        from backpack.extensions import BatchL2Grad
    except ImportError:
        return {}
    network, loss = backpack.extend(network), backpack.extend(torch.nn.BCEWithLogitsLoss(reduction="sum"))

    def norms() -> Any:
        network.zero_grad()
        with backpack.backpack(BatchL2Grad()):
            loss(network(x), y).backward()
        return sum(parameter.batch_l2 for parameter in network.parameters())

    return {"BackPACK, squared norms": norms}


def _opacus(network: Any, x: Any, y: Any) -> dict[str, Callable[[], Any]]:
    try:
        import torch
        from opacus.grad_sample import GradSampleModule
    except ImportError:
        return {}
    module = GradSampleModule(network, loss_reduction="sum")

    def norms() -> Any:
        module.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(module(x), y, reduction="sum").backward()
        return sum(parameter.grad_sample.flatten(1).square().sum(1) for parameter in module.parameters())

    return {"Opacus, squared norms of stored gradients": norms}


def _curvlinops(network: Any, x: Any, y: Any) -> dict[str, Callable[[], Any]]:
    try:
        import torch
        from curvlinops import GGNLinearOperator, HessianLinearOperator
    except ImportError:
        return {}
    parameters = list(network.parameters())
    given = (network, torch.nn.BCEWithLogitsLoss(), parameters, [(x, y)])
    vector = [parameter.detach().clone() for parameter in parameters]
    operators = {
        "curvlinops, Hessian product": HessianLinearOperator(*given, check_deterministic=False),
        "curvlinops, Gauss-Newton product": GGNLinearOperator(*given, check_deterministic=False),
    }
    return {name: (lambda operator=operator: operator @ vector) for name, operator in operators.items()}
