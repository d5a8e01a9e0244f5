"""What the gradients of a trained ensemble of superconductors say, and how sure its predictions are."""
