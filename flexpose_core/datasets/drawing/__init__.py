"""What drawn datasets share: cameras, meshes, backdrops, light and the painter."""
