"""The background daemon (`dora up`): hosts dataflows that outlive the terminal."""
