"""What it costs to train on several devices, and what it would cost on many."""
