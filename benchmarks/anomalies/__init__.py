"""Anomaly detectors in both directions, over all jets and at equal mass, beside the mass alone and the number alone."""
