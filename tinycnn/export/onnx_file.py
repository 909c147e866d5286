"""A network as ONNX, in floating point and in 8 bits. Both take uint8 images (N, C, H, W) and return float32 logits."""

import contextlib
import io
import logging
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch

from tinycnn.errors import SpecError, one_line
from tinycnn.export.subject import Pixels, Subject

CALIBRATION = 1000
"""Training images that onnxruntime takes ranges from, evenly spaced; without augmentation."""
_SHARE = 99.99
"""Percent of a map's numbers that its range holds: the few beyond it would cost all others their precision."""
_BATCH = 250


def save(path: Path, subject: Subject) -> None:
    """Write a network as ONNX, batch norm folded, with its origin as metadata.

    Raises SpecError for what torch's exporter cannot express.
    """
    import onnx

    network = Pixels(subject.network, subject.mean, subject.std).eval()
    example = torch.zeros(2, *subject.data.shape, dtype=torch.uint8)
    options = {"input_names": ["images"], "output_names": ["logits"], "dynamic_shapes": ({0: torch.export.Dim("n")},)}
    try:
        with _quiet():
            made = torch.onnx.export(network, (example,), dynamo=True, **options)
            model = made.model_proto
    except Exception as error:  # torch has many kinds for what a network may contain
        raise SpecError(f"model: torch cannot export it to ONNX ({one_line(error)})") from error
    if not model.graph.input[0].type.tensor_type.shape.dim[0].dim_param:
        raise SpecError("model: torch fixes the number of images in ONNX; write x.shape[0] in place of len(x)")
    _bare(model)  # torch notes the exporting machine's paths, in twice the size of the weights
    onnx.helper.set_model_props(model, subject.origin)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _bare(model) -> None:
    """Remove what torch notes about its own objects from a model."""
    graph = model.graph
    del model.metadata_props[:]
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""


def save_int8(path: Path, source: Path, pixels: np.ndarray) -> None:
    """Write the ONNX file ``source`` in 8 bits: weights by channel, ranges from uint8 training images (N, C, H, W).

    By onnxruntime's static quantisation, between QuantizeLinear and DequantizeLinear, with activations as uint8.
    """
    import onnx
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):
        batches = iter(np.split(pixels, range(_BATCH, len(pixels), _BATCH)))

        def get_next(self):
            return next(({"images": batch} for batch in self.batches), None)

    with tempfile.TemporaryDirectory() as folder, _quiet():
        prepared, made = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
        quantization.quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantization.quantize_static(
            str(prepared), str(made), Reader(), per_channel=True,
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.Percentile,
            extra_options={"CalibPercentile": _SHARE},
        )  # fmt: skip
        model = onnx.load(made)
    facts = {each.key: each.value for each in onnx.load(source).metadata_props}
    _bare(model)
    onnx.helper.set_model_props(model, facts)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


def logits(path: Path, pixels: np.ndarray) -> np.ndarray:
    """Return the logits, float32 (N, classes), that onnxruntime computes of uint8 images (N, C, H, W)."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    batches = np.split(pixels, range(_BATCH, len(pixels), _BATCH))
    return np.concatenate([session.run(None, {"images": batch})[0] for batch in batches])


@contextlib.contextmanager
def _quiet():
    """Keep what torch's exporter and onnxruntime print about their progress from the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
