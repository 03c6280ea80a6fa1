"""Runs another program as a client that is one release newer than all known ones.

The first argument is the program. The others are that program's arguments.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import prefect

prefect.__version__ = "3.99.0"

if __name__ == "__main__":
    program = Path(__file__).parent / sys.argv.pop(1)
    runpy.run_path(str(program), run_name="__main__")
