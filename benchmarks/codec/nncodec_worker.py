"""Encode and decode weights with NNCodec; a script for the environment that has it, with nothing of ours.

python nncodec_worker.py WEIGHTS.npz FOLDER QP [QP ...]

Writes FOLDER/QP.nnc (the whole bitstream) and FOLDER/QP.npz (decoded from it), and prints one JSON line a QP.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from nncodec.nn import decode, encode  # type: ignore[import-not-found, unused-ignore]


def main() -> None:
    """Encode and decode at each QP."""
    weights, folder = dict(np.load(sys.argv[1])), Path(sys.argv[2])
    for qp in map(int, sys.argv[3:]):
        with tempfile.TemporaryDirectory() as scratch:  # encode() leaves a copy of the stream there
            start = time.perf_counter()
            stream = encode(weights, {"qp": qp, "verbose": False, "results": scratch})
            encoded = time.perf_counter()
        path = folder / f"{qp}.nnc"
        path.write_bytes(stream)
        read = bytearray(path.read_bytes())
        begin = time.perf_counter()
        decoded = decode(read)
        times = {"encode_s": encoded - start, "decode_s": time.perf_counter() - begin}
        np.savez(folder / f"{qp}.npz", **decoded)
        print(json.dumps({"qp": qp, "bytes": path.stat().st_size, **times}), flush=True)


if __name__ == "__main__":
    main()
