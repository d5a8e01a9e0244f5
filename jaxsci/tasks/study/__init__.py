"""What the gradients of a trained network say, on one page: the same parts for every task that has a `Subject` for them."""
