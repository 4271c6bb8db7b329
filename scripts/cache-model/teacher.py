"""Runs the teacher (MiniLM, an ONNX file of minilm_onnx.py) over texts: one float16 vector of 384 each.

    python teacher.py --model DIR --onnx PATH --texts texts.jsonl --out teacher.npy [--threads 2]
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

LONGEST = 64


class Teacher:
    def __init__(self, folder, onnx, threads=2):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(str(onnx), options, providers=["CPUExecutionProvider"])
        self.tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
        self.tokenizer.enable_truncation(LONGEST)
        self.tokenizer.no_padding()

    def encode(self, texts, batch=32, wanted="embedding"):
        rows = [encoding.ids for encoding in self.tokenizer.encode_batch(texts)]
        order = sorted(range(len(rows)), key=lambda at: len(rows[at]))
        out = np.zeros((len(rows), 384), np.float16)
        for start in range(0, len(order), batch):
            part = order[start : start + batch]
            length = max(len(rows[at]) for at in part)
            ids = np.zeros((len(part), length), np.int64)
            mask = np.zeros_like(ids)
            for n, at in enumerate(part):
                ids[n, : len(rows[at])] = rows[at]
                mask[n, : len(rows[at])] = 1
            out[part] = self.session.run([wanted], {"input_ids": ids, "attention_mask": mask})[0]
        return out


def main():
    parser = argparse.ArgumentParser()
    for name in ("model", "onnx", "texts", "out"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    texts = [json.loads(line)["text"] for line in Path(options.texts).read_text().splitlines()]
    np.save(options.out, Teacher(options.model, options.onnx, options.threads).encode(texts))


if __name__ == "__main__":
    main()
