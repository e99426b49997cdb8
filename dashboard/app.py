"""Entry for `streamlit run dashboard/app.py [-- STORE]`; `tradinghf dashboard` does the same."""

import os
import sys
from pathlib import Path

from streamlit.starlette import App

from tradinghf.serving import app_arguments

if len(sys.argv) > 1:
    os.environ["TRADINGHF_STORE"] = sys.argv[1]

app = App(Path(__file__).with_name("router.py"), **app_arguments())
