"""releases.py DIRECTORY LOG: a server of releases on the loopback interface. The first part of a path selects how it behaves.

Prints its port. Writes the path of every request to LOG.
"""

import http.server
import pathlib
import sys

directory, log = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])


class Releases(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with log.open("a") as lines:
            lines.write(self.path + "\n")
        _, behaviour, rest = self.path.split("/", 2)
        getattr(self, behaviour)(rest)

    def good(self, rest):
        file = directory / rest
        if file.is_file():
            self.answer(file.read_bytes())
        else:
            self.send_error(404)

    def lies(self, rest):
        """Delivers another program of the same size."""
        data = bytearray((directory / rest).read_bytes())
        data[len(data) // 2] ^= 1
        self.answer(bytes(data))

    def truncates(self, rest):
        """Closes the connection in the middle."""
        data = (directory / rest).read_bytes()
        self.answer(data[: len(data) // 2], length=len(data))

    def shortens(self, rest):
        """Delivers half of the program as if it were all of it."""
        data = (directory / rest).read_bytes()
        self.answer(data[: len(data) // 2])

    def empties(self, _):
        self.answer(b"")

    def pages(self, _):
        """Delivers a page instead of a program, as a login page of a network does."""
        self.answer(b"<html>Please log in</html>")

    def redirects(self, rest):
        self.redirect("/good/" + rest)

    def circles(self, rest):
        self.redirect("/circles/" + rest)

    def leads(self, _):
        """Redirects to a local file."""
        self.redirect("file:///bin/true")

    def escapes(self, _):
        """Sends control characters in its status line."""
        self.wfile.write(b"HTTP/1.0 500 \x1b]0;owned\x07\x1b[31m\r\n\r\n")

    def floods(self, _):
        """Delivers bytes until the client closes the connection."""
        self.send_response(200)
        self.end_headers()
        try:
            # More than install.sh accepts, but not endless.
            for _ in range(1000):
                self.wfile.write(bytes(100_000))
        except OSError:
            return

    def waits(self, _):
        """Sends a part, and nothing more until the client closes the connection."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"part")
        self.wfile.flush()
        self.rfile.read(1)

    def answer(self, data, length=None):
        self.send_response(200)
        self.send_header("Content-Length", str(len(data) if length is None else length))
        self.end_headers()
        self.wfile.write(data)

    def redirect(self, place):
        self.send_response(302)
        self.send_header("Location", place)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Releases)
print(server.server_port, flush=True)
server.serve_forever()
