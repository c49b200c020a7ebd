#!/usr/bin/env python3
"""A report in headless Chromium: it loads without a word on the console, sorts, filters, redraws its heat map, can be
walked with the keyboard, and is not blank in light or dark. So does a page of two runs, with its overview and the table
in which they stand side by side.

    tests/browser/page_test.py [--screenshots FOLDER]      $STAMP_BIN_DIR: where `stamp` lies

Ends with 77 ("skipped") where there is no Chromium. It is driven through its debugging pipe, with nothing but Python's
own library.
"""

import argparse
import base64
import gzip
import json
import os
import pathlib
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
SKIPPED = 77
RUN = "quickstart"
PAIR = ("llm_table2", "llm_table2_gemma-3-270m")  # one experiment on two models: their tokenizers differ, the text does not


class Browser:
    """Chromium at the other end of two pipes: JSON messages, each ended by a zero byte."""

    def __init__(self, program, folder):
        to_browser, self.write_end = os.pipe()
        self.read_end, from_browser = os.pipe()

        def connect():  # the program expects them as descriptors 3 and 4
            source, sink = os.dup(to_browser), os.dup(from_browser)
            os.dup2(source, 3)
            os.dup2(sink, 4)

        self.process = subprocess.Popen(
            [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
             "--remote-debugging-pipe", f"--user-data-dir={folder}", "--no-first-run", "--force-color-profile=srgb", "about:blank"],
            preexec_fn=connect, close_fds=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self.rest, self.number, self.events, self.session = b"", 0, [], None

    def receive(self, seconds):
        deadline = time.monotonic() + seconds
        while b"\0" not in self.rest:
            if not select.select([self.read_end], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError(f"the browser said nothing for {seconds} s")
            part = os.read(self.read_end, 1 << 16)
            if not part:
                raise RuntimeError("the browser ended")
            self.rest += part
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, seconds=60, **params):
        self.number += 1
        request = {"id": self.number, "method": method, "params": params}
        if self.session:
            request["sessionId"] = self.session
        data = json.dumps(request).encode() + b"\0"
        while data:
            data = data[os.write(self.write_end, data):]
        while True:
            message = self.receive(seconds)
            if message.get("id") == self.number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message.get("result", {})
            self.events.append(message)

    def wait_for(self, event, seconds=60):
        while not any(e.get("method") == event for e in self.events):
            self.events.append(self.receive(seconds))

    def open_page(self):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def load(self, url, dark=False, scripts=True, width=1280, height=900):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.events.clear()
        self.call("Page.navigate", url=url)
        self.wait_for("Page.loadEventFired")

    def run(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def key(self, name):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=name)

    def screenshot(self, whole=False):
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        more = {"clip": clip, "captureBeyondViewport": True} if whole else {}
        return base64.b64decode(self.call("Page.captureScreenshot", format="png", **more)["data"])

    def complaints(self):
        """What the page said on the console, and whatever it asked of a network."""
        out = []
        for event in self.events:
            method, params = event.get("method"), event.get("params", {})
            if method == "Runtime.exceptionThrown" or (method == "Runtime.consoleAPICalled" and params.get("type") in ("error", "warning")):
                out.append(json.dumps(params)[:400])
            if method == "Log.entryAdded":
                out.append(params["entry"]["text"])
            if method == "Network.requestWillBeSent" and not params["request"]["url"].startswith(("file:", "data:")):
                out.append("asked for " + params["request"]["url"])
        return out

    def close(self):
        try:
            self.session = None
            self.call("Browser.close", seconds=10)
            self.process.wait(timeout=10)
        except (RuntimeError, TimeoutError, OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()


def pixels(png):
    """Rows of an 8-bit RGB or RGBA picture, as bytes; enough of the format for a browser's screenshots."""
    width, height, depth, colour = struct.unpack(">IIBB", png[16:26])
    assert depth == 8 and colour in (2, 6), (depth, colour)
    size, data, at = (3 if colour == 2 else 4), b"", 8
    while at < len(png):
        length = struct.unpack(">I", png[at:at + 4])[0]
        if png[at + 4:at + 8] == b"IDAT":
            data += png[at + 8:at + 8 + length]
        at += length + 12
    raw, stride, before, rows = zlib.decompress(data), width * size, bytearray(width * size), []
    for y in range(height):
        kind, line = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1:(y + 1) * (stride + 1)])
        for i in range(stride):
            left, up, corner = (line[i - size] if i >= size else 0), before[i], (before[i - size] if i >= size else 0)
            if kind == 1:
                line[i] = (line[i] + left) & 255
            elif kind == 2:
                line[i] = (line[i] + up) & 255
            elif kind == 3:
                line[i] = (line[i] + (left + up) // 2) & 255
            elif kind == 4:
                guess = left + up - corner
                best = min((abs(guess - left), 0, left), (abs(guess - up), 1, up), (abs(guess - corner), 2, corner))[2]
                line[i] = (line[i] + best) & 255
        rows.append(bytes(line))
        before = line
    return rows, size


def brightness_and_colours(png):
    rows, size = pixels(png)
    seen, total, n = set(), 0, 0
    for row in rows[::7]:
        for x in range(0, len(row), size * 5):
            colour = row[x:x + 3]
            seen.add(colour)
            total += sum(colour)
            n += 3
    return total / n, len(seen)


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def check_sorting(browser, column_of):
    column = column_of("perplexity")
    click = f"document.querySelectorAll('#r0-trials-table thead th')[{column}].querySelector('button').click()"
    keys = f"[...document.querySelectorAll('#r0-trials-table tbody tr')].map(r => r.cells[{column}].dataset.key)"
    plan = browser.run(keys)
    browser.run(click)
    up = [float(k) for k in browser.run(keys)]
    check(up == sorted(up) and len(up) == len(plan), f"ascending: {up}")
    check(browser.run(f"document.querySelectorAll('#r0-trials-table thead th')[{column}].getAttribute('aria-sort')") == "ascending", "aria-sort")
    browser.run(click)
    down = [float(k) for k in browser.run(keys)]
    check(down == sorted(down, reverse=True), f"descending: {down}")


def check_filtering(browser, column_of):
    shown = "[...document.querySelectorAll('#r0-trials-table tbody tr')].filter(r => !r.hidden).length"
    everything = browser.run(shown)
    browser.run("(() => { const f = document.getElementById('r0-filter'); f.value = 'quarot haar'; f.dispatchEvent(new Event('input')); })()")
    check(browser.run(shown) == 1, f"'quarot haar' leaves {browser.run(shown)} rows")
    check(browser.run("document.getElementById('r0-count').textContent") == f"1 of {everything} trials", "the count")
    browser.run("document.getElementById('r0-clear').click()")
    check(browser.run(shown) == everything, "clear shows all rows again")
    method = column_of("method")
    browser.run(f"(() => {{ const s = document.querySelector('#r0-trials select[data-column=\"{method}\"]'); s.value = 'rtn'; s.dispatchEvent(new Event('change')); }})()")
    check(0 < browser.run(shown) < everything, "a select narrows the table")
    check(browser.run(f"[...document.querySelectorAll('#r0-trials-table tbody tr')].filter(r => !r.hidden).every(r => r.cells[{method}].dataset.key === 'rtn')"), "to its value")


def check_heat_map(browser):
    before = browser.run("document.querySelector('#r0-heat-table tbody').textContent")
    browser.run("(() => { const s = document.getElementById('r0-heat-measure'); s.selectedIndex = 2; s.dispatchEvent(new Event('change')); })()")
    after = browser.run("document.querySelector('#r0-heat-table tbody').textContent")
    check(before != after, "another measure redraws the cells")
    check("SQNR" in browser.run("document.querySelector('#r0-heat-table caption').textContent"), "and the caption")
    browser.run("document.querySelector('#r0-heat-table td').focus()")
    browser.key("ArrowDown")
    browser.key("ArrowRight")
    place = browser.run("[document.activeElement.parentElement.sectionRowIndex, document.activeElement.cellIndex]")
    check(place == [1, 2], f"arrow keys lead to {place}")
    check("layer 1" in browser.run("document.getElementById('r0-heat-readout').textContent"), "the cell is read out")
    check(browser.run("document.querySelectorAll('#r0-heat-table td[tabindex=\"0\"]').length") == 1, "one stop of the tab key")


def check_static_heat_is_scripted_heat(browser, url):
    """The first picture is made twice, by the program and by the script; both must agree."""
    cells = "JSON.stringify([...document.querySelectorAll('#r0-heat-table tbody td')].map(c => [c.className, c.textContent]))"
    with_script = json.loads(browser.run(cells))
    source = pathlib.Path(url.removeprefix("file://")).read_text(encoding="utf-8")
    static = browser.run("(async () => 0)() && JSON.stringify([...new DOMParser().parseFromString("
                         + json.dumps(source) + ", 'text/html').querySelectorAll('#r0-heat-table tbody td')].map(c => [c.className, c.textContent]))")
    for theirs, ours in zip(json.loads(static), with_script):
        check(theirs[0] == ours[0], f"shade {theirs} against {ours}")
        a, b = (float(t[1]) if t[1] else None for t in (theirs, ours))
        check(a == b or abs(a - b) <= 0.006 * abs(a), f"value {theirs} against {ours}")


def check_overview(browser):
    rows = "[...document.querySelectorAll('#overview-table tbody tr')]"
    heads = browser.run("[...document.querySelectorAll('#overview-table thead th')].map(h => h.textContent)")
    names = f"{rows}.map(r => r.cells[0].textContent)"
    check(browser.run(names) == list(PAIR), f"the rows of the overview: {browser.run(names)}")
    check(browser.run(f"{rows}.every(r => document.querySelector(r.cells[0].querySelector('a').getAttribute('href')).tagName === 'ARTICLE')"),
          "every row leads to its run")
    column = heads.index("best")
    button = f"document.querySelectorAll('#overview-table thead th')[{column}].querySelector('button')"
    browser.run(f"{button}.focus()")
    check(browser.run(f"document.activeElement === {button}"), "the heads can be reached with the keyboard")
    keys = f"{rows}.map(r => Number(r.cells[{column}].dataset.key))"
    browser.run(f"{button}.click()")
    check(browser.run(keys) == sorted(browser.run(keys)), f"best values, ascending: {browser.run(keys)}")
    browser.run("(() => { const f = document.getElementById('overview-filter'); f.value = 'gemma'; f.dispatchEvent(new Event('input')); })()")
    check(browser.run("document.getElementById('overview-count').textContent") == "1 of 2 runs", "the count of runs")
    browser.run("document.getElementById('overview-clear').click()")
    check(browser.run("document.getElementById('overview-count').textContent") == "2 runs", "clear shows both runs")


def check_side_by_side(browser):
    rows = "[...document.querySelectorAll('#beside0-table tbody tr')]"
    heads = browser.run("[...document.querySelectorAll('#beside0-table thead th')].map(h => h.textContent)")
    values = [i for i, head in enumerate(heads) if "n = 4 windows" in head]
    check(len(values) == 2 and all(heads[i + 1].startswith("\u0394 identity") for i in values), f"the heads: {heads}")
    everything = browser.run(f"{rows}.length")
    method = heads.index("method")
    browser.run("(() => { const s = document.getElementById('beside0-f-method'); s.value = 'rtn'; s.dispatchEvent(new Event('change')); })()")
    left = browser.run(f"{rows}.filter(r => !r.hidden).map(r => r.cells[{method}].textContent)")
    check(0 < len(left) < everything and set(left) == {"rtn"}, f"the select leaves {left}")
    browser.run("document.getElementById('beside0-clear').click()")
    click = f"document.querySelectorAll('#beside0-table thead th')[{values[1] + 1}].querySelector('button').click()"
    browser.run(click)
    keys = [k for k in browser.run(f"{rows}.map(r => r.cells[{values[1] + 1}].dataset.key)")]
    numbers = [float(k) for k in keys if k]
    check(len(numbers) > 3 and numbers == sorted(numbers) and keys[:len(numbers)] == [k for k in keys if k],
          f"changes ascending, rows without one last: {keys}")


def make_pair(folder):
    """Committed results, read as they are."""
    stamp = pathlib.Path(os.environ.get("STAMP_BIN_DIR", ROOT / "build" / "bin")) / "stamp"
    page = folder / "pair.html"
    subprocess.run([stamp, "report", *(ROOT / "results" / name for name in PAIR), "--output", page], check=True,
                   env={**os.environ, "STAMP_CONFIGS": str(ROOT / "configs")})
    return "file://" + str(page)


def check_pair(browser, url, screenshots):
    for dark in (False, True):
        browser.load(url, dark)
        check(not browser.complaints(), f"the page of two runs complains: {browser.complaints()}")
        light, colours = brightness_and_colours(browser.screenshot())
        check(colours > 30, f"the {'dark' if dark else 'light'} overview is blank: {colours} colours")
        check(light < 90 if dark else light > 180, f"brightness {light:.0f} of the overview in {'dark' if dark else 'light'}")
        if screenshots:
            (screenshots / f"pair-{'dark' if dark else 'light'}.png").write_bytes(browser.screenshot())
    browser.load(url)
    check_overview(browser)
    check_side_by_side(browser)
    check(not browser.complaints(), f"the page of two runs complains: {browser.complaints()}")
    browser.load(url, width=400)
    check(browser.run("document.documentElement.scrollWidth <= innerWidth + 1"), "a narrow overview scrolls sideways only in its tables")


def make_page(folder):
    run = folder / RUN
    run.mkdir()
    for name in ("plan.json", "records.jsonl"):
        (run / name).write_bytes(gzip.decompress((ROOT / "results" / RUN / f"{name}.gz").read_bytes()))
    shutil.copytree(ROOT / "results" / RUN / "plots", run / "plots")
    stamp = pathlib.Path(os.environ.get("STAMP_BIN_DIR", ROOT / "build" / "bin")) / "stamp"
    subprocess.run([stamp, "report", run], check=True, env={**os.environ, "STAMP_CONFIGS": str(ROOT / "configs")})
    return "file://" + str(run / "report.html")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--screenshots", type=pathlib.Path)
    arguments = parser.parse_args()
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not program:
        print("skipped: no Chromium on this machine (Debian's package chromium)")
        return SKIPPED
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        url, pair = make_page(folder), make_pair(folder)
        browser = Browser(program, folder / "profile")
        try:
            browser.open_page()
            for dark in (False, True):
                browser.load(url, dark)
                check(not browser.complaints(), f"the page complains: {browser.complaints()}")
                light, colours = brightness_and_colours(browser.screenshot())
                check(colours > 30, f"the {'dark' if dark else 'light'} page is blank: {colours} colours")
                check(light < 90 if dark else light > 180, f"brightness {light:.0f} in {'dark' if dark else 'light'}")
                if arguments.screenshots:
                    arguments.screenshots.mkdir(parents=True, exist_ok=True)
                    (arguments.screenshots / f"{'dark' if dark else 'light'}.png").write_bytes(browser.screenshot(whole=True))
            browser.load(url)
            heads = browser.run("[...document.querySelectorAll('#r0-trials-table thead th')].map(h => h.textContent)")
            check_static_heat_is_scripted_heat(browser, url)
            check_sorting(browser, heads.index)
            check_filtering(browser, heads.index)
            check_heat_map(browser)
            check(browser.run("document.querySelectorAll('article .trial').length") == 9, "details of nine trials")
            check(not browser.complaints(), f"the page complains: {browser.complaints()}")
            browser.load(url, width=400)
            check(browser.run("document.documentElement.scrollWidth <= innerWidth + 1"), "a narrow page scrolls sideways only in its tables")
            browser.load(url, scripts=False)
            check(brightness_and_colours(browser.screenshot())[1] > 30, "without scripts the page is blank")
            check_pair(browser, pair, arguments.screenshots)
        finally:
            browser.close()
    print("a report loads, sorts, filters and redraws in", program)
    return 0


if __name__ == "__main__":
    sys.exit(main())
