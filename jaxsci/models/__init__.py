"""Models: each module has a frozen `Config`, `init(key, config)`, `apply(params, x, config)` on ONE example, and `model(config)`."""
