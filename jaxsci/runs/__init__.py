"""The run folder: what a training or a fit leaves behind, how it is read back, compared and shown. No science."""
