"""The native kernels compute what torch computes, for any network, batch and number of threads."""

import copy

import networks
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import prune

from tinycnn.network import native
from tinycnn.network.native import library
from tinycnn.spec import Conv, Head, MaxPool, Network, Repeat, Residual, SqueezeExcite
from tinycnn.train.loop import accelerated, train

pytestmark = pytest.mark.skipif(bool(native.missing()), reason=f"no native kernels: {native.missing()}")


def shuffled_norms(network):
    """Give batch norm other values than those it starts with, negative factors among them."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight)
            nn.init.normal_(layer.bias)
    return network


def sequential(*layers):
    return shuffled_norms(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()))


NETWORKS = {
    "model_1": lambda: networks.built(networks.model_1()),
    "model_2, dropout": lambda: shuffled_norms(networks.built(networks.model_2(dropout=0.3))),
    "model_2, padded": lambda: shuffled_norms(networks.built(networks.model_2(padding=1))),
    "model_3": lambda: shuffled_norms(networks.built(networks.model_3((3, 5, 7, 13, 17, 25, 33)))),
    "shared weights": lambda: shuffled_norms(
        networks.built(
            Network(Conv(6), Repeat(Repeat(Conv(6, padding=1), shared=True), Conv(6), shared=True), MaxPool(2), Head())
        )
    ),
    "residual": lambda: shuffled_norms(
        networks.built(Network(Conv(8), MaxPool(2), Residual(Conv(8), Conv(8, stride=2)), SqueezeExcite(3), Head()))
    ),
    "kernels of 1, 2, 4, 5, 7": lambda: sequential(
        *(nn.Conv2d(1, 4, 5, padding=3, bias=False), nn.BatchNorm2d(4), nn.ReLU()),
        *(nn.Conv2d(4, 6, 2), nn.ReLU(), nn.MaxPool2d(3)),
        *(nn.Conv2d(6, 5, 4, padding=2), nn.ReLU(), nn.Conv2d(5, 3, 7, padding=5), nn.Conv2d(3, 10, 1)),
    ),
    "bias, no ReLU, pool that leaves a border": lambda: sequential(
        *(nn.Conv2d(1, 4, 3, bias=True), nn.MaxPool2d(4)),
        *(nn.Conv2d(4, 10, 3, bias=False), nn.BatchNorm2d(10), nn.MaxPool2d(3)),
    ),
    "ends without an average": lambda: nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(5), nn.Flatten(), nn.Linear(100, 10)
    ),
    "a layer of another kind": lambda: sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.GELU(), nn.Conv2d(4, 6, 3, stride=2), nn.ReLU(), nn.Conv2d(6, 10, 3)
    ),
    "ReLU before batch norm": lambda: sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), nn.Conv2d(4, 10, 1)),
}


def both(name, count):
    """Return logits, gradients and running statistics after a step, of torch in float64 and of the kernels."""
    torch.manual_seed(1)
    exact = NETWORKS[name]()
    ours = copy.deepcopy(exact)
    exact = exact.double()
    images, labels = torch.randn(count, 1, 28, 28), torch.randint(0, 10, (count,))
    found = []
    for network, call, pixels in ((exact, exact, images.double()), (ours, native.Native(ours), images)):
        call.train()
        for layer in network.modules():
            if isinstance(layer, nn.Dropout | nn.Dropout2d):
                layer.p = 0.0  # in float64 others would be drawn
        logits = call(pixels)
        functional.cross_entropy(logits, labels).backward()
        call.eval()
        with torch.no_grad():
            evaluated = call(pixels)
        gradients = [parameter.grad for parameter in network.parameters()]
        found.append([logits, evaluated, *gradients, *network.buffers()])
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_gradients_and_statistics_are_torchs(name):
    for exact, ours in zip(*both(name, 71), strict=True):
        assert exact.shape == ours.shape
        assert (ours.double() - exact).norm() <= 2e-4 * exact.double().norm() + 1e-6


@pytest.mark.parametrize("of", ["maps", "elements"])
def test_dropout_drops_what_torch_would(of):
    torch.manual_seed(1)
    network = networks.built(networks.model_2(dropout=0.3, dropout_of=of))
    images = torch.randn(40, 1, 28, 28)
    results = []
    for call in (network, native.Native(network)):
        call.train()
        torch.manual_seed(5)
        out = call(images)
        out.square().sum().backward()
        results.append([out, *(parameter.grad.clone() for parameter in network.parameters())])
        network.zero_grad()
    torch.testing.assert_close(*results, atol=1e-3, rtol=1e-3)


def test_the_kernels_compute_every_layer_of_the_project():
    for name, function in networks.NAMED.items():
        taken, layers, first = native.coverage(networks.built(function()))
        assert taken == layers and not first, name
    taken, layers, first = native.coverage(networks.built(networks.everything()))
    assert taken == layers and not first


class Halved(nn.Module):
    """A layer of one's own."""

    def __init__(self):
        super().__init__()
        self.by = nn.Parameter(torch.tensor(0.5))

    def forward(self, images):
        return images * self.by


def test_before_and_after_a_layer_of_ones_own_the_kernels_compute():
    torch.manual_seed(1)
    inside = nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.PReLU()), Halved(), nn.Conv2d(6, 10, 3)
    network = sequential(nn.Conv2d(1, 4, 3), Halved(), *inside)
    exact = copy.deepcopy(network).double()
    assert native.coverage(network) == (6, 8, "Halved")
    images = torch.randn(40, 1, 12, 12)
    ours = native.Native(network)
    (logits,) = (ours(images),)
    assert [type(part).__name__ for part in ours.parts] == ["_Part", "Sequential"] * 2 + ["_Part"]
    logits.square().sum().backward()
    wanted = exact(images.double())
    wanted.square().sum().backward()
    torch.testing.assert_close(logits.double(), wanted, atol=1e-5, rtol=1e-5)
    for mine, theirs in zip(network.parameters(), exact.parameters(), strict=True):
        torch.testing.assert_close(mine.grad.double(), theirs.grad, atol=1e-3, rtol=1e-3)


def halve(module, _, output):
    return output / 2


def orthogonal(network):
    network[-1].weight = nn.Parameter(torch.linalg.svd(torch.randn(10, 6), full_matrices=False)[0].T.contiguous().T)
    assert not network[-1].weight.is_contiguous()


CHANGES = {
    "a hook": lambda network: network[0].register_forward_hook(halve),
    "a hook of several layers": lambda network: network[1].register_forward_hook(halve),
    "spectral norm": lambda network: nn.utils.spectral_norm(network[0]),
    "weight norm": lambda network: nn.utils.weight_norm(network[0]),
    "pruning": lambda network: prune.l1_unstructured(network[0], "weight", 0.5),
    "weights by column": orthogonal,
    "windows as lists": lambda network: network.insert(1, nn.MaxPool2d([2, 2], padding=[0, 0])),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@pytest.mark.parametrize("change", CHANGES)
def test_what_torch_does_around_a_layer_is_done(change):
    torch.manual_seed(1)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.Sequential(nn.ReLU(), nn.Conv2d(4, 6, 3), nn.SiLU()),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 10),
    )  # fmt: skip
    CHANGES[change](network)
    if change == "a hook":
        assert native.coverage(network) == (5, 6, "Conv2d with hooks")
    images, found = torch.randn(20, 1, 12, 12), []
    for call in (network, native.Native(network)):
        call.eval()
        with torch.no_grad():
            found.append([call(images)])
        call.train()
        if change != "spectral norm":  # which changes its estimate
            call(images).square().sum().backward()
            found[-1] += [parameter.grad.clone() for parameter in network.parameters()]
            network.zero_grad()
    torch.testing.assert_close(*found, atol=1e-4, rtol=1e-4)


def test_what_the_kernels_cannot_take_torch_computes_or_refuses():
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Linear(10, 3))  # along rows: torch's meaning of it
    images = torch.randn(5, 1, 12, 12)
    torch.testing.assert_close(native.Native(network)(images), network(images))
    with pytest.raises(RuntimeError):
        native.Native(network)(torch.randn(5, 2, 12, 12))


@pytest.mark.parametrize("model", [networks.model_2(dropout=0.1), networks.everything()], ids=["plain", "everything"])
def test_the_number_of_threads_changes_no_bit(tiny, tiny_data, model):
    weights, spec = [], tiny.but(model=model, train={"kernels": "native", "epochs": 2})
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            *_, last = train(spec, 0, data=tiny_data)
            weights.append(torch.cat([value.flatten().double() for value in last.state.network.state_dict().values()]))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(weights[0], weights[1]) and torch.equal(weights[0], weights[2])


def test_a_training_gives_the_results_of_torchs_kernels(tiny, tiny_data):
    slow = tiny.but(optimizer={"lr": 0.001})
    results = [
        list(train(slow.but(train={"kernels": kernels, "epochs": 2}), 0, data=tiny_data))
        for kernels in ("torch", "native")
    ]
    for theirs, ours in zip(*results, strict=True):
        assert ours.train_loss == pytest.approx(theirs.train_loss, rel=1e-3)
        assert ours.loss == pytest.approx(theirs.loss, rel=1e-2)


def test_a_network_without_supported_layers_is_computed_by_torch(tiny):
    spec, network = tiny.but(train={"kernels": "native"}), Halved()
    assert accelerated(spec, network, torch.device("cpu")) is network


@pytest.mark.parametrize("compiler", ["/nowhere/c++", "false"])
def test_without_a_compiler_the_reason_is_given(monkeypatch, tmp_path, compiler):
    monkeypatch.setenv("CXX", compiler)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    library.load.cache_clear()
    try:
        assert compiler in native.missing()
    finally:
        library.load.cache_clear()
