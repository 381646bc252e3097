/* One Haar level of feature maps, bands as blocks of channels, and its adjoint: each number is read and written once. */

#include "blocks.h"

#define REAL float
#define NUMBER float
#define VECTORS 1
#define NAME(name) name##_f32
#include "haar2d_real.h"

#define REAL double
#define NUMBER double
#define VECTORS 0 /* doubles are for checks, and each precision takes seconds to compile */
#define NAME(name) name##_f64
#include "haar2d_real.h"

#define REAL float
#define NUMBER bf16
#define VECTORS 1
#define NAME(name) name##_bf16
#include "haar2d_real.h"
