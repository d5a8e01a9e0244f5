"""Whether what gradients say is true, by trainings and by exact numbers."""
