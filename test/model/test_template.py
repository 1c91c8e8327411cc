"""The template rule, frame by frame."""

import numpy as np
from tpf_model.template import TemplateRule


def run(rule, scores):
    """The frame number (from 1) whose view becomes the template after each frame, or None."""
    return [rule.observe(score, frame) for frame, score in enumerate(scores, 1)]


def test_the_latest_confident_view_is_due_every_interval():
    scores = [0.9, 0.5, 0.8, 0.5, 0.2, 0.7, 0.1, 0.9, 0.66, 0.65]
    assert run(TemplateRule(interval=5, score=0.65), scores) == [None] * 4 + [3] + [None] * 4 + [9]


def test_a_score_equal_to_the_threshold_does_not_exceed_it():
    assert run(TemplateRule(interval=1, score=0.65), [0.65, np.nextafter(0.65, 1), 0.65]) == [None, 2, None]


def test_the_frame_of_the_update_counts_for_it():
    assert run(TemplateRule(interval=3, score=0.65), [0.9, 0.1, 0.9]) == [None, None, 3]


def test_without_a_confident_frame_the_template_stays():
    rule = TemplateRule(interval=2, score=0.65)
    assert run(rule, [0.1] * 5) == [None] * 5
    assert run(rule, [0.9]) == [1]  # the sixth frame of the rule


def test_it_equals_the_rule_as_published_on_random_scores():
    scores = np.random.default_rng(0).uniform(0.3, 0.9, 1000)
    template = buffer = expected = 0  # as published: one buffer, fused crops, copied every 50 frames
    rule = TemplateRule(interval=50, score=0.65)
    for frame, score in enumerate(scores, 1):
        if score > 0.65:
            buffer = frame
        if frame % 50 == 0:
            expected = buffer
        due = rule.observe(score, frame)
        template = template if due is None else due
        assert template == expected, f"frame {frame}"
    assert template > 900
