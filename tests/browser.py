"""A real headless Chromium, driven over its DevTools pipe; no library is needed for it.

``python browser.py PAGE.html PICTURE.png [WIDTH HEIGHT]`` takes a picture of the top of a page.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
)
_READS, _WRITES = 3, 4
"""File descriptors on which Chromium expects requests and gives answers; messages end in a zero byte."""
_TROUBLE = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded", "Network.loadingFailed")


def chromium() -> str | None:
    return next((path for path in map(shutil.which, _NAMES) if path), None)


@dataclass
class Page:
    """One tab. ``trouble`` holds what its console showed, ``fetched`` every address it asked for."""

    requests: int
    answers: int
    session: str = ""
    trouble: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)
    _number: int = 0
    _rest: bytes = b""

    def show(self, file: Path, *, width: int, height: int = 900, dark: bool = False, scripts: bool = True) -> None:
        """Load ``file`` afresh, as a screen of ``width`` shows it."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        phone = width < 600
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.call("Page.navigate", url=file.resolve().as_uri())
        self._await("Page.loadEventFired")

    def evaluate(self, expression: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"the page refused {expression!r}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def picture(self, *, whole: bool = False) -> bytes:
        """A PNG of the screen, or of the whole page."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"])

    def pdf(self) -> bytes:
        return base64.b64decode(self.call("Page.printToPDF", printBackground=False)["data"])

    def call(self, method: str, **params: object) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.requests, data) :]
        while (answer := self._next()).get("id") != self._number:
            self._note(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    def _await(self, event: str) -> None:
        while (answer := self._next()).get("method") != event:
            self._note(answer)

    def _note(self, event: dict[str, Any]) -> None:
        if event.get("method") in _TROUBLE:
            self.trouble.append(json.dumps(event["params"]))
        if event.get("method") == "Network.requestWillBeSent":
            self.fetched.append(event["params"]["request"]["url"])

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = os.read(self.answers, 1 << 20)
            if not part:
                raise RuntimeError("Chromium ended")
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer


@contextmanager
def opened(program: str) -> Iterator[Page]:
    """A fresh browser without a past, gone afterwards."""
    from_us, requests = os.pipe()
    answers, to_us = os.pipe()
    profile = tempfile.mkdtemp(prefix="chromium-")
    words = [program, *_FLAGS, f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"]
    # Moved out of the way first: the pipes' own numbers may be the ones that Chromium asks for.
    far = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _WRITES + 1) for end in (from_us, to_us)]
    child = os.posix_spawn(
        program,
        words,
        {**os.environ, "HOME": profile},
        file_actions=[
            (os.POSIX_SPAWN_DUP2, far[0], _READS),
            (os.POSIX_SPAWN_DUP2, far[1], _WRITES),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ],
        setpgroup=0,
    )
    for end in (from_us, to_us, *far):
        os.close(end)
    try:
        yield _first_page(requests, answers)
    finally:
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(requests)
        os.close(answers)
        shutil.rmtree(profile, ignore_errors=True)


def _first_page(requests: int, answers: int) -> Page:
    page = Page(requests, answers)
    target = page.call("Target.createTarget", url="about:blank")["targetId"]
    page.session = page.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    for domain in ("Page", "Runtime", "Log", "Network"):
        page.call(f"{domain}.enable")
    return page


def main(page_file: str, picture: str, width: str = "1120", height: str = "1500") -> None:
    program = chromium()
    if program is None:
        sys.exit("Chromium is missing: apt-get install chromium")
    with opened(program) as page:
        page.show(Path(page_file), width=int(width), height=int(height))
        Path(picture).write_bytes(page.picture())


if __name__ == "__main__":
    main(*sys.argv[1:])
