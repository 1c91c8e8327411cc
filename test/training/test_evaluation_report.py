"""The report of a run, opened in a browser as a person would open it."""

import html
import json
import os
import re
import shutil

import cv2
import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from tpf_training.evaluation.benchmarks import LASHER_ATTRIBUTES
from tpf_training.evaluation.cli import main
from tpf_training.evaluation.metrics.robustness import spans_lost
from tpf_training.evaluation.report_pictures import RESULT

SIZE, BOX, COUNT = (120, 80), (30, 20, 24, 36), 12
ODD = 'b&b <i>"1" #2?%20'  # a name that is a markup and a link's trouble
NAMES = ["easy", "lost", ODD]
FLAGS = "--headless --no-sandbox --disable-gpu --no-first-run --disable-sync".split()
FLAGS += "--disable-background-networking --disable-component-update".split()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """LasHeR's layout: a target that is bright in dim images and never moves. `ours` leaves it in `lost` from 5 to 8,
    is never right in the oddly named sequence after the first frame, and `other` knows nothing of that one.
    """
    root = tmp_path_factory.mktemp("report")
    far = [BOX[0] + 50, *BOX[1:]]
    boxes = {
        "easy": [BOX] * COUNT,
        "lost": [far if 5 <= index <= 8 else BOX for index in range(COUNT)],
        ODD: [BOX] + [far] * (COUNT - 1),
    }
    for name in NAMES:
        for folder, value in (("visible", 200), ("infrared", 250)):
            write_images(root / "gt" / name / folder, value)
        write(root / "gt" / name / "init.txt", [BOX] * COUNT)
        write(root / "ours" / f"{name}.txt", boxes[name])
        write(root / "ours" / f"{name}_time.txt", np.full(COUNT, 0.1 if name == "easy" else 0.05))
        if name != ODD:
            write(root / "other" / f"{name}.txt", [BOX] * COUNT)
            write(root / "other" / f"{name}_time.txt", np.full(COUNT, 0.01))
        write(root / "gt/att" / f"{name}.txt", np.ones((1, len(LASHER_ATTRIBUTES))))
    settings = {"model": "tiny", "ndtu": True, "sequences": [*NAMES, "x"]}
    (root / "ours/run.json").write_text(json.dumps({"tracker": "<b>ours", "settings": settings, "devices": []}))
    return root


def write_images(folder, value, count=COUNT):
    folder.mkdir(parents=True)
    for index in range(count):
        image = np.full((SIZE[1], SIZE[0]), 60, np.uint8)
        image[BOX[1] : BOX[1] + BOX[3], BOX[0] : BOX[0] + BOX[2]] = value
        cv2.imwrite(str(folder / f"{index:04d}.png"), image)


def write(file, numbers):
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(file, numbers, "%.3f", delimiter=",")


def report(root, out, *options, dataset="lasher", results=("ours", "other")):
    folders = [str(root / name) for name in results]
    given = ["--dataset", dataset, "--root", root / "gt", "--out", out, *options, "--results", *folders]
    return main(["report", *map(str, given)])


@pytest.fixture(scope="module")
def page(data):
    """The page of a report that was moved since."""
    assert report(data, data / "built") == 1  # one sequence of `other` is missing
    shutil.move(data / "built", data / "moved")
    return data / "moved" / "report.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    programs = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    if not all(programs.values()):
        reason = "needs Debian's packages chromium and chromium-driver"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    options = webdriver.ChromeOptions()
    options.binary_location = programs["chromium"]
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(programs["chromedriver"]))
    yield driver
    driver.quit()


def open_page(browser, page, width=1280, scheme="light"):
    """With all pictures asked for, which otherwise wait until they are scrolled to."""
    metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    browser.get(page.as_uri())
    browser.execute_async_script(
        "const done = arguments[0]; for (const image of document.images) image.loading = 'eager';"
        "Promise.allSettled([...document.images].map((image) => image.decode())).then(() => done());"
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures_load_without_an_error_and_say_what_they_show(browser, page, scheme):
    open_page(browser, page, scheme=scheme)
    pictures = browser.execute_script(
        "return [...document.images].map((i) => ({width: i.naturalWidth, from: i.currentSrc, alt: i.alt}))"
    )
    # 5 figures; of each sequence IoU over time and 8 frames; a moment of failure that is not among these.
    assert len(pictures) == 5 + 3 * (1 + 8) + 1
    assert all(picture["width"] > 0 and len(picture["alt"]) > 20 for picture in pictures), pictures
    assert all(picture["from"].startswith(page.parent.as_uri()) for picture in pictures)
    assert pictures[0]["alt"].startswith("Precision (PR): [100.00] other (2/3 sequences); [")
    assert pictures[5]["alt"] == f"IoU of each frame of {ODD}: ours, mean IoU 0.08"
    assert pictures[6]["alt"] == f"{ODD}, frame 0, IoU 1.00: the true box and that of ours"
    dark = [picture["from"].endswith("_dark.svg") for picture in pictures if picture["from"].endswith(".svg")]
    assert len(dark) == 8 and set(dark) == {scheme == "dark"}
    ground = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, re.findall(r"\d+", ground)[:3])) < 100) == (scheme == "dark")
    assert browser.get_log("browser") == []


def test_a_click_on_a_column_sorts_and_a_second_one_turns_it(browser, page):
    open_page(browser, page)
    table = browser.find_element(By.CSS_SELECTOR, "table.sortable")

    def column(index):
        rows = table.find_elements(By.CSS_SELECTOR, "tbody tr")
        return [row.find_elements(By.TAG_NAME, "td")[index].text for row in rows]

    def click(name):
        header = next(h for h in table.find_elements(By.TAG_NAME, "th") if h.text.split()[0] == name)
        header.find_element(By.TAG_NAME, "button").click()
        return header.get_attribute("aria-sort")

    assert column(0) == [ODD, "lost", "easy"]  # the worst first
    assert click("sequence") == "ascending" and column(0) == [ODD, "easy", "lost"]
    assert click("sequence") == "descending" and column(0) == ["lost", "easy", ODD]
    assert click("FPS") == "ascending" and column(6) == ["20.0", "20.0", "10.0"][::-1]
    other = len(table.find_elements(By.TAG_NAME, "th")) - 1
    assert click("other") == "ascending" and column(other)[-1] == "-"
    assert click("other") == "descending" and column(other)[-1] == "-"  # what is not known stays last
    assert len(table.find_elements(By.CSS_SELECTOR, "[aria-sort]")) == 1


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_screen(browser, page, width):
    open_page(browser, page, width)
    assert browser.execute_script("return innerWidth") == width
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    link = browser.find_element(By.CSS_SELECTOR, "table.sortable a")
    target = browser.execute_script("return document.querySelector(arguments[0].hash).textContent", link)
    assert target == f"1. {ODD}" and link.text == ODD


def test_the_page_says_what_ran_and_where_the_target_was_lost(page):
    text = page.read_text()
    bare = re.sub(r"<style>.*?</style>|<script>.*?</script>|<[^>]*>", " ", text, flags=re.S)
    shown = " ".join(html.unescape(bare).split())
    assert "ours on lasher" in shown and "model tiny" in shown and "ndtu yes" in shown
    assert "tracker <b>ours" in shown and "and 1 more" in shown
    assert f"1. {ODD}" in shown and "Lost from frame 1 to the end" in shown
    assert "2. lost PR 66.67" in shown and "Lost from frame 5 to 8 ." in shown
    assert "3. easy PR 100.00" in shown and "Never lost." in shown
    assert re.search(r"frame 5, IoU 0.00 lost\b", shown)
    assert "NO 3 " in shown  # an attribute
    assert f"{ODD}.txt: cannot be read" in shown[shown.index("Not scored In none") :]
    light, dark = ((page.parent / f"report_files/success{kind}.svg").read_text() for kind in ("", "_dark"))
    assert "#1b1d21" in dark and "#1b1d21" not in light  # the page's ground
    assert "://" not in re.sub(r'xmlns\S*="[^"]*"', "", text)  # nothing is fetched


def test_pictures_show_both_boxes_in_both_images(page):
    picture = cv2.imread(str(page.parent / "report_files/sequence_2_frame_5.jpg"))
    assert picture.shape == (2 * SIZE[1], SIZE[0], 3)
    x, y, w, h = BOX
    for top, inside in ((0, 200), (SIZE[1], 250)):
        near(picture[top + y + h // 2, x], (255, 255, 255))
        near(picture[top + y + h // 2, x + 50], RESULT[::-1])
        near(picture[top + y + h // 2, x + w // 2], (inside,) * 3)


def near(pixel, colour):
    assert np.abs(pixel.astype(int) - colour).max() < 60, (pixel, colour)


def test_only_frames_that_are_drawn_are_decoded_and_a_damaged_one_costs_its_own_strip(data, tmp_path, capsys):
    root = shutil.copytree(data, tmp_path / "data", ignore=shutil.ignore_patterns("moved"))
    drawn = {0, 11, 5}  # first, last, and where `lost` is lost
    for index in set(range(COUNT)) - drawn - {1}:
        (root / f"gt/lost/visible/{index:04d}.png").write_bytes(b"damaged")
    (root / f"gt/{ODD}/infrared/0001.png").write_bytes(b"damaged")
    assert report(root, tmp_path / "out", "--worst", 2, "--frames", 2, results=["ours"]) == 1
    errors = capsys.readouterr().err
    assert f"tpf-eval report: {root}/gt/{ODD}/infrared/0001.png: missing or damaged image" in errors
    files = {path.name for path in (tmp_path / "out/report_files").glob("*.jpg")}
    assert files == {f"sequence_2_frame_{index}.jpg" for index in drawn}
    text = (tmp_path / "out/report.html").read_text()
    assert "No pictures: " in text and "1. b&amp;b" in text and "2. lost" in text and "3. easy" not in text


@pytest.mark.parametrize("dataset", ["clips", "folder"])
def test_data_of_ours_is_shown_from_the_first_frame_with_the_target(dataset, write_clip, tmp_path):
    """The conftest's clip: the target moves 2 px a frame; here it is first seen in frame 3 and absent in 10 to 19."""
    clip = tmp_path / "gt" / "walk"
    write_clip(clip, ["visible", "thermal"], "A", count=30)
    lines = (clip / "A.csv").read_text().splitlines()
    boxes = np.array([line.split(",")[1:5] for line in lines[1:]], float)
    lines[11:21] = [line[:-1] + "0" for line in lines[11:21]]
    (clip / "A.csv").write_text("\n".join(lines[:1] + lines[4:]) + "\n")
    if dataset == "folder":
        for modality in ("visible", "thermal"):
            capture = cv2.VideoCapture(str(clip / f"{modality}.mp4"))
            (clip / modality).mkdir()
            for index in range(30):
                cv2.imwrite(str(clip / modality / f"{index}.png"), capture.read()[1])
    results = boxes[3:].copy()
    results[10:14, 0] += 100
    write(tmp_path / "ours/walk_A.txt", results)
    assert report(tmp_path, tmp_path / "out", "--frames", "4", dataset=dataset, results=["ours"]) == 0
    text = (tmp_path / "out/report.html").read_text()
    shown = re.findall(r"frame \d+, (?:IoU [\d.]+|target absent)", re.sub("alt=.*?>", "", text))
    assert shown == ["frame 0, IoU 1.00", "frame 9, target absent", "frame 17, IoU 1.00", "frame 26, IoU 1.00"]
    picture = cv2.imread(str(tmp_path / "out/report_files/sequence_0_frame_17.jpg"))
    x, y, w, h = boxes[20].astype(int)
    for top in (0, picture.shape[0] // 2):
        row = picture[top + y + h // 2]
        assert row[x + w - 5].min() > 200 and row[x - 5].max() < 150  # of no other frame


def test_each_image_has_its_own_true_box_and_frames_have_the_numbers_of_the_video(tmp_path):
    """VTUAV's layout: a box for every tenth frame, of each modality."""
    thermal = (BOX[0] + 40, *BOX[1:])
    for folder, box in (("rgb", BOX), ("ir", thermal)):
        write_images(tmp_path / "gt/bus" / folder, 200, count=21)
        write(tmp_path / f"gt/bus/{folder}.txt", [box] * 3)
    write(tmp_path / "ours/bus.txt", [BOX] * 10 + [(*BOX[:2], 4, 4)] * 11)
    assert report(tmp_path, tmp_path / "out", dataset="vtuav", results=["ours"]) == 0
    text = (tmp_path / "out/report.html").read_text()
    assert "Lost from frame 10 to the end" in text and "frame 20, IoU 0.02" in text
    picture = cv2.imread(str(tmp_path / "out/report_files/sequence_0_frame_20.jpg"))
    row = BOX[1] + BOX[3] // 2
    near(picture[row, BOX[0]], (255, 255, 255))
    near(picture[SIZE[1] + row, thermal[0]], (255, 255, 255))


def test_stretches_in_which_the_target_is_lost():
    kept = np.array([1, 1, 0, 0, 1, 0, 0, 0, 1, 0], bool)
    present = np.array([1, 1, 1, 1, 1, 1, 0, 1, 1, 0], bool)
    assert spans_lost(kept, present) == [(2, 3), (5, 7)]
    assert spans_lost(kept, np.ones(10, bool)) == [(2, 3), (5, 7), (9, 9)]
    assert spans_lost(np.ones(3, bool), np.ones(3, bool)) == []


def test_what_makes_no_sense_is_refused(data, tmp_path, capsys):
    root = shutil.copytree(data, tmp_path / "data", ignore=shutil.ignore_patterns("moved", "visible"))
    assert report(root, tmp_path / "out", "--worst", 2) == 1
    assert "gt/lost/visible: cannot list the frames" in capsys.readouterr().err
    (root / "ours/run.json").write_text("[1]")
    assert report(root, tmp_path / "out") == 2
    assert "ours/run.json: is not the record of a run" in capsys.readouterr().err
    (root / "ours/run.json").unlink()
    for name in NAMES:
        (root / "ours" / f"{name}.txt").write_text("1 2 3\n")
    assert report(root, tmp_path / "out") == 2
    assert "ours: none of its results could be scored, the first: " in capsys.readouterr().err
