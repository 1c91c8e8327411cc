import pytest

from tpf_training.engine.precision import trainer_precision


@pytest.mark.parametrize("flags, expected", [({"avx2", "avx512_bf16"}, "bf16-mixed"), ({"avx2"}, "32-true")])
def test_a_processor_trains_in_what_it_multiplies_by_itself(monkeypatch, flags, expected):
    monkeypatch.setattr("tpf_model.cpu.cpu_flags", lambda: flags)
    assert trainer_precision("auto", "cpu") == expected
    assert trainer_precision("16-mixed", "cpu") == "16-mixed"  # what is asked for is not changed


@pytest.mark.parametrize("own_bfloat16, expected", [(True, "bf16-mixed"), (False, "16-mixed")])
def test_so_does_a_gpu_where_there_is_one(monkeypatch, own_bfloat16, expected):
    monkeypatch.setattr("tpf_model.cpu.cpu_flags", lambda: {"avx2"})
    monkeypatch.setattr("tpf_training.engine.precision.torch.cuda.is_available", lambda: True)
    monkeypatch.setattr(
        "tpf_training.engine.precision.resolve_precision",
        lambda name, device: {"cuda": "bfloat16" if own_bfloat16 else "float16", "cpu": "float32"}[device.type],
    )
    assert [trainer_precision("auto", name) for name in ("auto", "gpu")] == [expected] * 2
    assert trainer_precision("auto", "cpu") == "32-true"
