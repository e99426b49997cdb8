"""`python strangers.py URL`: strangers who try to sign in without end, for the drill of a flood."""

from __future__ import annotations

import http.client
import os
import sys
import threading
import urllib.parse

STRANGERS = 60
PATIENCE = 150.0  # [s]


def sign_in(url: str, name: str) -> None:
    """Try a wrong password, and wait for the answer."""
    form = urllib.parse.urlencode({"name": name, "password": "wrong-password-xx"}).encode()
    kind = {"Content-Type": "application/x-www-form-urlencoded", "Origin": url}
    # Passwords are checked by a thread that gives way: on a busy machine it takes its time.
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=PATIENCE)
    try:
        connection.request("POST", "/login", form, kind)
        connection.getresponse().read()
    finally:
        connection.close()


def main(url: str) -> None:
    """Try until the input is closed; then say how often."""
    os.nice(5)
    over, tries = threading.Event(), list[int]()

    def loop() -> None:
        while not over.is_set():
            try:
                sign_in(url, "nobody")
            except (OSError, http.client.HTTPException):
                continue
            tries.append(1)

    for _ in range(STRANGERS):
        threading.Thread(target=loop, daemon=True).start()
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    sys.stdin.read()
    over.set()
    sys.stdout.write(f"{len(tries)}\n")
    sys.stdout.flush()
    os._exit(0)  # threads may wait for an answer


if __name__ == "__main__":
    main(sys.argv[1])
