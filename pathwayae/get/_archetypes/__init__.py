"""Tables of archetypal analysis."""
