"""Examples a second of a training epoch, ours against PyTorch, and an ensemble against its members one after another."""
