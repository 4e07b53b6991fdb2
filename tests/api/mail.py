"""A mail server of the tests, and how Airflow's own notifier reaches it."""

import json
import socketserver
import threading
import time
from email import message_from_bytes
from email.policy import default
from typing import Self

SMTP = "airflow.providers.smtp.notifications.smtp.SmtpNotifier"
WORDS = {"to": "ops@example.org", "from_email": "airflow@example.org", "subject": "{subject}", "html_content": "{html}"}


class Mail(socketserver.ThreadingTCPServer):
    """A mail server that keeps what it gets; `silent` accepts connections and says nothing."""

    allow_reuse_address = daemon_threads = True
    silent = False

    def __init__(self) -> None:
        self.got = []
        super().__init__(("127.0.0.1", 0), Session)

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class Session(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        if self.server.silent:
            time.sleep(20)
            return
        self.say(b"220 test")
        while line := self.rfile.readline():
            word = line[:4].upper()
            if word == b"DATA":
                self.say(b"354 go on")
                lines = []
                while (part := self.rfile.readline()) != b".\r\n":
                    lines.append(part)
                self.server.got.append(message_from_bytes(b"".join(lines), policy=default))
            self.say(b"221 bye" if word == b"QUIT" else b"250 ok")
            if word == b"QUIT":
                return

    def say(self, line: bytes) -> None:
        self.wfile.write(line + b"\r\n")


def connection(mail: Mail) -> str:
    """Airflow's connection to the server, as the variable AIRFLOW_CONN_SMTP_DEFAULT."""
    extra = {"disable_tls": True, "disable_ssl": True, "timeout": 5, "retry_limit": 1}
    return json.dumps({"conn_type": "smtp", "host": "127.0.0.1", "port": mail.server_address[1], "extra": extra})
