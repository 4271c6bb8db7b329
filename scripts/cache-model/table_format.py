"""The token table as a file (layout: src/cache/embed/table-file.ts) and its tokenizer."""

import hashlib
import re
import struct

import numpy as np
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

PLAIN = re.compile(r"^[!-~£€°]+$")
UNKNOWN = "[UNK]"
MOST_PIECES = 512


def base_vocabulary(lines):
    """Pieces of the teacher that English text can have after its accents are stripped."""
    return [piece for piece in lines if PLAIN.match(piece) and not re.match(r"^\[.+\]$", piece)]


def tokenizer_of(vocabulary):
    """Encodes to rows of the table; what it does not know gets len(vocabulary)."""
    ids = {piece: row for row, piece in enumerate(vocabulary)}
    ids[UNKNOWN] = len(vocabulary)
    tokenizer = Tokenizer(WordPiece(ids, unk_token=UNKNOWN, max_input_chars_per_word=100))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    return tokenizer


def filled(data):
    return data + b"\0" * (-len(data) % 4)


def quantise(rows):
    scales = np.maximum(np.abs(rows).max(axis=1), 1e-9) / 127
    return scales.astype("<f4"), np.clip(np.rint(rows / scales[:, None]), -127, 127).astype(np.int8)


def write_table(path, vocabulary, rows, weights, floor):
    """rows: float [pieces, dimensions]; weights: 0..1 of each piece; floor: share of a text that must be known."""
    words = "".join(piece + "\n" for piece in vocabulary).encode()
    scales, values = quantise(rows)
    tells = np.clip(np.rint(weights * 255), 0, 255).astype(np.uint8)
    body = filled(words) + scales.tobytes() + filled(tells.tobytes()) + values.tobytes()
    head = struct.pack("<4sIIIII", b"HDTB", 1, len(vocabulary), rows.shape[1], len(words), round(floor * 1000))
    data = head + hashlib.sha256(body).digest() + body
    with open(path, "wb") as out:
        out.write(data)
    return hashlib.sha256(data).hexdigest(), len(data)
