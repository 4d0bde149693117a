"""Headless Chromium by its DevTools protocol: opens a page, gives it a file, waits for a text, takes a picture."""

import base64
import contextlib
import json
import pathlib
import shutil
import subprocess
import time
import urllib.request

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Browser:
    """A tab; `requested` has the address of everything that it has asked for."""

    def __init__(self, socket):
        self._socket, self._number, self.requested = socket, 0, []
        self.call("Network.enable")

    def call(self, method, **params):
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": params}))
        while True:
            answer = json.loads(self._socket.recv(timeout=60))
            if answer.get("method") == "Network.requestWillBeSent":
                self.requested.append(answer["params"]["request"]["url"])
            if answer.get("id") == self._number:
                return answer.get("result", answer)

    def open(self, address, width=1280, height=1500):
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call("Page.navigate", url=address)

    def value(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return answer.get("result", {}).get("value")

    def wait_for(self, text, seconds=60):
        """The page's text, once it holds the text waited for."""
        end = time.monotonic() + seconds
        while text not in (shown := self.value("document.body ? document.body.innerText : ''") or ""):
            assert time.monotonic() < end, f"{text!r} is not on the page: {shown[:2000]}"
            time.sleep(0.3)
        return shown

    def give_file(self, path, selector="input[type=file]"):
        root = self.call("DOM.getDocument", depth=-1, pierce=True)["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", files=[str(path)], nodeId=node)

    def screenshot(self, path):
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
        pathlib.Path(path).write_bytes(base64.b64decode(data))


@contextlib.contextmanager
def browser(folder):
    """A `Browser` whose profile lies in the folder; it ends with the block."""
    from websockets.sync.client import connect

    flags = ["--headless", "--no-sandbox", "--remote-debugging-port=0", "--remote-allow-origins=*"]
    command = [CHROMIUM, *flags, f"--user-data-dir={folder}", "--allow-file-access-from-files", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port, end = pathlib.Path(folder, "DevToolsActivePort"), time.monotonic() + 30
        while not (port.exists() and port.read_text().strip()):
            assert time.monotonic() < end, "Chromium does not start"
            time.sleep(0.1)
        with urllib.request.urlopen(f"http://127.0.0.1:{port.read_text().split()[0]}/json") as answer:
            tab = next(tab for tab in json.load(answer) if tab["type"] == "page")
        with connect(tab["webSocketDebuggerUrl"], max_size=2**28) as socket:
            yield Browser(socket)
    finally:
        process.terminate()
        process.wait(10)
