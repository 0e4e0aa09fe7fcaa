"""The page of a timeline in a browser, and what no text can do in it."""

import base64
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from tests.commandline import call
from tests.timelines import CALL, HOSTILE, LABELS, analysis, answer, segment, silent, write_tracks

import merkit
from merkit.core.errors import MerkitError
from merkit.core.types import Prediction
from merkit.core.waveform import Track
from merkit.data.media.audio import decode
from merkit.data.media.sources import EncodedRecording
from merkit.recordings.writing import outputs_of, write_analysis
from merkit.timeline.analysis import Analysis, Segment
from merkit.timeline.annotations import eaf
from merkit.timeline.index import check_index, write_index
from merkit.timeline.page import timeline_page
from merkit.timeline.peaks import peaks_of
from merkit.timeline.reading import read_timeline

CHROMIUM = Path("/usr/bin/chromium")


ZOOM = (
    "to => { const zoom = document.getElementById('zoom'); zoom.value = to; zoom.dispatchEvent(new Event('change')); }"
)


class Counted(HTMLParser):
    """Counts what a parser takes for elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.handlers: list[str] = []
        self.sources: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.handlers += [name for name, _ in attributes if name.startswith("on")]
        self.sources += [value or "" for name, value in attributes if name in ("src", "href", "data-src")]


def sources(first: str, second: str) -> Prediction:
    both = answer("happy")
    parts = {"words": answer(first), "voice": answer(second)}
    return Prediction("", both.label, both.probabilities, both.confidence, both.modalities, sources=parts)


def several(*labels: str) -> Prediction:
    return replace(answer(labels[0]), labels=labels)


def crowd() -> Analysis:
    """Return an utterance of each of 15 speakers."""
    return analysis([segment(n, n + 1, f"S{n}", "happy", f"said by {n}") for n in range(15)])


def long_call(folder: Path, seconds: int = 40) -> Analysis:
    """Return a call with sound, several speakers, what words and voice say, and what has no label."""
    samples = np.sin(np.arange(8000 * seconds) / 8) * np.linspace(0.1, 0.8, 8000 * seconds)
    sf.write(folder / "call.wav", samples, 8000)
    segments: list[Segment] = [
        segment(2.0 * n, 2.0 * n + 1.8, "Ann" if n % 2 else "Ben", LABELS[n % 3], f"words {n}")
        for n in range(seconds // 2)
    ]
    segments[4] = Segment(8.0, 9.8, "Ben", "they differ", sources("neutral", "angry"))
    segments[6] = segment(12.0, 13.8, "Ben", None, "unsure words")
    segments[8] = silent(16.0, 17.8, "Ben")
    checkpoint = "/home/someone/runs/a_long_name_of_a_recipe_that_no_line_holds/checkpoint"
    return analysis(segments, recording=folder / "call.wav", stages={"channels": "One channel."}, checkpoint=checkpoint)


@pytest.mark.parametrize("audio", ["embed", "link", "none"])
def test_hostile_text_stays_text(tmp_path: Path, audio: Any) -> None:
    name = f"{HOSTILE.replace('/', '')}.wav"
    sf.write(tmp_path / name, np.zeros(800), 8000)
    prediction = Prediction(
        "", HOSTILE, {HOSTILE: 1.0}, 1.0, (), sources={HOSTILE: answer("happy"), "b": answer("angry")}
    )
    made = analysis(
        [Segment(0, 0.1, HOSTILE, HOSTILE, prediction), silent(0.1, 0.2, HOSTILE)],
        recording=tmp_path / name,
        labels=(HOSTILE, *LABELS),
        notes=[HOSTILE],
        stages={HOSTILE: HOSTILE},
        checkpoint=HOSTILE,
    )
    plain = analysis([segment(0, 0.1, "A", "happy"), silent(0.1, 0.2)], recording=tmp_path / name)

    page, usual = Counted(timeline_page(made, tmp_path, audio)), Counted(timeline_page(plain, tmp_path, audio))
    notebook = Counted(made._repr_html_())

    assert page.tags.count("script") == usual.tags.count("script") == (3 if audio == "embed" else 2)
    assert "img" not in page.tags + notebook.tags
    assert "script" not in notebook.tags
    assert not page.handlers + notebook.handlers
    assert not [source for source in page.sources if ":" in source and source != "data:,"]


def test_a_page_names_no_other_place_and_two_hours_are_small(tmp_path: Path) -> None:
    many = [
        segment(2.4 * n, 2.4 * n + 2.2, f"S{n % 3}", LABELS[n % 3], "about a dozen words " * 3) for n in range(3000)
    ]
    sf.write(tmp_path / "long.wav", np.zeros(7200 * 1000, np.int16), 1000)

    page = timeline_page(analysis(many, recording=tmp_path / "long.wav"), tmp_path)

    assert len(page.encode()) < 6e6
    assert len(re.findall(r"<li id=", page)) == 3000
    assert not re.findall(r"https?://(?!www\.w3\.org)", page)
    assert 'data-src="long.wav"' in page


def test_where_voices_were_left_out_the_page_has_no_sound(tmp_path: Path) -> None:
    made = replace(long_call(tmp_path), excludes_speakers=True)

    page = timeline_page(made, tmp_path, "embed")

    assert "<audio" not in page
    assert 'id="sound"' not in page
    assert '"peaks":""' in page
    assert 'class="wave"' not in page + made._repr_html_()
    assert read_timeline(made.to_dict()).excludes_speakers


def test_a_recording_in_memory_is_not_looked_up_as_a_file_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sf.write("call.wav", np.sin(np.arange(8000) / 8), 8000)
    with Path("call.wav").open("rb") as file:
        made = merkit.load("builtin:voice")(file)
    sf.write("call.wav", np.zeros(80), 8000)  # another one

    page = timeline_page(made, tmp_path, "link")

    assert "<audio" not in page
    assert f'"peaks":"{made.peaks.base64()}"' in page  # type: ignore[union-attr]
    assert "MEDIA_DESCRIPTOR" not in eaf(made)


def test_another_track_is_drawn_and_embedded_and_not_linked(tmp_path: Path) -> None:
    wave = np.sin(np.arange(80_000) / 8, dtype=np.float32) / 2
    first, second = wave * np.repeat([1, 0], 40_000), wave * np.repeat([0, 1], 40_000)
    write_tracks(tmp_path / "call.mkv", first, second)
    made = read_timeline(analysis(CALL, tmp_path / "call.mkv", track=2).to_dict())

    linked, embedded = (timeline_page(made, tmp_path, audio) for audio in ("link", "embed"))
    sound = base64.b64decode(re.findall(r'id="sound">([^<]*)<', embedded)[0])
    heard = decode(EncodedRecording(sound)).samples.reshape(-1)

    assert f'"peaks":"{peaks_of(Track(tmp_path / "call.mkv", 2)).base64()}"' in linked
    assert np.square(heard[: len(heard) // 2 - 3000]).mean() < 0.001 < np.square(heard[len(heard) // 2 :]).mean()
    assert "<audio" in embedded
    assert "<audio" not in linked
    assert "data-src" not in linked
    assert "No sound: a browser plays the first track of the recording, and this is track 2." in linked
    assert "No sound" not in embedded
    assert "data-src" in timeline_page(replace(made, track=1), tmp_path)


def test_the_truth_stands_beside_the_predictions(tmp_path: Path) -> None:
    page = timeline_page(analysis(CALL), tmp_path, truth=["neutral", "happy", "angry", "sad", "happy", "happy"])

    assert "Right, of 6: The model 3." in page
    assert page.count("✓") == page.count("✗") == 3
    assert "truth: sad ✗" in page


def test_where_no_speaker_is_known_no_line_says_so(tmp_path: Path) -> None:
    known, unknown = (analysis([segment(0, 1, who, "happy"), segment(1, 2, "", "happy")]) for who in ("Ann", ""))

    assert timeline_page(known, tmp_path).count('<span class="who">speaker unknown</span>') == 1
    assert timeline_page(unknown, tmp_path).count('<span class="who"></span>') == 2


def test_the_words_below_a_bar_name_what_has_no_label(tmp_path: Path) -> None:
    labels = ("a", "b", "c", "d", "e")
    segments = [Segment(n, n + 1, "Ann", "so", answer(label, labels=labels)) for n, label in enumerate(labels)]

    page = timeline_page(
        analysis([*segments, segment(5, 6, "Ann", None), silent(6, 9, "Ann")], labels=labels), tmp_path
    )

    assert ">a 11 %, b 11 %, c 11 %, d 11 %, unsure 11 %, no label 33 %<".replace(" %", "\N{NO-BREAK SPACE}%") in page


def test_sources_that_never_both_have_a_label_differ_nowhere(tmp_path: Path) -> None:
    both = sources("happy", "angry")
    alone = replace(both, sources={"words": answer("happy"), "voice": answer(None)})

    pages = [timeline_page(analysis([Segment(0, 1, "Ann", "so", each)]), tmp_path) for each in (both, alone)]

    assert ["Where they differ most surely" in page for page in pages] == [True, False]
    assert ["No utterance has a label of both." in page for page in pages] == [False, True]


def test_to_html_writes_the_page_and_replaces_only_its_own(tmp_path: Path) -> None:
    made = long_call(tmp_path)
    (tmp_path / "notes.html").write_text("<p>mine")

    made.to_html(tmp_path / "call.html")
    made.to_html(tmp_path / "call.html")

    assert 'id="utterances"' in (tmp_path / "call.html").read_text()
    with pytest.raises(MerkitError, match="merkit did not write it"):
        made.to_html(tmp_path / "notes.html")


def test_a_label_that_the_model_does_not_show_is_on_the_page_and_in_the_index(tmp_path: Path) -> None:
    values = analysis([Segment(0, 1, "Ann", "so", sources("happy", "angry")), segment(1, 2, "Ann", "happy")]).to_dict()
    values["segments"][0]["label"] = "bored"
    values["segments"][0]["sources"]["voice"]["label"] = "tired"
    write_analysis(read_timeline(values), outputs_of(tmp_path, Path("call")), {})

    write_index(tmp_path / "index.html")

    for name in ("call.html", "index.html"):
        page = (tmp_path / name).read_text()
        assert ">bored</option>" in page
        assert '<span class="key l0" title="bored' not in page
        assert "bored</li>" in page


def test_an_utterance_of_several_labels_counts_once_in_the_time_of_all(tmp_path: Path) -> None:
    made = analysis([Segment(0, 6, "Ann", "so", several("happy", "angry")), silent(6, 10, "Ann")], multi_label=True)
    write_analysis(made, outputs_of(tmp_path, Path("call")), {})
    write_index(tmp_path / "index.html")

    page = (tmp_path / "call.html").read_text().replace("\N{NO-BREAK SPACE}", " ")

    assert "Of the labelled time: happy 100 %, angry 100 %. Of all time: 40 % without a label." in page
    unsure = analysis([Segment(0, 1, "Ann", "so", several("happy", "angry")), segment(1, 2, "Ann", None)])
    write_analysis(unsure, outputs_of(tmp_path, Path("call")), {})
    write_index(tmp_path / "index.html")
    assert '<td class="n">50 %</td>' in (tmp_path / "index.html").read_text()


def test_the_overview_draws_and_names_every_speaker(tmp_path: Path) -> None:
    page = timeline_page(crowd(), tmp_path)

    overview = re.findall(r'<svg class="overview.*?</svg>', page)[0]
    assert overview.count("h66.1v12") == 15  # a box of each
    assert "S14, 1 utterances" in overview


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"no Chromium at {CHROMIUM}")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield started
        started.close()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    write_analysis(long_call(folder), outputs_of(folder, Path("call")), {}, audio="embed")
    return folder / "call.html"


@pytest.fixture
def opened(browser: Any, written: Path) -> Iterator[Any]:
    """Open the page of a call, and afterwards check that it was silent on the console and asked for nothing else."""
    page = browser.new_page(viewport={"width": 1400, "height": 1000}, reduced_motion="reduce")
    said, asked = watch(page)
    page.goto(written.as_uri())
    page.wait_for_selector("html[data-ready=yes]")
    yield page
    assert said == []
    assert [url for url in asked[1:] if not url.startswith("blob:")] == []
    page.close()


def watch(page: Any) -> tuple[list[str], list[str]]:
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    return said, asked


def current(page: Any) -> str:
    return str(page.locator("[aria-current] .said").inner_text())


def test_a_click_moves_playback_and_playback_moves_the_page(opened: Any) -> None:
    opened.click("#u5 .said")
    assert current(opened) == "words 5"
    assert opened.inner_text("#clock").startswith("0:10.0")
    box = opened.locator("#whole").bounding_box()
    opened.mouse.click(box["x"] + box["width"] * 0.52, box["y"] + 10)
    assert current(opened) == "words 10"

    opened.click("#play")
    opened.wait_for_selector("#u11[aria-current]")

    assert opened.evaluate("document.getElementById('audio').currentTime") >= 22
    assert opened.evaluate("document.querySelector('[aria-current]').getBoundingClientRect().top") < 1000
    opened.click("#play")
    assert opened.evaluate("document.getElementById('audio').paused")


def test_playback_moves_the_utterance_to_where_it_is_seen(opened: Any) -> None:
    opened.set_viewport_size({"width": 1400, "height": 900})  # most of the transcript is out of sight
    opened.evaluate("scrollTo(0, 0)")
    opened.evaluate("document.querySelector('#u9 .time').click()")

    row = opened.evaluate("document.querySelector('[aria-current]').getBoundingClientRect().toJSON()")

    assert opened.evaluate("scrollY") == 0
    assert row["top"] > 0
    assert row["bottom"] < 900


def test_the_detail_cuts_no_text(opened: Any) -> None:
    for width in (1400, 390):
        opened.set_viewport_size({"width": width, "height": 900})
        for length in ("0", "30", "15"):
            opened.evaluate(ZOOM, length)  # a phone shows no field for it
            texts = opened.evaluate(
                "[...document.querySelectorAll('#detail text')].map(each => [each.textContent, "
                "each.getBoundingClientRect().right - document.getElementById('detail').getBoundingClientRect().right])"
            )
            assert len(texts) > 4
            assert [text for text, beyond in texts if beyond > 0] == []
    opened.set_viewport_size({"width": 1400, "height": 900})
    opened.wait_for_function(  # a frame after the size has changed
        "name => [...document.querySelectorAll('#detail text')].some(each => each.textContent === name)", arg="neutral"
    )
    names = opened.locator("#detail text").all_text_contents()
    assert {"neutral", "happy", "angry"} <= set(names)  # 1.8 of 15 s have room for each
    assert not [name for name in names if "…" in name]


def test_the_keyboard_moves_and_plays(opened: Any) -> None:
    opened.focus("#whole")
    opened.keyboard.press("End")
    assert opened.get_attribute("#whole", "aria-valuenow") == "39.8"
    opened.keyboard.press("Home")
    opened.keyboard.press("ArrowRight")
    assert opened.get_attribute("#whole", "aria-valuetext") == "0:05, Ben, angry"
    opened.keyboard.press("j")
    assert current(opened) == "words 3"
    opened.keyboard.press("k")
    assert current(opened) == "words 2"
    opened.keyboard.press(" ")
    opened.wait_for_selector("#play[aria-pressed=true]")
    opened.focus("#u7 button")
    opened.keyboard.press("Enter")
    opened.wait_for_selector("#u7[aria-current]")
    assert 14 <= opened.evaluate("document.getElementById('audio').currentTime") < 16


def test_the_page_says_at_once_that_no_utterance_is_current(browser: Any, tmp_path: Path) -> None:
    write_analysis(analysis(CALL), outputs_of(tmp_path, Path("call")), {})
    page = browser.new_page()

    page.goto((tmp_path / "call.html").as_uri())
    page.wait_for_selector("html[data-ready=yes]")
    at_once = page.inner_text("#prediction")
    page.keyboard.press("j")

    assert at_once == "No utterance here."
    assert page.inner_text("#prediction p") == "0:00.5 Ann: neutral 80 %"
    page.close()


def test_filters_keep_what_fits(opened: Any) -> None:
    def wait_for_the_line(words: str) -> None:
        """A line outside of the window is drawn a frame later, and has no text until then."""
        shown = "#utterances li:not([hidden])"
        opened.wait_for_function(
            "([line, words]) => document.querySelector(line).innerText.includes(words)", arg=[shown, words]
        )
        assert opened.locator(shown).count() == 1

    opened.select_option("#which", "unsure")
    wait_for_the_line("unsure words")
    opened.select_option("#which", "none")
    wait_for_the_line("no speech")
    opened.select_option("#which", "")
    opened.fill("#search", "differ")
    wait_for_the_line("words: neutral 80 %; voice: angry 80 %")
    assert opened.inner_text("#count") == "1 of 20 utterances"


def test_the_filter_finds_each_of_several_labels(browser: Any, tmp_path: Path) -> None:
    made = analysis(
        [Segment(0, 1, "Ann", "one", several("happy", "angry")), Segment(1, 2, "Ann", "two", several("happy"))],
        multi_label=True,
    )
    write_analysis(made, outputs_of(tmp_path, Path("call")), {})
    write_index(tmp_path / "index.html")
    page = browser.new_page()

    page.goto((tmp_path / "call.html").as_uri())
    counts = []
    for label in ("happy", "angry"):
        page.select_option("#which", label=label)
        counts.append(page.inner_text("#count"))
    page.goto((tmp_path / "index.html").as_uri())
    page.select_option("#which", label="angry")

    assert counts == ["2 utterances", "1 of 2 utterances"]
    assert utterances(page) == ["0:00 Ann: happy, angry 80 % – one"]
    page.close()


def test_each_of_many_speakers_is_found_by_the_filter(browser: Any, tmp_path: Path) -> None:
    write_analysis(crowd(), outputs_of(tmp_path, Path("call")), {})
    page = browser.new_page()

    page.goto((tmp_path / "call.html").as_uri())
    found = []
    for name in ("S11", "S14"):
        page.select_option("#who", label=name)
        found.append(page.locator("#utterances li:not([hidden]) .said").all_text_contents())

    assert found == [["said by 11"], ["said by 14"]]
    page.close()


def test_only_a_drag_with_the_main_button_or_along_the_outline_moves_the_recording(browser: Any, written: Path) -> None:
    page = browser.new_context(has_touch=True, viewport={"width": 390, "height": 500}).new_page()
    page.goto(written.as_uri())
    page.wait_for_selector("html[data-ready=yes]")
    page.locator("#whole").scroll_into_view_if_needed()
    box = page.locator("#whole").bounding_box()
    left, right, top = box["x"] + 0.2 * box["width"], box["x"] + 0.8 * box["width"], box["y"] + 10
    touch = page.context.new_cdp_session(page)

    def places() -> list[float]:
        page.mouse.move(right, page.locator("#whole").bounding_box()["y"] + 10)
        return [round(float(page.get_attribute("#whole", "aria-valuenow")))]

    page.mouse.move(left, top)
    page.mouse.down(button="right")
    found = places()
    page.mouse.up(button="right")
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": left, "y": top}]})
    for down in range(10, 100, 10):
        touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": left, "y": top - down}]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    found += places()
    page.mouse.down()
    page.mouse.move(left, page.locator("#whole").bounding_box()["y"] + 10)
    page.mouse.up()
    found += places()

    assert found == [0, 8, 8]
    page.context.close()


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (390, "dark")])
def test_axe_finds_nothing_serious(opened: Any, width: int, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    opened.set_viewport_size({"width": width, "height": 900})
    opened.emulate_media(color_scheme=scheme)

    found = axe.Axe().run(opened)

    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    serious = [each for each in found.response["violations"] if each["impact"] in ("serious", "critical")]
    assert [(each["id"], each["nodes"][0]["html"]) for each in serious] == []


def test_an_index_finds_recordings_and_utterances(browser: Any, tmp_path: Path) -> None:
    for name, label in (("b", "happy"), ("sub folder/a", "angry")):
        made = analysis([segment(0, 2, "Ann", label, f"said in {name}"), segment(3, 4, HOSTILE, "neutral", HOSTILE)])
        write_analysis(made, outputs_of(tmp_path, Path(name)), {})
    path = check_index(tmp_path, [Path("b")])
    assert path is not None
    write_index(path)
    page = browser.new_page()
    said, asked = watch(page)

    page.goto(path.as_uri())
    rows = page.locator("#rows tr:not([hidden])")
    names = rows.locator("th a").all_inner_texts()
    page.fill("#search", "said in sub")
    found = rows.locator(".found").all_inner_texts()
    page.locator("#rows .found a:visible").click()

    assert names == ["b", "sub folder/a"]
    assert found == ["0:00 Ann: angry 80 % – said in sub folder/a"]
    assert page.title() == "call.wav: emotions over time"
    assert said == []
    assert all(url.startswith("file:") for url in asked)
    page.close()


@pytest.fixture
def index(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """Open the index of three recordings."""
    unsure, none = segment(5, 6, "Ben", None, "perhaps"), silent(6.5, 8, "Ben")
    calls = {
        "a": [segment(0, 1.5, "Ann", "happy", "one", 0.55)],
        "b": [segment(3.0 * n, 3.0 * n + 1.5, "Ann", "neutral", f"two {n}") for n in range(7)],
        "c": [segment(0, 1.5, "Ann", "happy", "three", 0.9), segment(2, 4, "Ben", "angry", "four", 0.65), unsure, none],
    }
    for name, segments in calls.items():
        write_analysis(analysis(segments), outputs_of(tmp_path, Path(name)), {})
    path = check_index(tmp_path, [Path(name) for name in calls])
    assert path is not None
    write_index(path)
    page = browser.new_page()
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-ready=yes]")
    yield page
    page.close()


def listed(page: Any) -> list[str]:
    return list(page.locator("#rows tr:not([hidden]) th > a").all_inner_texts())


def utterances(page: Any) -> list[str]:
    return list(page.locator("#rows tr:not([hidden]) .found li").all_inner_texts())


def test_an_index_has_length_utterances_and_what_is_unsure_of_each_recording(index: Any) -> None:
    cells = [row.locator("td.n").all_inner_texts() for row in index.locator("#rows tr").all()]

    assert cells == [["0:01", "1", "0 %"], ["0:19", "7", "0 %"], ["0:08", "4", "17 %"]]
    assert index.inner_text("#count") == "3 recordings, 12 utterances"


@pytest.mark.parametrize(
    ("column", "up", "down"),
    [("name", "abc", "cba"), ("duration", "acb", "bca"), ("utterances", "acb", "bca"), ("unsure", "abc", "cab")],
)
def test_an_index_is_sorted_up_and_down(index: Any, column: str, up: str, down: str) -> None:
    head = index.locator("th[aria-sort]")
    index.click("[data-sort=name]" if column != "name" else "[data-sort=duration]")
    orders = []
    for _ in range(2):
        index.click(f"[data-sort={column}]")
        orders.append(("".join(listed(index)), head.count(), head.get_attribute("aria-sort")))

    assert orders == [(up, 1, "ascending"), (down, 1, "descending")]


def test_an_index_is_filtered_by_speaker_label_and_confidence(index: Any) -> None:
    index.select_option("#who", label="Ben")
    assert listed(index) == ["c"]
    assert utterances(index) == [
        *("0:02 Ben: angry 65 % – four", "0:05 Ben: unsure – perhaps", "0:06 Ben: no label"),
    ]
    index.select_option("#which", label="unsure")
    assert utterances(index) == ["0:05 Ben: unsure – perhaps"]
    index.select_option("#which", label="no label")
    assert utterances(index) == ["0:06 Ben: no label"]
    index.select_option("#who", label="all")
    index.select_option("#which", label="happy")
    assert listed(index) == ["a", "c"]
    index.fill("#sure", "90")
    assert utterances(index) == ["0:00 Ann: happy 90 % – three"]
    assert index.inner_text("#count") == "1 recording, 1 utterance"
    assert index.inner_text("#least") == "90 %"


def test_an_index_shows_the_first_utterances_and_counts_the_others(index: Any) -> None:
    index.fill("#search", " TWO ")

    assert utterances(index) == [*(f"0:{3 * n:02d} Ann: neutral 80 % – two {n}" for n in range(4)), "and 3 more"]
    assert index.locator("#rows .found a").nth(1).get_attribute("href") == "b.html#t=3"
    assert index.inner_text("#count") == "1 recording, 7 utterances"
    index.fill("#search", "B")  # the name of a recording: all of it
    assert (listed(index), utterances(index)) == (["b"], [])
    assert index.inner_text("#count") == "1 recording, 7 utterances"


def test_the_index_replaces_no_file_of_another_origin(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<p>mine")

    with pytest.raises(MerkitError, match=r"index\.html' exists, and merkit did not write it"):
        check_index(tmp_path, [Path("a"), Path("b")])
    assert check_index(tmp_path, [Path("index"), Path("b")]) is None


def test_audio_is_that_of_a_page(tmp_path: Path) -> None:
    done = call("analyze", tmp_path, "--checkpoint", "builtin:voice", "--audio", "embed")

    assert done.code == 2
    assert "--audio embed is that of the page in --out" in done.error


def test_the_call_by_hand_is_shown_with_what_has_no_label() -> None:
    page = timeline_page(analysis(CALL), Path())

    assert "no label" in page
    assert page.count('class="box unsure"') == page.count('class="box none"') == 1
