"""The report on a study: one HTML file that is read without network and without scripts.

- ``material``: what is read from the database, in one transaction.
- ``answer``, ``leaderboard``: the first screens; ``charts``: the pictures, as SVG.
- ``page``: all of it in ``page.html``; ``writing``: the file.
"""

from tunelab.service.reports.writing import write_report

__all__ = ["write_report"]
