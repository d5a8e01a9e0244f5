"""The definition of the convolution: plain loops in float64, the oracle of its tests."""

import numpy as np

ROLES = ("input", "kernel", "output")


def loops(role, first, second, geometry, size):
    """The trilinear form of the convolution with one of input, kernel and output left out, whose shape is `size`.

    One element of the window and one position after another; `first` and `second` are the other two, in the order of ROLES.
    """
    others = iter((first, second))
    x, k, y = (np.zeros(size) if r == role else np.asarray(next(others), np.float64) for r in ROLES)
    for t in np.ndindex(*y.shape[2:-1]):
        for w in np.ndindex(*k.shape[1:-2]):
            columns = zip(t, w, geometry.strides, geometry.dilation, geometry.padding, strict=True)
            n = tuple(s * i + d * j - p for i, j, s, d, (p, _) in columns)
            if any(i < 0 or i >= edge for i, edge in zip(n, x.shape[2:-1], strict=True)):
                continue
            at_x, at_k, at_y = (slice(None), slice(None), *n), (slice(None), *w), (slice(None), slice(None), *t)
            if role == "output":
                y[at_y] += np.einsum("gbi,gio->gbo", x[at_x], k[at_k])
            elif role == "input":
                x[at_x] += np.einsum("gbo,gio->gbi", y[at_y], k[at_k])
            else:
                k[at_k] += np.einsum("gbi,gbo->gio", x[at_x], y[at_y])
    return {"input": x, "kernel": k, "output": y}[role]
