#include "kernels/kernels.h"

#include <stdbool.h>
#include <stddef.h>

#include "base/check.h"
#include "kernels/kernels_impl.h"

#ifdef CAUCUS_KERNELS_X86
#include <cpuid.h>

enum { LEVEL_REF, LEVEL_AVX2, LEVEL_AVX512, LEVEL_AVX512_BF16 };

static const struct kernels *const levels[] = {&kernels_ref, &kernels_avx2, &kernels_avx512, &kernels_avx512};

/* __builtin_cpu_supports does not know f16c in every compiler. */
static bool has_f16c(void) {
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_F16C);
}

int kernels_best_level(void) {
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !has_f16c()) return LEVEL_REF;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512dq") ||
        !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512vl") ||
        !__builtin_cpu_supports("avx512vnni"))
        return LEVEL_AVX2;
    return __builtin_cpu_supports("avx512bf16") ? LEVEL_AVX512_BF16 : LEVEL_AVX512;
}

matmul_bf16 *kernels_matmul_bf16(int level) {
    return level == LEVEL_AVX512_BF16 ? avx512_matmul_bf16 : NULL;
}

#elif defined CAUCUS_KERNELS_NEON
#include <asm/hwcap.h>
#include <sys/auxv.h>

enum { LEVEL_REF, LEVEL_NEON, LEVEL_NEON_DOTPROD };

static const struct kernels *const levels[] = {&kernels_ref, &kernels_neon, &kernels_neon_dotprod};

/* Every AArch64 has NEON. */
int kernels_best_level(void) {
    return getauxval(AT_HWCAP) & HWCAP_ASIMDDP ? LEVEL_NEON_DOTPROD : LEVEL_NEON;
}

#else /* a machine that has no vector set yet */

static const struct kernels *const levels[] = {&kernels_ref};

int kernels_best_level(void) {
    return 0;
}

#endif

#ifndef CAUCUS_KERNELS_X86
matmul_bf16 *kernels_matmul_bf16(int level) {
    (void)level;
    return NULL;
}
#endif

const struct kernels *kernels_at_level(int level) {
    CHECK(level >= 0 && level <= kernels_best_level());
    return levels[level];
}
