"""One-pass runs of real trackers on real video, and the command that compares them."""

import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from tpf_model.boxes import clip_box
from tpf_model.crop import Crop
from tpf_model.decode import hann_window
from tpf_model.runtime.in_parts import SessionInParts
from tpf_model.template import TemplateRule
from tpf_model.tracker import TrackerConfig
from tpf_model.weights import RANDOM, load_network, save_network, shipped_weights
from tpf_training.evaluation.cli import main
from tpf_training.evaluation.camera_motion import moved
from tpf_training.evaluation.clips import read_paired
from tpf_training.evaluation.degradation import Degradation
from tpf_training.evaluation.entrants import PeerEntrant, TPFEntrant
from tpf_training.evaluation.evaluate import evaluate, evaluate_all
from tpf_training.evaluation.one_pass import EvaluationError, run_one_pass
from tpf_training.evaluation.peers import PeerTracker
from tpf_training.evaluation.tpf_tracker import tracker_config

CLIP = Path(__file__).parents[1] / "data/0117_1620"
CONTRIB = hasattr(cv2, "TrackerCSRT")
needs_contrib = pytest.mark.skipif(not CONTRIB, reason="this OpenCV is without its contrib modules: no CSRT, no KCF")


@pytest.fixture(scope="module")
def smoke():
    """Target A of the clip in smoke, its first 6 frames."""
    return next(s for s in read_paired(CLIP) if s.name == "0117_1620/A").head(6)


@pytest.fixture
def walk(data_root):
    """A bright rectangle that moves 2 px a frame, 12 frames."""
    return read_paired(data_root / "rgbt_video/walk")[0].head(12)


@pytest.fixture
def single(data_root, tmp_path):
    """A list of one visible clip."""
    root = shutil.copytree(data_root / "single_modality", tmp_path / "single")
    (root / "list.txt").write_text("V_ONE\n")
    return root / "list.txt"


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save_network(load_network("tiny", RANDOM)[0], path, {"source": "random"})
    return path


class Recorder:
    """Keeps the images that it is shown and always says one box."""

    def init(self, visible, thermal, box):
        self.given, self.seen = box, [(visible, thermal)]

    def track(self, visible, thermal):
        self.seen.append((visible, thermal))
        return (1.0, 2.0, 3.0, 4.0), 0.5


def test_a_tracker_is_given_the_first_box_and_never_helped_again(walk):
    recorder = Recorder()
    run = run_one_pass(recorder, walk)
    assert recorder.given == tuple(walk.boxes[0]) and len(recorder.seen) == 12
    assert run.boxes[0].tolist() == walk.boxes[0].tolist() and run.scores[0] == 1
    assert np.all(run.boxes[1:] == (1, 2, 3, 4)) and len(run.seconds) == 12 and np.all(run.seconds > 0)


@pytest.mark.parametrize("black", [True, False])
@pytest.mark.parametrize("modality", ["visible", "thermal"])
def test_a_camera_fails_from_its_frame_on_and_the_other_goes_on(walk, modality, black):
    whole, failing = Recorder(), Recorder()
    run_one_pass(whole, walk)
    run_one_pass(failing, walk, Degradation(modality, 4, black))
    for index, (before, after) in enumerate(zip(whole.seen, failing.seen)):
        for name, original, image in zip(("visible", "thermal"), before, after):
            if name != modality or index < 4:
                np.testing.assert_array_equal(image, original)
            elif black:
                assert image.shape == original.shape and not image.any()
            else:
                assert image is None


def test_the_shipped_model_follows_a_person_in_smoke(smoke):
    scores = evaluate(shipped_weights("small"), [smoke], frames=4)["0117_1620/A"]
    assert set(scores) == {"sr", "pr", "npr", "kept"}
    assert scores["kept"] == 1 and scores["sr"] > 0.6
    # With all of the templates' updates still to come, the rule changes nothing.
    assert evaluate(shipped_weights("small"), [smoke], ndtu=False, frames=4)["0117_1620/A"] == scores


def test_by_the_published_rule_each_frame_s_box_is_what_the_network_says(smoke, random_weights, monkeypatch):
    located, locate = [], SessionInParts.locate

    def recording(*arguments):
        located.append((locate(*arguments), arguments[4], arguments[6]))
        return located[-1][0]

    monkeypatch.setattr(SessionInParts, "locate", recording)
    tracker = TPFEntrant("mine", "auto", random_weights, published=True, device="cpu").open()
    located.clear()  # of the warm-up
    run = run_one_pass(tracker, moved(smoke.head(4), 4))  # into images of 704 x 544
    for last, box, (seen, crop, window) in zip(run.boxes[:-1], run.boxes[1:], located[1:], strict=True):
        assert crop == Crop.around(tuple(last.tolist()), 4, 256), "wherever the camera turned"
        assert seen.score < TrackerConfig().coast_score, "ours would not believe it"
        said = crop.box_to_image(tuple(value * crop.size for value in seen.box))
        assert box == pytest.approx(clip_box(said, (704, 544), 10), abs=1e-6)
        assert np.array_equal(window, hann_window(16))
        assert seen.response is None, "no filter was asked"


def test_without_ndtu_the_dynamic_template_stays():
    config = tracker_config(ndtu=False)
    rule = TemplateRule(config.template_interval, config.template_score)
    assert all(rule.observe(1.0, "a view") is None for _ in range(config.template_interval))


@needs_contrib
@pytest.mark.parametrize("source", ["visible", "thermal", "average"])
@pytest.mark.parametrize("peer", ["csrt", "kcf"])
def test_peers_follow_a_plain_target(walk, peer, source):
    (result,) = evaluate_all([PeerEntrant(peer, source)], [walk])
    assert result.scores.summary()["kept"] == 1


@needs_contrib
def test_a_peer_without_an_image_or_a_find_keeps_its_box(walk):
    black = run_one_pass(PeerTracker("kcf", "visible"), walk, Degradation("visible", 4, black=True))
    absent = run_one_pass(PeerTracker("kcf", "visible"), walk, Degradation("visible", 4, black=False))
    for run in (black, absent):
        assert np.all(run.boxes[4:] == run.boxes[3]) and run.scores[3:].tolist() == [1, *[0] * 8]
    average = run_one_pass(PeerTracker("kcf", "average"), walk, Degradation("visible", 4, black=False))
    assert np.all(average.scores == 1)  # the thermal image is left


def test_a_peer_that_cannot_run_says_what_it_lacks(tmp_path, monkeypatch):
    monkeypatch.delattr(cv2, "TrackerCSRT", raising=False)
    with pytest.raises(EvaluationError, match=r"'csrt' needs OpenCV's contrib modules.*tpf_training\[peers\]"):
        PeerTracker("csrt", "visible")
    with pytest.raises(EvaluationError, match="needs --nanotrack, a folder with nanotrack_backbone_sim.onnx"):
        PeerTracker("nano", "visible")
    with pytest.raises(EvaluationError, match="nanotrack_backbone_sim.onnx, which does not exist"):
        PeerTracker("nano", "visible", tmp_path)
    for name in ("nanotrack_backbone_sim.onnx", "nanotrack_head_sim.onnx"):
        (tmp_path / name).write_bytes(b"no network")
    with pytest.raises(EvaluationError, match="does not hold NanoTrack v2"):
        PeerTracker("nano", "visible", tmp_path)


def test_a_comparison_is_told_as_text_json_and_markdown(data_root, single, random_weights, tmp_path, capsys):
    arguments = [f"--clips={data_root}/rgbt_video/walk", f"--single={single}", "--frames=3", "--device=cpu"]
    arguments += [f"--weights=mine={random_weights}", *(["--peer=kcf"] if CONTRIB else [])]
    arguments += [f"--json={tmp_path / 'scores.json'}", f"--markdown={tmp_path / 'scores.md'}"]
    assert main(["compare", *arguments]) == 0
    text, markdown = capsys.readouterr().out, (tmp_path / "scores.md").read_text()
    report = json.loads((tmp_path / "scores.json").read_text())
    mine = report["sets"]["paired"]["entrants"]["mine"]
    assert report["sets"]["paired"]["sequences"] == {"walk/A": {"frames": 3, "present": 3}}
    assert mine["mean"]["sr"] == mine["sequences"]["walk/A"]["sr"] > 0 and mine["mean"]["fps"] > 0
    shown = f"{100 * mine['mean']['sr']:.1f}"
    assert f"| mine | {shown} |" in markdown and shown in text and "V_ONE (3 of 3 frames)" in text
    if CONTRIB:
        assert list(report["sets"]["paired"]["entrants"]) == ["mine", "kcf/visible", "kcf/thermal", "kcf/average"]
        assert list(report["sets"]["single"]["entrants"]) == ["mine", "kcf/average"]
        assert "the best peer" in text


def test_a_comparison_can_start_at_later_frames_and_leave_frames_out(data_root, random_weights, tmp_path, capsys):
    arguments = [f"--clips={data_root}/rgbt_video/walk", "--step=2", "--start-every=15", "--frames=3", "--device=cpu"]
    assert main(["compare", *arguments, f"--weights=mine={random_weights}", f"--json={tmp_path / 'scores.json'}"]) == 0
    report = json.loads((tmp_path / "scores.json").read_text())
    assert report["sets"]["paired"]["sequences"] == {n: {"frames": 3, "present": 3} for n in ("walk/A", "walk/A@15")}
    assert report["step"] == report["entrants"]["mine"]["step"] == 2
    assert "One frame in 2 was shown." in capsys.readouterr().out


def test_a_comparison_can_move_the_camera(data_root, random_weights, tmp_path, capsys):
    rates = set()
    for more in ([], ["--camera-motion=6"]):
        arguments = [f"--clips={data_root}/rgbt_video/walk", "--frames=3", "--device=cpu", *more]
        assert main(["compare", *arguments, f"--weights=mine={random_weights}", f"--json={tmp_path / 'it.json'}"]) == 0
        report = json.loads((tmp_path / "it.json").read_text())
        rates.add(report["sets"]["paired"]["entrants"]["mine"]["mean"]["sr"])
    assert len(rates) == 2 and report["camera_motion"] == 6
    assert "The camera moves by about 6 pixels a frame." in capsys.readouterr().out


def test_where_only_every_fifth_frame_is_shown_each_counts_for_five(walk):
    seen = walk.stepped(5)
    trackers = [TPFEntrant("mine", "tiny", device="cpu", threads=1, step=step) for step in (1, 5)]
    sides = [run_one_pass(tracker.open(), seen).boxes[1, 2:] for tracker in trackers]
    assert np.abs(np.log(sides[1] / seen.boxes[0, 2:])).max() > 1.5 * np.abs(np.log(sides[0] / seen.boxes[0, 2:])).max()


def test_another_process_gives_the_same_scores(walk, random_weights):
    entrant = TPFEntrant("mine", "auto", random_weights, threads=1)
    (here,), (there,) = (evaluate_all([entrant], [walk.head(3)], workers=workers) for workers in (1, 2))
    assert (here.entrant, here.sequence) == (there.entrant, there.sequence) == ("mine", "walk/A")
    np.testing.assert_array_equal(here.scores.overlaps, there.scores.overlaps)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--model=small"], "give --clips, --single or --folder"),
        (["--clips={walk}"], "give --model, --weights or --peer"),
        (["--clips={walk}", "--clips={walk}", "--model=small"], "two targets are called 'walk/A'"),
        (["--clips={walk}", "--weights=a={root}/none.safetensors"], "a: weights file .*none.safetensors does not"),
        (["--clips={walk}", "--weights=small=f", "--model=small"], "two trackers are called 'small'"),
        (["--clips={root}/nowhere", "--model=small"], "nowhere: no clips"),
        (["--folder={root}/nowhere", "--model=small"], "nowhere: no such folder"),
        (["--clips={walk}", "--model=small", "--json={root}/none/a.json"], "none/a.json: there is no folder .*none"),
        (["--clips={walk}", "--model=small", "--black=visible"], "--black and --black-from go together"),
        (["--single={single}", "--model=small", "--absent=visible", "--absent-from=3"], "V_ONE has only visible"),
        (["--single={single}", "--model=small", "--black=thermal", "--black-from=3"], "V_ONE has no thermal images"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_before_anything_runs(data_root, single, capsys, arguments, message):
    places = {"walk": data_root / "rgbt_video/walk", "root": data_root, "single": single}
    assert main(["compare", *(argument.format(**places) for argument in arguments)]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error) and error.count("\n") == 1
