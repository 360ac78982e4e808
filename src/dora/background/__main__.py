"""The process of the background daemon: `python -m dora.background`, started by `spawn`."""

import sys

from dora.background.coming_up import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
