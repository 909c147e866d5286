"""The C program computes what its reference in Python computes, bit by bit, within the memory that it states."""

import copy
import re
import shutil
import subprocess

import exported
import networks
import numpy as np
import pytest
import random_networks
import torch
from hypothesis import given, settings
from torch import nn

from tinycnn.errors import SpecError
from tinycnn.export import emit, host, memory
from tinycnn.integers import fixed
from tinycnn.integers.quantise import program_of
from tinycnn.spec import Conv, Head, Network, Repeat

needs_compiler = pytest.mark.skipif(not host.compiler(), reason="no C compiler")
SANITIZED = "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover"


def noise(count, channels=1, size=28):
    return np.random.default_rng(0).integers(0, 256, (count, channels, size, size), dtype=np.uint8)


def pictures(channels=1):
    return np.concatenate([exported.images(40, channels, seed=5).numpy(), noise(20, channels)])


@needs_compiler
@pytest.mark.parametrize("name", exported.NAMES)
def test_c_equals_its_reference_in_python_on_every_image(name, tmp_path):
    program, _ = exported.written(tmp_path, *exported.named_program(name))
    made = host.compiled(tmp_path, "net", host.compiler(), "-O1")
    assert np.array_equal(host.run(made, pictures(), 10)[0], program.run(pictures()))


@needs_compiler
@pytest.mark.parametrize("name", ["every layer", "residual of the image", "norm of the image"])
def test_c_of_colour_images_equals_its_reference(name, tmp_path):
    program, _ = exported.written(tmp_path, *exported.named_program(name, 3))
    made = host.compiled(tmp_path, "net", host.compiler(), "-O1")
    assert np.array_equal(host.run(made, pictures(3), 10)[0], program.run(pictures(3)))


@needs_compiler
def test_c_breaks_no_rule_of_the_language(tmp_path):
    program, _ = exported.written(tmp_path, *exported.named_program("every layer"))
    try:
        made = host.compiled(tmp_path, "net", host.compiler(), *SANITIZED)
    except Exception as error:  # a compiler without the sanitizers' library
        pytest.skip(str(error))
    assert np.array_equal(host.run(made, pictures(), 10)[0], program.run(pictures()))


def whole(folder, compiler, *flags, name="every layer", before=()):
    """Check the C of a network, compiled in one way."""
    program, _ = exported.written(folder, *exported.named_program(name))
    made = host.compiled(folder, "net", compiler, *flags)
    assert np.array_equal(host.run(made, pictures(), 10, *before)[0], program.run(pictures()))


@pytest.mark.slow
@pytest.mark.parametrize("bits", ["-m64", "-m32"])
@pytest.mark.parametrize("flags", [("-O0",), ("-O1",), ("-O2",), ("-O3", "-Wconversion"), SANITIZED])
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_c_is_the_same_with_every_compiler_and_optimisation(compiler, flags, bits, tmp_path):
    if not shutil.which(compiler):
        pytest.skip(f"{compiler} is not installed")
    (tmp_path / "main.c").write_text("int main(void) { return 0; }\n")
    empty = [compiler, bits, *flags, str(tmp_path / "main.c"), "-o", str(tmp_path / "main")]
    if subprocess.run(empty, capture_output=True).returncode:
        pytest.skip(f"{compiler} has no libraries for {bits} {' '.join(flags)}")
    flags = [flag for flag in flags if flag != "-Wconversion"]
    for name in exported.NAMES:
        whole(tmp_path, compiler, bits, *flags, name=name)


VECTORS = """extern void _start(void);
__attribute__((section(".vectors"), used)) void (*const vectors[])(void) = {(void (*)(void))0x20400000, _start};
"""


@pytest.mark.slow
@pytest.mark.parametrize(("processor", "board"), [("cortex-m3", "mps2-an385"), ("cortex-m4", "mps2-an386")])
def test_c_runs_on_a_microcontroller_and_needs_the_memory_that_it_states(processor, board, tmp_path):
    compiler, emulator = "arm-none-eabi-gcc", "qemu-system-arm"
    if not shutil.which(compiler) or not shutil.which(emulator):
        pytest.skip(f"{compiler} and {emulator} are not both installed")
    flags = f"-mcpu={processor}", "-mthumb", "-Os"
    _, files = exported.written(tmp_path, *exported.named_program("every layer"))
    subprocess.run([compiler, *flags, "-std=c99", "-c", "net.c"], cwd=tmp_path, check=True)
    listed = subprocess.run(["arm-none-eabi-size", "-A", "net.o"], cwd=tmp_path, capture_output=True, text=True)
    sections = {row.split()[0]: int(row.split()[1]) for row in listed.stdout.splitlines() if row.startswith(".")}
    constants = sum(size for name, size in sections.items() if name.startswith(".rodata"))
    assert constants == pytest.approx(files.flash, rel=0.03), "but for gaps between arrays, and what becomes code"
    assert sections[".bss"] == -(-files.ram // 4) * 4 and sections[".data"] == 0
    (tmp_path / "vectors.c").write_text(VECTORS)
    places = "-Wl,--section-start=.vectors=0", "-Wl,-Ttext=0x400", "-Wl,-Tdata=0x20000000"
    console = "-display", "none", "-serial", "none", "-monitor", "none"
    emulated = emulator, "-M", board, *console, "-semihosting-config", "enable=on,target=native", "-kernel"
    whole(tmp_path, compiler, *flags, "--specs=rdimon.specs", *places, str(tmp_path / "vectors.c"), before=emulated)


@needs_compiler
@settings(max_examples=5)
@given(random_networks.networks(size=28))
def test_c_of_any_layers_equals_its_reference(tmp_path_factory, network):
    torch.manual_seed(0)
    built, folder = networks.built(network), tmp_path_factory.mktemp("any")
    built(torch.randn(8, 1, 28, 28))
    program, _ = exported.written(folder, *exported.program(built.eval().requires_grad_(False)))
    made = host.compiled(folder, "net", host.compiler(), *SANITIZED)
    assert np.array_equal(host.run(made, noise(6), 10)[0], program.run(noise(6)))


@pytest.mark.parametrize("name", exported.NAMES)
def test_whole_numbers_are_near_the_logits_in_floating_point(name):
    (graph, program), pixels = exported.named_program(name), exported.images(40, seed=5)
    wanted = graph.forward(pixels.double())
    wrong = torch.from_numpy(program.run(pixels.numpy()) * program.step) - wanted
    assert wrong.std() < 0.05 * wanted.std(), "of tens of layers with random weights, on images unlike digits"


def test_the_mean_of_the_logits_is_that_in_floating_point():
    (graph, program), pixels = exported.named_program("every layer"), exported.images(64)
    wanted = graph.forward(pixels.double())
    wrong = torch.from_numpy(program.run(pixels.numpy()) * program.step) - wanted
    assert wrong.mean(0).abs().max() < 0.1 * wrong.std(), "each convolution's bias makes up for what rounding shifts"


def test_weights_that_repeats_share_are_stored_once(tmp_path):
    once, many = (Network(Conv(6), Repeat(Conv(6, padding=1), times=n, shared=True), Head()) for n in (1, 5))
    sizes = []
    for network in (once, many):
        built = networks.built(network)
        built(torch.randn(8, 1, 28, 28))  # statistics of each pass are its own
        sizes.append(exported.written(tmp_path, *exported.program(built.eval()))[1].weights)
    assert sizes[0] == sizes[1] == 6 * 9 + 6 * 6 * 9 + 6 * 10


def test_the_head_states_flash_ram_and_work(tmp_path):
    program, files = exported.written(tmp_path, *exported.named_program("model_3"))
    head = files.header[: files.header.index("*/")]
    stated = [int(number) for number in re.findall(r"(\d+) (?:bytes|multiply)", head)]
    assert stated == [files.flash, files.ram, program.macs] and f"{files.weights} of them weights" in head
    assert files.weights == sum(p.numel() for p in networks.built(networks.model_3()).parameters() if p.dim() > 1)


def test_an_output_takes_the_place_of_rows_that_are_needed_no_more(tmp_path):
    program, files = exported.written(tmp_path, *exported.named_program("model_3"))
    sizes = sorted(memory.size_of(program, step.output) for step in program.steps)
    assert sizes[-1] <= files.ram < sizes[-1] + sizes[-3], "two maps side by side would need more"


def test_batch_norm_with_a_factor_of_zero_leaves_its_constant(tmp_path):
    network = networks.built(Network(Conv(4), Conv(4), Head())).eval().requires_grad_(False)
    norm = next(each for each in network[1].modules() if isinstance(each, nn.BatchNorm2d))
    norm.weight.zero_()
    norm.bias.copy_(torch.tensor([1.0, 0.5, 0.0, -1.0]))
    graph = exported.graph(network)
    program, pixels = program_of(graph, exported.images(64)), exported.images(4)
    scores = torch.from_numpy(program.run(pixels.numpy()) * program.step)
    wanted = graph.forward(pixels.double())
    assert (scores - wanted).abs().max() < 0.01 * wanted.abs().max()


def test_a_sum_that_32_bits_cannot_hold_is_refused_in_one_line():
    network = nn.Sequential(nn.Conv2d(1, 96, 1), nn.ReLU(), nn.Flatten(), nn.Linear(96 * 784, 10))
    nn.init.ones_(network[3].weight)
    with pytest.raises(SpecError, match="more than 32 bits"), torch.no_grad():
        program_of(exported.graph(network), exported.images(2))


def test_requantisation_rounds_as_is_stated():
    sums, multiplier = np.array([3, 1, -1, -3, 5]), np.array([16384] * 5)
    assert fixed.requantised(sums, multiplier, 15).tolist() == [2, 1, 0, -1, 3]


def test_multipliers_are_within_a_part_in_thirty_thousand():
    factors = np.geomspace(1e-7, 900, 400) * np.where(np.arange(400) % 2, 1, -1)
    (found,), shifts = fixed.multipliers(factors)
    assert np.abs(found).max() < 2**15 and shifts.min() >= 1
    assert np.allclose(found / 2.0**shifts, factors, rtol=2**-15)


def test_the_sigmoid_is_near_the_function():
    numbers = np.arange(-(9 << 12), 9 << 12, 7)
    assert np.abs(fixed.sigmoid(numbers) / 2**15 - 1 / (1 + np.exp(-numbers / 4096))).max() < 4e-4


@pytest.mark.parametrize("function", [nn.SiLU(), nn.GELU(), nn.Tanh(), nn.ELU(0.5), nn.Hardtanh(), nn.Mish()])
def test_a_curve_is_near_its_function(function):
    numbers = np.arange(-(12 << 12), 12 << 12, 7)
    wanted = function(torch.from_numpy(numbers / 4096)).numpy()
    wrong = np.abs(fixed.curve(fixed.curve_table(function), numbers) / 2**11 - wanted)
    assert wrong[np.abs(numbers) < 8 << 12].max() < 0.005 and wrong.max() < 0.02


def test_a_function_that_a_curve_cannot_follow_is_looked_up():
    for function in (nn.Softsign(), nn.ELU(100.0), nn.Hardtanh(-20, 20), nn.Softplus(50.0)):
        assert fixed.curve_table(function) is None
        network = nn.Sequential(nn.Conv2d(1, 10, 28), function, nn.Flatten()).eval().requires_grad_(False)
        assert [type(step.operation).__name__ for step in exported.graph(network).steps] == ["Conv", "Lookup"]


def test_channels_have_ranges_of_their_own_where_only_depthwise_convolutions_take_them():
    graph, program = exported.named_program("separable")
    own = [type(step.operation).__name__ for step in graph.steps if np.ndim(program.formats[step.output].scale)]
    # two convolutions and their pools; the last but one is taken by a depthwise convolution with ReLU
    assert own == ["Conv", "MaxPool", "Conv", "MaxPool", "Blur", "Conv"]
    assert not any(np.ndim(each.scale) for each in exported.named_program("every layer")[1].formats.values())


def test_a_channel_that_is_almost_dead_does_not_hinder_the_others():
    network = copy.deepcopy(exported.trained("separable"))
    norm = next(each for each in network[0].modules() if isinstance(each, nn.BatchNorm2d))
    norm.weight[0], norm.bias[0] = 1e-9, 1e-9
    graph, program = exported.program(network)
    wanted = graph.forward(exported.images(20).double()).numpy()
    assert np.abs(program.run(exported.images(20).numpy()) * program.step - wanted).std() < 0.05 * wanted.std()


def test_names_that_c_does_not_allow_are_changed(tmp_path):
    made = exported.graph(exported.trained("a linear layer alone"))
    files = emit.files("my-net", made, program_of(made, exported.images(2)), ["*/", "b"], "by */ me")
    assert files.name == "my_net" and "int my_net_predict" in files.header and files.header.count("*/") == 2
