"""Drills: break the system on purpose, and count what was lost.

    python -m tradinghf.drill                      # the list
    python -m tradinghf.drill submit-kill          # short, seconds
    python -m tradinghf.drill submit-kill --full   # what docs/reliability.md reports, minutes

Everything happens in a folder that is removed afterwards; no running store or training is touched.
"""
