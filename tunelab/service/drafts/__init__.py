"""From a file of data to a study file that says why each of its lines is as it is.

``columns`` gives each column its part, ``missing``, ``plan`` and ``budget`` decide the rest of the
``draft``, ``page`` writes it down, and ``writing`` tries the result out before it appears.
"""

from __future__ import annotations

from tunelab.service.drafts.writing import Written, list_columns, write_study_file

__all__ = ["Written", "list_columns", "write_study_file"]
