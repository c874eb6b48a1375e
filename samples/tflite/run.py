"""A TFLite model: converted to ONNX, compiled with the built-in kernels, and compared with TensorFlow Lite."""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from substitute import Session, compile_model

IN_MEDIAPIPE = "mediapipe/modules/face_detection/face_detection_short_range.tflite"


def read_model(path: Path) -> bytes:
    """Return the bytes of a `.tflite` file, or of the face detector in a wheel of mediapipe."""
    if path.suffix != ".whl":
        return path.read_bytes()
    with zipfile.ZipFile(path) as wheel:
        return wheel.read(IN_MEDIAPIPE)


def convert(model: bytes, folder: Path) -> Path:
    source, target = folder / "model.tflite", folder / "model.onnx"
    source.write_bytes(model)
    command = [sys.executable, "-m", "tf2onnx.convert", "--tflite", source, "--output", target, "--opset", "17"]
    subprocess.run(command, check=True, capture_output=True)
    return target


def run_tflite(model: bytes) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return random inputs and TensorFlow Lite's results, in the model's order."""
    interpreter = tf.lite.Interpreter(model_content=model)
    interpreter.allocate_tensors()
    random = np.random.default_rng(0)
    inputs = [random.random(d["shape"], dtype=np.float32) for d in interpreter.get_input_details()]
    for detail, value in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], value)
    interpreter.invoke()
    return inputs, [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]


model = read_model(Path(sys.argv[1]))
inputs, wanted = run_tflite(model)
with tempfile.TemporaryDirectory() as folder:
    result = compile_model(convert(model, Path(folder)))
kernels = sorted({s.kernel.name for s in result.plan.substitutions})
print(f"{len(result.plan.substitutions)} of {len(result.plan.dispatches)} dispatches substituted: {', '.join(kernels)}")
with Session(result.vmfb) as session:
    found = session.call("tf2onnx", inputs)
for number, (a, b) in enumerate(zip(found, wanted, strict=True)):
    error = np.abs(a - b).max() / np.abs(b).max()
    print(f"result {number}, {'x'.join(map(str, a.shape))}: largest difference {error:.2g} of the largest value")
    assert error < 1e-4, "the compiled model is wrong"
