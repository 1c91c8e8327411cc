"""A compiled kernel of another source than Python's is found out when it is loaded, and not called."""

import pytest
import torch

from tpf_model import encoder_native, fusion_native, selective_scan
from tpf_model.compiled import load_kernel
from tpf_model.fusion import PixelFusionAdapter
from tpf_model.runtime import open_session

KERNELS = [
    ("tpf_model._encoder", encoder_native._encoder),
    ("tpf_model._fusion", fusion_native._fusion),
    ("tpf_model.selective_scan._native", selective_scan.native._native),
]


@pytest.mark.parametrize("name, kernel", KERNELS)
def test_only_the_expected_interface_is_loaded(name, kernel, monkeypatch):
    assert load_kernel(name, kernel.INTERFACE) == (kernel, "")
    monkeypatch.delattr(kernel, "INTERFACE")  # as before there was one
    loaded, reason = load_kernel(name, 1)
    assert loaded is None and kernel.__file__ in reason and "interface is 0, not 1" in reason and "make setup" in reason


def test_a_missing_kernel_says_so():
    loaded, reason = load_kernel("tpf_model._nothing", 1)
    assert loaded is None and "not compiled when tpf_ros was installed (No module named 'tpf_model._nothing')" in reason


@torch.no_grad()
def test_an_adapter_whose_kernel_is_of_another_source_runs_without_it_and_says_so_once(monkeypatch, caplog):
    adapter, image = PixelFusionAdapter(4), torch.rand(1, 3, 16, 16)
    torch.nn.init.normal_(adapter.decoder.weight, std=0.1)
    wanted = adapter(image, image)
    kernel, reason = load_kernel("tpf_model._fusion", fusion_native._fusion.INTERFACE + 1)
    monkeypatch.setattr(fusion_native, "_fusion", kernel)
    monkeypatch.setattr(fusion_native, "_reason", reason)
    fusion_native._can_run.cache_clear()
    torch.testing.assert_close(adapter(image, image), wanted)
    torch.testing.assert_close(adapter(image, image), wanted)
    fusion_native._can_run.cache_clear()
    assert [reason in record.message for record in caplog.records if record.levelname == "WARNING"] == [True]


def test_an_encoder_whose_kernel_is_missing_runs_without_it_and_says_so_once(monkeypatch, caplog):
    monkeypatch.setattr(encoder_native, "_encoder", None)
    monkeypatch.setattr(encoder_native, "_reason", "it is missing")
    encoder_native._can_run.cache_clear()
    for _ in range(2):
        open_session("tiny", device="cpu", weights="random", precision="float32")
    encoder_native._can_run.cache_clear()
    said = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert said == ["encoder: operation by operation, slower than a compiled kernel; it is missing"]
