/* One Haar level of feature maps, bands as blocks of channels, and its adjoint: each number is read and written once. */

#include "blocks.h"

#define REAL float
#define NUMBER float
#define NAME(name) name##_f32
#include "haar2d_real.h"

#define REAL double
#define NUMBER double
#define NAME(name) name##_f64
#include "haar2d_real.h"

#define REAL float
#define NUMBER bf16
#define NAME(name) name##_bf16
#include "haar2d_real.h"
