"""From trained weights to a device: ONNX, int8, C and safetensors."""


def load(path):
    """Return the network of a folder with ``spec.json`` and ``weights.safetensors``, or of a run's checkpoint.pt.

    It is an ``nn.Module`` in evaluation mode that maps uint8 images (N, C, H, W) to logits (N, classes). Raises
    UserError.
    """
    from pathlib import Path

    from tinycnn.export import subject

    found = subject.load(Path(path))
    return subject.Pixels(found.network, found.mean, found.std).eval()
