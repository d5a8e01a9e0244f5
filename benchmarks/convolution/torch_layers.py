"""The same operations in PyTorch, which must be installed to import this."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch.func import grad, jvp, vjp, vmap
from torch.nn import functional

from benchmarks.convolution.implementations import COPIES, STEP
from benchmarks.convolution.shapes import Shape

Call = Callable[[], Any]


def calls(shape: Shape, arrays: Mapping[str, np.ndarray]) -> dict[str, Call]:
    """A function to time for each operation, on the GPU where there is one. Channels come first here."""
    device = "cuda" if torch.cuda.is_available() else "cpu"

    def tensor(array: np.ndarray) -> torch.Tensor:
        dtype = getattr(torch, array.dtype.name)
        wide = array.astype(
            np.promote_types(array.dtype, np.float32), copy=False
        )  # PyTorch does not know numpy's bfloat16
        return torch.from_numpy(np.ascontiguousarray(wide)).to(device, dtype)

    x, y = (tensor(np.moveaxis(arrays[name], -1, 2)) for name in ("x", "y"))
    k = tensor(np.moveaxis(arrays["k"], (-1, -2), (1, 2)))
    f = _convolution(shape)

    def loss(k: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return f(x, k).to(torch.promote_types(x.dtype, torch.float32)).square().sum()

    def backward(x: torch.Tensor, k: torch.Tensor) -> Any:
        x, k = (a.detach().requires_grad_() for a in (x, k))
        return torch.autograd.grad(loss(k, x), (x, k))

    def gradient(k: torch.Tensor, x: torch.Tensor) -> Any:
        k = k.detach().requires_grad_()
        return torch.autograd.grad(loss(k, x), k)

    def of_output(wanted: int) -> Call:
        """The derivative of <y, f> by one operand; the forward pass is done once, outside."""
        operands = [a[0].detach().requires_grad_(i == wanted) for i, a in enumerate((x, k))]
        output = f(*operands)
        return lambda: torch.autograd.grad(output, operands[wanted], y[0], retain_graph=True)

    def forward() -> torch.Tensor:
        with torch.no_grad():
            return f(x[0], k[0])

    def steps() -> list[torch.Tensor]:
        return [k[0] - STEP * backward(part, k[0])[1] for part in x]

    one = grad(lambda k, x: loss(k, x[None]))
    operations: dict[str, Call] = {
        "forward": forward,
        "input gradient": of_output(0),
        "kernel gradient": of_output(1),
        "forward+backward": lambda: backward(x[0], k[0]),
        "batch gradient": lambda: gradient(k[0], x[0]),
        "per-example gradients": lambda: vmap(one, in_dims=(None, 0))(k[0], x[0]),
        "Gauss-Newton product": lambda: _gauss_newton(f, x[0], k[0]),
        "Hessian-vector product": lambda: jvp(grad(loss, argnums=(0, 1)), (k[0], x[0]), (k[0], x[0]))[1],
    }
    if len(x) == COPIES:
        operations |= {
            "8 steps": steps,
            "8 kernels in a row": lambda: [gradient(*pair) for pair in zip(k, x, strict=True)],
            "ensemble of 8": lambda: vmap(grad(loss))(k, x),
            "ensemble of 8, shared data": lambda: vmap(grad(loss), in_dims=(0, None))(k, x[0]),
        }
    return {name: _synchronised(call) for name, call in operations.items()}


def channels_last(operation: str, result: Any) -> np.ndarray:
    """What the call of an operation without derivatives by several arrays returned, in float64 and in our layout."""
    (tensor,) = result if isinstance(result, tuple) else (result,)
    array = tensor.double().cpu().numpy()
    return np.moveaxis(array, (0, 1), (-1, -2)) if operation == "kernel gradient" else np.moveaxis(array, 1, -1)


def _gauss_newton(f: Callable[..., torch.Tensor], x: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    pushed = jvp(lambda k: f(x, k), (k,), (k,))[1]
    return vjp(lambda k: f(x, k), k)[1](pushed)[0]


def _synchronised(call: Call) -> Call:
    def wait() -> Any:
        result = call()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return result

    return wait


def _convolution(shape: Shape) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """f(x, k) with padding SAME."""
    rank, s, d, w = len(shape.size), shape.stride, shape.dilation, shape.window
    total = [max((o - 1) * s + (w - 1) * d + 1 - n, 0) for n, o in zip(shape.size, shape.convolved, strict=True)]
    low, high = [t // 2 for t in total], [t - t // 2 for t in total]
    options = {"stride": s, "dilation": d, "groups": shape.groups}
    if shape.transposed:
        transpose = (functional.conv_transpose1d, functional.conv_transpose2d, functional.conv_transpose3d)[rank - 1]
        # PyTorch's kernel is [in, out, ...] of the transposed convolution: ours as it stands.
        extra = [
            n - ((o - 1) * s + (w - 1) * d + 1 - 2 * p)
            for n, o, p in zip(shape.size, shape.convolved, low, strict=True)
        ]
        return lambda x, k: transpose(x, k, padding=low, output_padding=extra, **options)
    convolve = (functional.conv1d, functional.conv2d, functional.conv3d)[rank - 1]
    if low == high:
        return lambda x, k: convolve(x, k, padding=low, **options)
    sides = [side for pair in zip(reversed(low), reversed(high), strict=True) for side in pair]
    return lambda x, k: convolve(functional.pad(x, sides), k, **options)


def set_threads(count: int) -> None:
    """Cores that PyTorch may use."""
    torch.set_num_threads(count)
