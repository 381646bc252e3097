"""NNCodec's DeepCABAC on given integers; `codec_coders` runs this file in a virtual environment that has nncodec.

    python codec_coders_peer.py INPUT.npz OUTPUT.json [--search] [--rounds 3]

INPUT holds int32 arrays of two or more dimensions, rows first. OUTPUT gets `bytes` and, for each round, the seconds of
processor time that encoding and decoding all of them took. With `--search` each layer takes the fewest bytes of every
scan order, length of the unary part and setting of the context models' optimisation; the search is no part of the time.
"""

import argparse
import itertools
import json
import time
from pathlib import Path

import numpy as np
from nncodec.extensions import deepCABAC
from nncodec.nnc_core.hdsp.hdsp_tool import HDSP_OPTS_OFF

Options = tuple[int, int, int]  # scan order, unary length, optimisation of the context models
DEFAULT: Options = (0, 11, 1)  # what nncodec.nn.encode takes
SEARCHED = (DEFAULT, *itertools.product((0, 1, 2, 3), (6, 11, 16), (0, 1)))
PROFILE, PARENT = 1, 0


def encode(values: np.ndarray, options: Options) -> np.ndarray:
    """The stream of one layer, with rows of zeros skipped as nncodec.nn.encode does."""
    scan, unary, optimise = options
    encoder = deepCABAC.Encoder()
    encoder.initCtxModels(unary, optimise)
    zero_rows = (~values.reshape(len(values), -1).any(1)).astype(np.int32)
    encoder.encodeLayer(values, 0, scan, PROFILE, PARENT, int(zero_rows.any()), zero_rows, *HDSP_OPTS_OFF(), 0, 0)
    stream: np.ndarray = encoder.finish()
    return stream


def decode(stream: np.ndarray, shape: tuple[int, ...], options: Options) -> np.ndarray:
    """The integers of `encode`."""
    scan, unary, _ = options
    values = np.zeros(shape, np.int32)
    decoder = deepCABAC.Decoder()
    decoder.setStream(stream)
    decoder.initCtxModels(unary)
    # Scan orders but the first restart the coder at entry points, which nothing has told yet.
    read = decoder.decodeLayerAndCreateEPs if scan else decoder.decodeLayer
    read(values, 0, scan, PROFILE, PARENT, *HDSP_OPTS_OFF(), 0, 0)
    return values


def best_options(values: np.ndarray) -> Options:
    """Those of the fewest bytes; scan orders in which the extension fails to read its own streams are left out."""
    streams = {options: encode(values, options) for options in SEARCHED}
    read = (
        options for options, stream in streams.items() if np.array_equal(decode(stream, values.shape, options), values)
    )
    return min(read, key=lambda options: len(streams[options]))


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--search", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with np.load(arguments.input) as archive:
        layers = [archive[name] for name in archive.files]
    options = [best_options(layer) if arguments.search else DEFAULT for layer in layers]
    encoding, decoding = [], []
    for _ in range(arguments.rounds):
        start = time.process_time()
        streams = [encode(*work) for work in zip(layers, options, strict=True)]
        middle = time.process_time()
        decoded = [decode(s, layer.shape, o) for s, layer, o in zip(streams, layers, options, strict=True)]
        encoding.append(middle - start)
        decoding.append(time.process_time() - middle)
    if not all(map(np.array_equal, layers, decoded)):
        raise SystemExit("DeepCABAC returned other integers")
    result = {
        "bytes": sum(map(len, streams)),
        "encode_seconds": encoding,
        "decode_seconds": decoding,
    }
    arguments.output.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
