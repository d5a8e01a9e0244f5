"""The calibrated ensemble of a run: how it is calibrated, what it predicts, and the files that hold it.

A run folder has two forms of it, each complete, with everything from the networks to the calibration:

- `ensemble.npz` with `predict_superconductors.py`: plain arrays with a JSON header, and a reader that needs NumPy alone. This is the form
  to keep and to publish: it depends on no version of JAX, nor on this library. The command reads it, too.
- `ensemble.jaxexport`: the compiled form of `jax.export`, as fast as in this library and without it. JAX guarantees to read such a file
  for six months after the version that wrote it; write it anew by training again, or use the arrays.

Both take stoichiometric coefficients [material, 96] and give a dict of arrays [material]; its names are those of `prediction.predictor`.
"""
