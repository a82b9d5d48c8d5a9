"""The site: its pages and, where SCRATCHNN_SITE names a built one, what readers meet.

`scratchnn docs --no-open` builds it; .ci/run does, and then runs these tests again.
"""

import doctest
import http.server
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest

import scratchnn as snn
from scratchnn import cli, plot
from scratchnn.cli import site as command

ROOT = pathlib.Path(__file__).parent.parent
DOCS, LESSONS = ROOT / "docs", sorted((ROOT / "lessons").glob("lesson_*.py"))
sys.path.insert(0, str(DOCS))  # the site's own modules, as Sphinx sees them

import make_api  # noqa: E402
import make_ops  # noqa: E402
import op_pictures  # noqa: E402

SITE = os.environ.get("SCRATCHNN_SITE")
built = pytest.mark.skipif(
    not SITE, reason="SCRATCHNN_SITE names no site; scratchnn docs --no-open builds one"
)
IGNORE = "# sphinx_gallery_start_ignore\n{}\n# sphinx_gallery_end_ignore\n"


# ---- the pages ------------------------------------------------------------------
def test_each_page_is_in_the_table_of_contents_and_each_of_its_entries_exists():
    text = (DOCS / "index.md").read_text(encoding="utf-8")
    entries = re.search(r"```\{toctree\}(.*?)```", text, re.S).group(1).split()
    pages = [e for e in entries if not e.startswith(":")]
    written = {p.stem for p in DOCS.glob("*.md")} - {"index"}
    assert sorted(pages) == sorted(written | {"lessons/index", "api/index"})


def test_what_the_overview_prints_is_what_it_says():
    page = DOCS / "overview.md"
    blocks = re.findall(r"```pycon\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
    examples = doctest.DocTestParser().get_doctest(
        "\n".join(blocks), {}, page.name, str(page), 0
    )
    said = []
    try:
        failed, tried = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(
            examples, out=said.append
        )
    finally:
        snn.TABLE.pop("gauss", None)
    assert tried > 30 and not failed, "".join(said)


def test_the_overview_has_the_six_ideas_and_the_source_that_it_quotes():
    text = (DOCS / "overview.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (\d)\.", text, re.M) == list("123456")
    (quoted,) = re.findall(r"```python\n(.*?)```", text, re.S)
    elementwise = (ROOT / "scratchnn/ops/elementwise.py").read_text(encoding="utf-8")
    assert all(part in elementwise for part in quoted.split("\n\n"))


# ---- pictures of the ops --------------------------------------------------------
def test_an_op_on_single_numbers_has_a_picture_or_a_reason():
    families = snn.ops.elementwise, snn.ops.activation
    ops = {e.name for module in families for e in make_ops.entries(module)}
    pictures, reasons = set(op_pictures.names()), set(op_pictures.NO_PICTURE)
    assert not pictures & reasons
    assert ops == (pictures | reasons) - set(op_pictures.LOSSES)
    page = make_ops.page(op_pictures.markdown)
    for name in pictures:
        assert f"](pictures/{name}.png)" in page
    assert page.count("*No picture: ") == len(reasons)


@pytest.mark.parametrize("name", op_pictures.names())
def test_a_picture_shows_a_function_and_its_slope(name):
    for moved in op_pictures.moving(name):
        x, y, slope, _ = op_pictures.curves(name, moved)
        # Midway between three equal steps the slope is the difference, but for kinks.
        steps = np.diff(x)
        between = np.abs(steps[1:] - steps[:-1]) < 1e-9
        secant = (y[2:] - y[:-2]) / (x[2:] - x[:-2])
        with np.errstate(invalid="ignore"):
            off = np.abs(secant - slope[1:-1]) / (1 + np.abs(secant))
        known = between & np.isfinite(off) & (np.abs(secant) < 20)
        assert known.sum() > 300 and np.mean(off[known] > 1e-3) < 0.02
        assert np.ptp(y[np.isfinite(y)]) > 0


def test_a_picture_of_an_op_of_two_inputs_has_a_panel_for_each():
    figure = op_pictures.draw("divide")
    labels = [axes.get_xlabel() for axes in figure.axes]
    assert labels == ["a     (b = 2)", "b     (a = 1)"]
    y = figure.axes[1].lines[-2].get_ydata()  # 1 / b: no line across the pole
    assert np.isnan(y).any()


# ---- the API --------------------------------------------------------------------
def test_the_api_has_a_page_for_each_model_and_an_entry_for_each_name():
    modules = make_api.modules()
    for file in (ROOT / "scratchnn/models").glob("[a-z]*.py"):
        assert f"scratchnn.models.{file.stem}" in modules
    assert {"Linear", "Module"} <= set(make_api.public("scratchnn.nn"))
    assert "missing_name" not in make_api.public("scratchnn.nn")
    assert {"Tensor", "op", "grad"} <= set(make_api.public("scratchnn"))
    assert not {"exp", "relu"} & set(make_api.public("scratchnn"))  # have a page
    assert set(snn.data.__all__) == {
        *make_api.public("scratchnn.data"),
        *make_api.constants("scratchnn.data"),
    }
    page = make_api.page("scratchnn.optim")
    assert ".. autoclass:: scratchnn.optim.Adam\n" in page


PLAIN = """y = |x| * w_, ||x||_2: as it *looks*, `a_b` is code.

- one *
  and a half
- two

    set in

>>> 1 + 1
2"""


def test_a_docstring_is_read_as_it_looks():
    docutils = pytest.importorskip("docutils.core")
    source = "\n".join(make_api.plain_to_rst(PLAIN))
    quiet = {"report_level": 1, "halt_level": 1}
    text = docutils.publish_string(source, writer="pseudoxml", settings_overrides=quiet)
    text = text.decode()
    assert "y = |x| * w_, ||x||_2: as it *looks*, " in text.replace("\n", " ")
    found = re.findall(r"<(literal|list_item|literal_block|doctest_block)\b", text)
    assert found == ["literal", *["list_item"] * 2, "literal_block", "doctest_block"]


def test_a_name_in_a_docstring_that_sphinx_would_refuse_is_found_here():
    docutils = pytest.importorskip("docutils.core")
    for module in make_api.modules():
        for name in make_api.public(module):
            thing = getattr(sys.modules[module], name)
            source = "\n".join(make_api.plain_to_rst(thing.__doc__ or ""))
            docutils.publish_doctree(
                source, settings_overrides={"halt_level": 2, "report_level": 2}
            )


# ---- lessons --------------------------------------------------------------------
@pytest.mark.parametrize("lesson", LESSONS, ids=lambda p: p.stem)
def test_hidden_lines_of_a_lesson_are_no_part_of_its_text(lesson):
    lines = lesson.read_text(encoding="utf-8").splitlines()
    starts = [i for i, x in enumerate(lines) if x == IGNORE.splitlines()[0]]
    ends = [i for i, x in enumerate(lines) if x == IGNORE.splitlines()[-1]]
    assert len(starts) == len(ends) and all(a < b for a, b in zip(starts, ends))
    for i in starts:
        above = i - 1
        while lines[above].startswith("#") and not lines[above].startswith("# %%"):
            above -= 1
        assert not lines[above].startswith("# %%"), (
            f"{lesson.name}, line {i + 1}: sphinx-gallery takes a comment right after "
            "text for text; put an empty line before it"
        )


class Cell:
    """What sphinx-gallery hands to a scraper, for a cell of this code."""

    def __init__(self, folder, code, names=()):
        from sphinx_gallery.scrapers import ImagePathIterator

        self.content, self.lineno = code, 1
        names = dict(names)
        self.vars = {
            "example_globals": names,
            "src_file": "lesson.py",
            "image_path_iterator": ImagePathIterator(str(folder / "cell_{0:03}.png")),
        }
        self.conf = {"src_dir": str(folder)}


@pytest.fixture
def pages():
    pytest.importorskip("sphinx_gallery")
    import lesson_pages

    return lesson_pages


def test_a_cell_that_ends_with_a_figure_shows_it_twice_as_fine_and_in_words(
    pages, tmp_path
):
    from matplotlib.image import imread

    steps = np.arange(9.0)
    figure = plot.curves({"loss": {"train": (steps, 1 / (1 + steps))}}, "step", "nats")
    cell = Cell(tmp_path, "plot.curves(...)", {"___": figure})
    text = pages.figures(cell, cell.vars, cell.conf)
    assert ":alt: nats; loss; step" in text and "cell_001_2_00x.png 2.00x" in text
    files = "cell_001.png", "cell_001_2_00x.png"
    once, twice = (imread(tmp_path / name).shape[:2] for name in files)
    assert once[1] == 640 and twice == (2 * once[0], 2 * once[1])


def test_a_cell_that_ends_with_anything_else_shows_no_picture(pages, tmp_path):
    figure = plot.new_figure(3, 2)
    left = {"___": figure}  # of an earlier cell
    for code in ("x = 1", "", "def f():\n    pass"):
        cell = Cell(tmp_path, code, left)
        assert pages.figures(cell, cell.vars, cell.conf) == ""
    cell = Cell(tmp_path, "x", {"___": 3})
    assert pages.figures(cell, cell.vars, cell.conf) == ""
    assert not any(tmp_path.iterdir())


def test_a_figure_that_hidden_lines_would_swallow_is_an_error(pages, tmp_path):
    code = "plot.images(x)\n" + IGNORE.format("assert x is not None")
    cell = Cell(tmp_path, code)
    with pytest.raises(ValueError, match="what plot.images draws is not shown"):
        pages.figures(cell, cell.vars, cell.conf)
    before = IGNORE.format("assert x is not None") + "plot.images(x)\n"
    cell = Cell(tmp_path, before, {"___": plot.new_figure(3, 2)})
    assert "cell_001.png" in pages.figures(cell, cell.vars, cell.conf)


TABLE = """Words.

======  =========
symbol  meaning
======  =========
p(x|z)  the
        decoder
x, y    ``a`` here
======  =========

More."""


def test_a_table_of_a_lesson_is_a_table_in_its_notebook(pages):
    assert pages.markdown_tables(TABLE).split("\n")[2:-2] == [
        "| symbol | meaning |",
        "| --- | --- |",
        r"| p(x\|z) | the decoder |",
        "| x, y | ``a`` here |",
    ]
    assert pages.markdown_tables("A title\n=======\n") == "A title\n=======\n"


def test_a_lesson_finds_the_library_as_the_first_one_did(pages):
    rule, kernel = snn.TABLE["exp"].rules, snn.TABLE["relu"].fast
    pages.reset({}, "lesson.py")
    first = snn.random.default_rng().random(3), np.random.rand(3)
    try:
        snn.TABLE["exp"].set_rules(x=lambda g, y, x: g)

        @snn.op
        def swerve(x):
            """x"""
            return x

        swerve.rules(x=lambda g, _y, _x: g)
        snn.kernels.detach()
        snn.no_grad().__enter__()
    finally:
        pages.reset({}, "lesson.py")
    assert snn.TABLE["exp"].rules is rule and "swerve" not in snn.TABLE
    assert (snn.TABLE["relu"].fast is None) == (kernel is None) and snn.is_recording()
    again = snn.random.default_rng().random(3), np.random.rand(3)
    np.testing.assert_array_equal(first, again)


# ---- scratchnn docs -------------------------------------------------------------
def test_docs_says_what_to_install_and_what_it_needs(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(command, "NEEDS", ("sphinx_of_the_future",))
    assert cli.main(["docs", "--no-open"]) == 2
    said = capsys.readouterr().err
    assert "sphinx_of_the_future not installed" in said and "scratchnn[docs]" in said
    monkeypatch.setattr(command, "ROOT", tmp_path)
    assert cli.main(["docs", "--no-open"]) == 2
    assert "of a checkout" in capsys.readouterr().err


def test_docs_replaces_no_folder_but_its_own(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(command, "NEEDS", ())
    (tmp_path / "thesis.txt").write_text("years")
    assert cli.main(["docs", "--no-open", "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "would be lost" in said
    assert (tmp_path / "thesis.txt").read_text() == "years"


def test_a_build_that_fails_leaves_the_old_site_and_nothing_else(
    monkeypatch, tmp_path, capsys
):
    old = tmp_path / "site"
    old.mkdir()
    (old / "objects.inv").write_text("old")
    (tmp_path / "docs").mkdir()
    (tmp_path / "lessons").mkdir()
    (tmp_path / "docs" / "conf.py").write_text("")
    monkeypatch.setattr(command, "ROOT", tmp_path)
    monkeypatch.setattr(command, "NEEDS", ())
    monkeypatch.setattr(command.sys, "executable", shutil.which("false") or "false")
    assert cli.main(["docs", "--no-open", "--out", str(old)]) == 2
    assert "lines above say why" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["docs", "lessons", "site"]
    assert (old / "objects.inv").read_text() == "old"


# ---- the built site -------------------------------------------------------------
class Page(HTMLParser):
    """What a page links to, what it loads, and the places in it."""

    LOADS = {"script": "src", "img": "src", "link": "href", "iframe": "src"}
    LOADS |= {"source": "src", "video": "src", "audio": "src", "object": "data"}

    def __init__(self, text):
        super().__init__()
        self.places, self.links, self.loads, self.pictures = {""}, [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.places |= {given[k] for k in ("id", "name") if given.get(k)}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if tag == "link" and given.get("rel") in ("canonical", "author"):
            return
        if given.get(self.LOADS.get(tag)):
            self.loads.append(given[self.LOADS[tag]])
        if tag == "img":
            self.pictures.append(given)
            several = (given.get("srcset") or "").split(",")
            self.loads += [s.split()[0] for s in several if s.strip()]


@pytest.fixture(scope="module")
def site():
    """{path: Page} of all pages of the built site."""
    root = pathlib.Path(SITE).resolve()
    files = sorted(root.rglob("*.html"))
    assert len(files) > 30, f"{root} holds {len(files)} pages"
    return {p: Page(p.read_text(encoding="utf-8")) for p in files}


@built
def test_every_link_within_the_site_leads_to_a_place(site):
    lost = []
    for file, page in site.items():
        for link in page.links + page.loads:
            to = urlsplit(link)
            if to.scheme or to.netloc:
                continue
            target = (file.parent / unquote(to.path)).resolve() if to.path else file
            there = site.get(target)
            if not target.is_file() or (
                there and unquote(to.fragment) not in there.places
            ):
                lost.append(f"{file.name}: {link}")
    assert not lost, "\n".join(lost[:40])


@built
def test_no_page_loads_anything_from_the_network(site):
    for file, page in site.items():
        for link in page.loads:
            assert not urlsplit(link).netloc, f"{file.name} loads {link}"
            assert urlsplit(link).scheme in ("", "data")
    for style in pathlib.Path(SITE).rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", text), style


@built
def test_each_lesson_has_a_page_with_figures_in_words_and_a_notebook(site):
    root = pathlib.Path(SITE).resolve()
    assert LESSONS
    for lesson in LESSONS:
        page = root / "lessons" / f"{lesson.stem}.html"
        figures = [p for p in site[page].pictures if "sphx_glr_lesson" in p["src"]]
        assert len(figures) >= 3 and all(p["alt"] for p in figures)
        assert sum("2.00x" in p.get("srcset", "") for p in figures) >= 3
        text = page.read_text(encoding="utf-8")
        assert "sphinx_gallery_start_ignore" not in text
        assert "Warning: " not in text and str(ROOT) not in text
        (notebook,) = {x for x in site[page].links if x.endswith(".ipynb")}
        text = (page.parent / notebook).read_text(encoding="utf-8")
        cells = json.loads(text)["cells"]
        assert {cell["cell_type"] for cell in cells} == {"code", "markdown"}
        texts = [c["source"] for c in cells if c["cell_type"] == "markdown"]
        words = "".join("".join(text) + "\n" for text in texts)
        assert not re.search(r"^(\.\. |=+ +=)|:math:", words, re.M)  # not Markdown


@built
def test_the_page_of_ops_has_every_op_and_every_picture(site):
    page = pathlib.Path(SITE).resolve() / "ops.html"
    for module in snn.ops.FAMILIES:
        for entry in make_ops.entries(module):
            assert make_ops.anchor(entry) in site[page].places
    shown = {pathlib.Path(p["src"]).stem for p in site[page].pictures}
    assert set(op_pictures.names()) <= shown
    assert all(p["alt"] for p in site[page].pictures if p["src"].endswith(".png"))


# ---- in a browser ---------------------------------------------------------------
LOOK = """<!doctype html><title>look</title><body><script>
const pages = %s, found = [];
const wait = ms => new Promise(go => setTimeout(go, ms));
async function look(page, width) {
  const frame = document.createElement("iframe");
  frame.style.cssText = `width: ${width}px; height: 900px; border: 0`;
  frame.src = page;
  document.body.append(frame);
  await new Promise(go => frame.onload = go);
  const view = frame.contentWindow, text = frame.contentDocument;
  for (const picture of text.images) picture.loading = "eager";
  if (view.MathJax?.startup) await view.MathJax.startup.promise;
  await wait(300);
  const figures = "article img:not(.sphx-glr-thumbcontainer img)";
  const narrow = [...text.querySelectorAll(figures)].filter(
    p => p.naturalWidth > width && p.getBoundingClientRect().width < 0.85 * width);
  found.push({
    page, width, size: text.documentElement.scrollWidth,
    formulas: text.querySelectorAll(".math").length,
    drawn: text.querySelectorAll(".math:has(mjx-container svg)").length,
    wrong: text.querySelectorAll("mjx-merror, [data-mjx-error]").length,
    broken: [...text.images].filter(p => p.complete && !p.naturalWidth).length,
    small: width < 500 ? narrow.length : 0,
    outside: view.performance.getEntriesByType("resource").map(r => r.name)
      .filter(name => !name.startsWith(location.origin)),
  });
  frame.remove();
}
(async () => {
  for (const page of pages) for (const width of [1280, 390]) await look(page, width);
  document.body.innerHTML = "<pre id=found></pre>";
  document.getElementById("found").textContent = JSON.stringify(found);
})();
</script>"""


def browser():
    """A Chromium to look with, or None."""
    names = "chromium", "chromium-browser", "google-chrome", "chrome"
    return next(filter(None, map(shutil.which, names)), None)


@built
@pytest.mark.skipif(not browser(), reason="no Chromium here to look at the site with")
def test_pages_are_whole_on_a_desk_and_on_a_telephone_without_a_network(tmp_path):
    lessons = [f"/lessons/{p.stem}.html" for p in LESSONS]
    pages = ["/index.html", "/overview.html", "/ops.html", "/api/scratchnn.nn.html"]
    pages += ["/results.html", "/lessons/index.html", *lessons]

    class Server(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=SITE)

        def do_GET(self):
            if self.path != "/look":
                return super().do_GET()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write((LOOK % json.dumps(pages)).encode())

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = [
            browser(), "--headless", "--no-sandbox", "--disable-gpu",
            "--enable-logging=stderr", f"--user-data-dir={tmp_path}",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            "--virtual-time-budget=120000", "--dump-dom",
            f"http://127.0.0.1:{server.server_port}/look",
        ]  # fmt: skip
        seen = subprocess.run(command, capture_output=True, text=True, timeout=300)
        server.shutdown()
    said = [line for line in seen.stderr.splitlines() if "CONSOLE" in line]
    assert not said, "\n".join(said)
    found = re.search(r"<pre id=\"found\">(.*?)</pre>", seen.stdout, re.S)
    assert found, seen.stdout[-2000:] + seen.stderr[-2000:]
    looks = json.loads(found.group(1).replace("&gt;", ">").replace("&amp;", "&"))
    assert len(looks) == 2 * len(pages)
    for look in looks:
        assert look["size"] <= look["width"], look
        assert look["drawn"] == look["formulas"] and not look["wrong"], look
        assert not look["broken"] and not look["outside"] and not look["small"], look
    assert sum(look["formulas"] for look in looks) > 0
