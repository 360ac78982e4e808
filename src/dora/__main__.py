"""`python -m dora`: the command `dora` of this very Python."""

import sys

from dora.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
