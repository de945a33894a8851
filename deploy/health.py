"""Whether this container gets into the study database and may write to it; exit code 1 if not.

Nothing is changed: the row that is written is taken back.
"""

from __future__ import annotations

import sys
from contextlib import closing

from tunelab.errors import TunelabError
from tunelab.storage.engine import Database
from tunelab.storage.health import check_writable
from tunelab.storage.location import database_url


def main() -> None:
    """Write a row and take it back."""
    try:
        with closing(Database(database_url())) as database:
            check_writable(database)
    except TunelabError as error:
        sys.exit(error.message)


if __name__ == "__main__":
    main()
