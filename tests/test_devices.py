"""Where networks run, and in which number format."""

import pytest
import torch

from flexpose_core import devices
from flexpose_core.errors import ConfigError

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(autouse=True)
def asked_anew():
    devices.computes_bfloat16.cache_clear()
    yield
    devices.computes_bfloat16.cache_clear()


def product_type(**arguments) -> torch.dtype:
    with devices.mixed_precision(CPU, **arguments):
        return (torch.ones(2, 2) @ torch.ones(2, 2)).dtype


@pytest.mark.parametrize(
    ("able", "expected"),
    [
        ({"avx2": True}, torch.float32),
        ({"avx2": True, "avx512_f": True, "avx512_bf16": False}, torch.float32),
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
        ({"neon": True, "sve_bf16": True}, torch.bfloat16),
    ],
)
def test_processors_that_only_imitate_bfloat16_are_spared_it(monkeypatch, able, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert product_type() == expected
    assert product_type(enabled=False) == torch.float32
    assert devices.arithmetic(CPU).endswith(" with bfloat16" if expected == torch.bfloat16 else " without bfloat16")


def test_what_may_not_be_in_bfloat16_is_not_said_to_be(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    assert devices.arithmetic(CPU).endswith(" with bfloat16")
    assert devices.arithmetic(CPU, mixed=False).endswith(" without bfloat16")


def test_single_precision_is_not_tensorfloat_and_ends():
    before, inside = torch.backends.cudnn.allow_tf32, []

    @devices.single_precision()
    def failing():
        inside.append(torch.backends.cudnn.allow_tf32)
        raise KeyError

    with pytest.raises(KeyError):
        failing()
    assert inside == [False]
    assert torch.backends.cudnn.allow_tf32 == before


def test_a_torch_that_does_not_know_its_processor_computes_in_single_precision(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert product_type() == torch.float32


def test_gpus_older_than_bfloat16_are_spared_it(monkeypatch):
    asked = []
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **how: asked.append(how))
    assert not devices.computes_bfloat16(GPU)
    assert asked == [{"including_emulation": False}]


def test_a_gpu_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert devices.pick_device() == CPU
    with pytest.raises(ConfigError, match="expected a CUDA device, found none"):
        devices.pick_device("cuda")
    with pytest.raises(ConfigError, match="expected auto, cpu or cuda, found 'tpu'"):
        devices.pick_device("tpu")
