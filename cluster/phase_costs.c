#include "cluster/phase_costs.h"

static const struct {
    const char *name, *unit;
} texts[PHASES] = {
    [PHASE_NORM] = {"norm", "element"},
    [PHASE_PRODUCT] = {"product", "byte"},
    [PHASE_PRODUCT_CACHED] = {"product-cached", "byte"},
    [PHASE_EXACT] = {"exact", "rounded sum"},
    [PHASE_HEADS] = {"heads", "head"},
    [PHASE_GATE] = {"gate", "column"},
    [PHASE_RESIDUAL] = {"residual", "element"},
    [PHASE_ATTEND] = {"attend", "token of a KV head"},
    [PHASE_ATTEND_SET] = {"attend-set", "token of a KV head"},
    [PHASE_CHOOSE] = {"choose", "page of a KV head"},
    [PHASE_RANK] = {"rank", "token of a query head"},
    [PHASE_PROPOSE] = {"propose", "word"},
    [PHASE_TAKE] = {"take", "word"},
    [PHASE_LOGITS] = {"logits", "row of the vocabulary"},
};

const char *phase_name(enum phase phase) {
    return texts[phase].name;
}

const char *phase_unit(enum phase phase) {
    return texts[phase].unit;
}

double phase_seconds(const struct phase_costs *costs, enum phase phase, int64_t units) {
    const struct phase_cost *cost = &costs->phases[phase];
    return units > 0 ? cost->call_seconds + cost->unit_seconds * (double)units : 0;
}
