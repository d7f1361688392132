#include "base/rng.h"

void rng_philox(uint64_t key, const uint32_t counter[4], uint32_t words_out[4]) {
    uint32_t key_low = (uint32_t)key, key_high = (uint32_t)(key >> 32);
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    for (int round = 0; round < 10; round++) {
        const uint64_t product0 = UINT64_C(0xD2511F53) * c0;
        const uint64_t product1 = UINT64_C(0xCD9E8D57) * c2;
        const uint32_t next0 = (uint32_t)(product1 >> 32) ^ c1 ^ key_low;
        const uint32_t next2 = (uint32_t)(product0 >> 32) ^ c3 ^ key_high;
        c1 = (uint32_t)product1;
        c3 = (uint32_t)product0;
        c0 = next0;
        c2 = next2;
        key_low += 0x9E3779B9u;
        key_high += 0xBB67AE85u;
    }
    words_out[0] = c0;
    words_out[1] = c1;
    words_out[2] = c2;
    words_out[3] = c3;
}

double rng_uniform(uint64_t seed, uint64_t stream, uint64_t index) {
    const uint32_t counter[4] = {(uint32_t)index, (uint32_t)(index >> 32), (uint32_t)stream,
                                 (uint32_t)(stream >> 32)};
    uint32_t words[4];
    rng_philox(seed, counter, words);
    const uint64_t bits = (uint64_t)words[0] << 32 | words[1];
    return (double)(bits >> 11) * 0x1p-53;
}
