"""Whether MLflow answers clients that call it by its service's name; exit code 1 if not.

``/health`` says 200 also to those that the server turns away with 403 for the name they used, and
while its database is gone. This asks for experiments, as the mirror does.
"""

from __future__ import annotations

import sys
import urllib.request

URL = "http://mlflow:5000/api/2.0/mlflow/experiments/search?max_results=1"


def main() -> None:
    """Ask for one experiment."""
    try:
        with urllib.request.urlopen(URL, timeout=10) as response:
            response.read()
    except OSError as error:  # refused, timed out, and every status but 2xx
        sys.exit(f"{URL}: {error}")


if __name__ == "__main__":
    main()
