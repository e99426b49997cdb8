"""Drills: break the system on purpose, and count what was lost.

    python tests/drills                      # the list
    python tests/drills submit-kill          # short, seconds
    python tests/drills submit-kill --full   # what docs/reliability.md reports, minutes

Everything happens in a folder that is removed afterwards; no running store or training is touched.
"""
