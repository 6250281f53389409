"""Tools of archetypal analysis."""
