"""Our Particle Flow Network and ParticleNet against EnergyFlow's and weaver's, on the same jets and inputs."""
