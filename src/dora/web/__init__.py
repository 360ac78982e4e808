"""Layer 6: the web page that looks into running dataflows."""
