"""The command `jaxsci`."""
