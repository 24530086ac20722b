"""Mermaid, which GitHub draws the diagrams of a summary with: the package from npm, in a headless Chromium."""

import html
import json
import subprocess
import tarfile
from pathlib import Path

from tests.support.programs import missing, needed

PACKAGE = "mermaid@12.3.0"
SECONDS = 120.0
PAGE = """<meta charset=utf-8><body style="background: white; width: 1000px"><div id=pictures></div>
<pre id=answers></pre><script src=mermaid.min.js></script><script>
const texts = %s, answers = [];
mermaid.initialize({startOnLoad: false});
(async () => {
  for (const [index, text] of texts.entries()) {
    try {
      const {svg} = await mermaid.render('picture' + index, text);
      const picture = document.createElement('div');
      document.getElementById('pictures').append(picture);
      picture.innerHTML = svg;
      answers.push([...picture.querySelectorAll('text')].map(one => one.textContent.trim()));
    } catch (error) {
      answers.push('error: ' + error);
    }
  }
  document.getElementById('answers').textContent = JSON.stringify(answers);
})();
</script>"""


def library(folder: Path) -> None:
    """Put Mermaid's script into the folder; skip the test where npm cannot get it."""
    call = subprocess.run(
        [needed("npm"), "pack", "--silent", PACKAGE], cwd=folder, capture_output=True, timeout=SECONDS, check=False
    )
    if call.returncode:
        missing(f"npm cannot get {PACKAGE}")
    (package,) = folder.glob("*.tgz")
    with tarfile.open(package) as files:
        found = files.extractfile("package/dist/mermaid.min.js")
        assert found
        (folder / "mermaid.min.js").write_bytes(found.read())
    package.unlink()


def rendered(folder: Path, texts: list[str]) -> list[list[str] | str]:
    """Return for each diagram the words in its picture, or the error; the folder holds the library."""
    chromium = needed("chromium")
    page = folder / "page.html"
    page.write_text(PAGE % json.dumps(texts).replace("</", "<\\/"))
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--window-size=1040,1400")
    call = subprocess.run(
        [chromium, *options, f"--user-data-dir={folder / 'profile'}", "--dump-dom", f"file://{page}"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    answers = call.stdout.partition('<pre id="answers">')[2].partition("</pre>")[0]
    found: list[list[str] | str] = json.loads(html.unescape(answers))
    return found
