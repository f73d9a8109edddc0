"""Starts the worker (see `process`) by this file's path: `python .../InvDetectLib/worker/__main__.py --folder DIR --parent PID`.

A Python outside of Slicer does not find the package by its name, so the package's own place is put on the path here.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))
    # Python puts this file's folder first, where the rooms of the wing would hide packages of the same names.
    root = os.path.dirname(os.path.dirname(here))
    sys.path[:] = [root, *(path for path in sys.path if os.path.abspath(path or os.curdir) != here)]
    from InvDetectLib.worker.process import main

    main()
