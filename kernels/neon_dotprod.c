/* kernels/neon_dotprod.c - the vector body for NEON with the dot products of bytes that came with ARMv8.2. */
#include "kernels/dot16_neon_impl.h"

#define KERNELS_TABLE kernels_neon_dotprod
#define KERNELS_NAME  "neon_dotprod"
#include "kernels/simd_impl.h"
