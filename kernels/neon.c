/* kernels/neon.c - the vector body for AArch64's NEON, as every such machine has it. */
#include "kernels/dot16_neon_impl.h"

#define KERNELS_TABLE kernels_neon
#define KERNELS_NAME  "neon"
#include "kernels/simd_impl.h"
