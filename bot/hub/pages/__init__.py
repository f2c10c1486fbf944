"""HTML to read the forge and to comment. No JavaScript; whatever people wrote is made safe."""
