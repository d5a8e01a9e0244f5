"""Sweeps: many trainings of one task with other options, of which the validation part chooses."""
