"""What the user wrote (YAML) and what it will become (a plan). Pure but for `source`."""
