"""Run by `test_mesh.py`, alone or as two processes of one device each: trainings of 200 steps, whose parameters the first one writes.

python two_processes.py FILE [ADDRESS PROCESS]
"""

import sys

import jax
import numpy as np

from jaxsci.training import device_mesh


def trained(**options):
    """Parameters after 200 steps by network, number format and leaf."""
    from tests.training.on_eight_devices import MODELS, train  # which touches the devices

    found = {}
    for dtype in (np.float32, np.float64):
        with jax.enable_x64(dtype == np.float64):
            for name in MODELS:
                params = train(name, dtype=dtype, **options).last_params
                leaves = jax.tree.leaves_with_path(params)
                found |= {f"{name} {np.dtype(dtype)} {jax.tree_util.keystr(path)}": np.asarray(x) for path, x in leaves}
    return found


if __name__ == "__main__":
    file, *place = sys.argv[1:]
    if place:
        jax.distributed.initialize(place[0], 2, int(place[1]))
    found = trained(**({"mesh": device_mesh(data=2)} if place else {}))
    if jax.process_index() == 0:
        np.savez(file, **found)
