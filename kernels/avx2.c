/* kernels/avx2.c - the vector body for AVX2 with FMA and F16C. */
#include "kernels/dot16_avx2_impl.h"

#define KERNELS_TABLE kernels_avx2
#define KERNELS_NAME  "avx2"
#include "kernels/simd_impl.h"
