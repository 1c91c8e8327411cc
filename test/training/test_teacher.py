"""A student's encoder imitates a larger one's."""

import torch

from tpf_model.config import load_variant
from tpf_model.network import TPFNetwork
from tpf_model.weights import shipped_weights
from tpf_training.teacher import Captured, Teacher
from tpf_training.weight_selection import select_weights


def test_a_student_comes_to_say_what_its_teacher_says_and_the_teacher_stays():
    torch.manual_seed(0)
    student = TPFNetwork(load_variant("tiny"))
    teacher = Teacher(shipped_weights("small"), student).train()
    select_weights(student, teacher.network)
    before = {name: value.clone() for name, value in teacher.network.state_dict().items()}
    images = [torch.rand(1, 3, size, size) for size in (128, 128, 256)]
    learning = [p for part in (student, teacher) for p in part.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(learning, lr=1e-3)
    losses = []
    for _ in range(12):
        with Captured(student.encoder) as captured:
            student.encode(*images)
        loss = teacher(captured, images)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    torch.testing.assert_close(teacher.network.state_dict(), before, rtol=0, atol=0)
