"""What a GPU or a TPU does: the forms of a convolution, ensembles, per-example gradients, training and the sphere, within ten minutes."""
