"""Networks as people write them in notebooks, for ``Custom``."""

import torch
import torch.nn as nn
import torch.nn.functional as F


class Functional(nn.Module):
    """No arguments; activations, dropout, pooling and log-softmax are functions, and ``view`` flattens."""

    def __init__(self):
        super(Functional, self).__init__()  # noqa: UP008
        self.conv1 = nn.Conv2d(1, 8, 3)  # 26
        self.conv2 = nn.Conv2d(8, 12, kernel_size=3, bias=False)  # 24, then 12
        self.bn2 = nn.BatchNorm2d(12)
        self.conv3 = nn.Conv2d(12, 10, 1)
        self.conv4 = nn.Conv2d(10, 10, 12)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.max_pool2d(F.relu(self.bn2(self.conv2(x))), 2, 2)
        x = F.dropout(x, 0.25, training=self.training)
        x = self.conv4(F.relu(self.conv3(x)))
        x = x.view(-1, 10)
        return F.log_softmax(x, dim=-1)


class Sized(nn.Module):
    """Takes facts of the data set; a list of widths, a dropout and a class among its arguments."""

    def __init__(self, in_channels, num_classes=1000, widths=(4, 6), dropout=0.1, activation=nn.ReLU):
        super().__init__()
        layers = []
        for before, after in zip((in_channels,) + widths, widths):  # noqa: B905
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), activation(), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(widths[-1], num_classes)

    def forward(self, x):
        x = self.features(x).mean([2, 3])
        return self.classifier(self.dropout(x))


class Twice(nn.Module):
    """Calls the same modules several times."""

    def __init__(self, times=2, width=6):
        super().__init__()
        self.times = times
        self.stem = nn.Conv2d(1, width, 3, padding=1)
        self.again = nn.Conv2d(width, width, 3, padding=1, groups=2)
        self.act = nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Conv2d(width, 10, 1)

    def forward(self, x):
        x = self.act(self.stem(x))
        for _ in range(self.times):
            x = self.pool(self.act(self.again(x)))
        return self.head(F.adaptive_avg_pool2d(x, 1)).flatten(1)


class SEBlock(nn.Module):
    def __init__(self, channels, reduction=2):
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(channels, channels // reduction), nn.ReLU(inplace=True),
            nn.Linear(channels // reduction, channels), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, x):
        b, c, _, _ = x.size()
        return x * self.fc(x.mean(dim=(2, 3))).view(b, c, 1, 1)


class Block(nn.Module):
    def __init__(self, into, out, stride):
        super().__init__()
        self.conv = nn.Conv2d(into, out, 3, stride=stride, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(out)
        self.se = SEBlock(out)
        self.short = nn.Sequential()
        if stride != 1 or into != out:
            self.short = nn.Sequential(nn.Conv2d(into, out, 1, stride=stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        return F.relu(self.se(self.bn(self.conv(x))) + self.short(x))


class SmallResNet(nn.Module):
    """Squeeze-and-excite in residual blocks; parameters of its own beside those of its modules."""

    def __init__(self, channels: int, classes: int, depth: int = 2):
        super().__init__()
        self.blocks = nn.Sequential(*(Block(channels if n == 0 else 6, 6, 2) for n in range(depth)))
        self.scale = nn.Parameter(torch.ones(1))
        self.fc = nn.Linear(6, classes)

    def forward(self, x):
        return self.fc(self.blocks(x).mean((2, 3))) * self.scale


def sequential(num_classes, width: int = 4, bias=False, name=None):
    """A function that returns an ``nn.Sequential``."""
    return nn.Sequential(
        nn.Conv2d(1, width, 3, bias=bias), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(width, num_classes, 13), nn.Flatten()
    )


class WeightNormed(nn.Module):
    """Parametrized modules."""

    def __init__(self):
        super().__init__()
        self.conv = nn.utils.parametrizations.weight_norm(nn.Conv2d(1, 28, 5, stride=4))
        self.head = nn.utils.parametrizations.spectral_norm(nn.Linear(28, 10))

    def forward(self, x):
        return self.head(F.relu(self.conv(x)).amax((2, 3)))


class Lazy(nn.Module):
    """Modules whose shapes come from the first image."""

    def __init__(self, kernel=5):
        super().__init__()
        self.conv = nn.LazyConv2d(6, kernel, stride=4)
        self.norm = nn.LazyBatchNorm2d()
        self.head = nn.LazyLinear(10)

    def forward(self, x):
        return self.head(F.relu(self.norm(self.conv(x))).flatten(1))


class Required(nn.Module):
    """An argument without a default."""

    def __init__(
        self, depth, width: int = 4, rate=0.5, names=("a", "b"), maybe=None, flag: bool = True, pairs=((1, 2),)
    ):
        super().__init__()
        self.given = depth, width, rate, names, maybe, flag
        self.pairs = pairs
        self.net = nn.Sequential(nn.Conv2d(1, 10, 28), nn.Flatten())

    def forward(self, x):
        return self.net(x)


class Vanishing(nn.Module):
    """Fails when it is built, or when it is called."""

    def __init__(self, when="made", message="gone\nfor good"):
        super().__init__()
        self.net = nn.Conv2d(1, 10, 28)
        self.when, self.message = when, message
        if when == "made":
            raise KeyError(message)

    def forward(self, x):
        if self.when == "called":
            raise KeyError(self.message)
        x = self.net(x)
        return {"shape": x, "view": x.view(-1, 5), "nan": x.flatten(1) / 0 * 0, "tuple": (x, x)}[self.when]


def nothing():
    """A function that returns nothing."""
    nn.Linear(1, 1)
