"""`python gate.py OPTIONS...`: `tradinghf gate`, whose every answer is a job well done.

Its exit code tells answers apart (3: keep the baseline, 4: not enough evidence); of a job it would
say that it failed.
"""

import sys

from tradinghf.cli import main

ANSWERS = (0, 3, 4)

if __name__ == "__main__":
    code = main(["gate", *sys.argv[1:]])
    sys.exit(0 if code in ANSWERS else code)
