"""onnxruntime: prediction only, from a file built here of the same weights."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from benchmarks.child import Job, answer, latency


def model_bytes(root: Path) -> bytes:
    """Return the network as ONNX: Gemm, Relu, Gemm, ArgMax."""
    names = ("W0", "b0", "W1", "b1")
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "W0", "b0"], ["z"]),
            helper.make_node("Relu", ["z"], ["h"]),
            helper.make_node("Gemm", ["h", "W1", "b1"], ["y"]),
            helper.make_node("ArgMax", ["y"], ["label"], axis=1, keepdims=0),
        ],
        "mlp",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", np.load(root / "W0.npy").shape[0]])],
        [helper.make_tensor_value_info("label", TensorProto.INT64, ["n"])],
        [numpy_helper.from_array(np.load(root / f"{name}.npy"), name) for name in names],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


def predict(job: Job) -> dict[str, Any]:
    """Return labels and latencies: NumPy rows in, NumPy labels out."""
    root = Path(job["folder"])
    session = onnxruntime.InferenceSession(model_bytes(root), providers=["CPUExecutionProvider"])
    return latency(job, np.load(root / "rows.npy"), lambda rows: session.run(None, {"x": rows})[0])


if __name__ == "__main__":
    answer({"predict": predict})
