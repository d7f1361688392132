#include "cluster/exchange_impl.h"

void exchange_sum(const struct exchange *exchange, struct leaders *leaders, const struct element *element,
                  void *values, size_t n) {
    const size_t most = exchange->piece_bytes / element->bytes;
    unsigned char *at = values;
    for (size_t left = n; left > 0;) {
        const size_t count = left < most ? left : most;
        exchange->sum(leaders, element, at, count);
        left -= count;
        at += count * element->bytes;
    }
}
