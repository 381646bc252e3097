"""The codec's experiments: networks and data by name, the rival NNCodec, and one table of both.

Networks and data are factories that the codec's command line takes as ``module:function``:

    wavpool compress benchmarks.codec.networks:resnet20 --calibration benchmarks.codec.data:cifar10_calibration

Weights and data that are not made here are looked for in the folders of ``$WAVPOOL_DATA``.
"""

import os

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # as the command line does
