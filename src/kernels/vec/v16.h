/* Sixteen floats as one value, on every level that has vectors: one register of AVX-512, two of AVX2, four of NEON. A kernel that is written once over v16 adds
 * in the same order everywhere, so its results are equal to the bit on all levels. Only for files that are compiled for a level (cmake/levels.cmake):
 * elsewhere it is empty. */
#ifndef QW_KERNELS_V16_H
#define QW_KERNELS_V16_H

#include <stddef.h>
#include <stdint.h>

#if defined(__AVX512F__)
#  include "kernels/vec/v16_avx512.h"
#elif defined(__AVX2__)
#  include "kernels/vec/v16_avx2.h"
#elif defined(__ARM_NEON)
#  include "kernels/vec/v16_neon.h"
#endif

#endif
