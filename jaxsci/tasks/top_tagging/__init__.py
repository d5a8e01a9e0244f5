"""Top-quark jets against QCD jets (arXiv:1902.09914)."""
