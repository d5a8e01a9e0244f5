"""What per-example gradients cost, and what they find."""
