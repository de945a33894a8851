"""``python -m tunelab`` is the same program as ``tunelab``."""

from tunelab.cli import main

if __name__ == "__main__":
    main()
