"""Looking at dataflows from outside, while they run and afterwards. Nothing here disturbs them."""
