"""The before_release command; MIGRATION=fail makes it fail."""

import os
import sys

if os.environ.get("MIGRATION") == "fail":
    sys.exit("migrate: the table is locked")
print("migrate: nothing to do")
