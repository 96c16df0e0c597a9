"""The web process: says hello, its process id's container and what it was configured with."""

import os
import socket

from flask import Flask

app = Flask(__name__)


@app.get("/")
def hello() -> dict[str, str]:
    return {"hello": os.environ.get("GREETING", "world"), "container": socket.gethostname()}
