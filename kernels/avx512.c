/* kernels/avx512.c - the vector body for AVX-512 F, DQ, BW and VL. */
#include "kernels/dot16_avx512_impl.h"

#define KERNELS_TABLE kernels_avx512
#define KERNELS_NAME  "avx512"
#include "kernels/simd_impl.h"
