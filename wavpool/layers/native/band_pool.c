/* Pooling of the Haar bands of 2 x 2 blocks, and its adjoints, in one pass. The transform itself is never stored. */

#include "../../transforms/native/blocks.h"

#define REAL float
#define NUMBER float
#define VECTORS 1
#define NAME(name) name##_f32
#include "band_pool_real.h"

#define REAL double
#define NUMBER double
#define VECTORS 0 /* doubles are for checks, and each precision takes seconds to compile */
#define NAME(name) name##_f64
#include "band_pool_real.h"

#define REAL float
#define NUMBER bf16
#define VECTORS 1
#define NAME(name) name##_bf16
#include "band_pool_real.h"
