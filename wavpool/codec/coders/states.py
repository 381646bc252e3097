"""State machine of the dependent quantiser: eight states, driven by the parity of each index."""

import numpy as np

# Schwarz et al., trellis-coded quantisation with eight states, as in ISO/IEC 15938-17 (NNCodec 2.1.3, Quant.h).
# Odd states use the quantiser of zero and odd multiples of the half step, even states that of even multiples.
NEXT = np.array([[0, 2], [7, 5], [1, 3], [6, 4], [2, 0], [5, 7], [3, 1], [4, 6]], dtype=np.int64)
NEXT.setflags(write=False)
START = 0
