"""Layer 4: looking at running dataflows."""
