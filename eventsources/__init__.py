"""What happens in the world, as CloudEvents on the bus. One module per spec key under `sources`."""
