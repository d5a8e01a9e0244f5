"""Curvature of a loss: operators, what is estimated from their products, and the posterior they give."""
