"""The sphere: sky maps in HEALPix pixels and the relief of a planet."""
