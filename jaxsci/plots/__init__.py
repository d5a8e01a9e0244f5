"""Pure functions from arrays to matplotlib figures, and the page that carries them."""
