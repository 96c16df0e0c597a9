"""Somebody who asks for an app all the time."""

from __future__ import annotations

import http.client
import threading

from support.server import Paas

PAUSE_SECONDS = 0.01


class Visitor:
    """While the block runs: `asked` counts requests, `failures` says which were not answered well."""

    def __init__(self, paas: Paas, app: str) -> None:
        self.paas, self.app = paas, app
        self.failures: list[str] = []
        self.asked = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Visitor:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(PAUSE_SECONDS):
            self.asked += 1
            try:
                status = self.paas.http_get(self.app).status
                if status != 200:
                    self.failures.append(str(status))
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
