#include "cluster/watchdog_judge_impl.h"

#include <stdio.h>

#include "cluster/heartbeat.h"

static bool is_silent(const struct watched *rank, double timeout) {
    return !rank->excused && rank->heard && rank->silent_seconds > timeout;
}

static bool is_still(const struct watched *rank, double timeout) {
    return !rank->excused && rank->heard && place_kind(rank->place) == KIND_WORKS &&
           rank->still_seconds > timeout;
}

/* Nobody moves, and nobody may come from elsewhere: rank 0 from a person, another one from beyond a network
 * that lets no message through. */
static bool all_wait(const struct watched *ranks, int n_ranks, double timeout) {
    for (int rank = 0; rank < n_ranks; rank++) {
        const struct watched *watched = &ranks[rank];
        if (watched->excused) continue;
        if (!watched->heard || watched->still_seconds <= timeout) return false;
        if (place_kind(watched->place) == KIND_ASIDE) return false;
    }
    return true;
}

/* Grows with step and layer. A rank in want of a plan has all layers of the step behind it. */
static uint64_t advance(const struct watched *rank) {
    struct place place = place_unpack(rank->place);
    if (place.operation == OPERATION_PLAN) place.layer = UINT16_MAX - 1;
    return place_pack(place);
}

static int furthest_behind(const struct watched *ranks, int n_ranks) {
    int behind = 0;
    for (int rank = 1; rank < n_ranks; rank++)
        if (!ranks[rank].excused && advance(&ranks[rank]) < advance(&ranks[behind])) behind = rank;
    return behind;
}

struct verdict watchdog_judge(const struct watched *ranks, int n_ranks, double timeout) {
    for (int rank = 0; rank < n_ranks; rank++)
        if (ranks[rank].ended && !ranks[rank].excused) return (struct verdict){FAULT_ENDED, rank, 0};
    for (int rank = 0; rank < n_ranks; rank++)
        if (is_silent(&ranks[rank], timeout))
            return (struct verdict){FAULT_SILENT, rank, ranks[rank].silent_seconds};
    for (int rank = 0; rank < n_ranks; rank++)
        if (is_still(&ranks[rank], timeout))
            return (struct verdict){FAULT_STILL, rank, ranks[rank].still_seconds};
    if (!all_wait(ranks, n_ranks, timeout)) return (struct verdict){FAULT_NONE, 0, 0};
    const int behind = furthest_behind(ranks, n_ranks);
    return (struct verdict){FAULT_ALL, behind, ranks[behind].still_seconds};
}

int watchdog_turn(int n_ranks, double rounds) {
    enum { HEARD_IN_TIME = 8, SMALL_JOB = 128 };
    const int turn = (int)(n_ranks * HEARD_IN_TIME / rounds) + 1;
    const int most = turn > SMALL_JOB ? turn : SMALL_JOB;
    return most < n_ranks ? most : n_ranks;
}

int watchdog_speaker(const struct watched *ranks, int n_ranks, double timeout) {
    for (int rank = 0; rank < n_ranks; rank++)
        if (!ranks[rank].ended && !is_silent(&ranks[rank], timeout)) return rank;
    return 0;
}

/* "; rank 0 waits for it in step 3, layer 1, the all-reduce of attention" */
static void self_clause(const struct watched *ranks, struct verdict verdict, int self, char *clause_out,
                        size_t room) {
    char place[PLACE_TEXT_MAX];
    clause_out[0] = '\0';
    if (self == verdict.rank) return;
    place_text(ranks[self].place, place);
    const char *verb = place_kind(ranks[self].place) == KIND_WAITS ? "waits for it in" : "is in";
    snprintf(clause_out, room, "; rank %d %s %s", self, verb, place);
}

void watchdog_sentence(const struct watched *ranks, struct verdict verdict, int self,
                       char sentence_out[WATCHDOG_SENTENCE_MAX]) {
    char place[PLACE_TEXT_MAX], clause[2 * PLACE_TEXT_MAX];
    const struct watched *missing = &ranks[verdict.rank];
    const int rank = verdict.rank;
    place_text(missing->place, place);
    self_clause(ranks, verdict, self, clause, sizeof clause);
    switch (verdict.fault) {
    case FAULT_NONE:
        sentence_out[0] = '\0';
        return;
    case FAULT_ENDED:
        snprintf(sentence_out, WATCHDOG_SENTENCE_MAX,
                 "rank %d (host %s) has ended unexpectedly: it was in %s%s", rank, missing->host, place,
                 clause);
        return;
    case FAULT_SILENT:
        snprintf(sentence_out, WATCHDOG_SENTENCE_MAX,
                 "rank %d (host %s) has not been heard of for %.1f s: it was in %s%s", rank, missing->host,
                 verdict.seconds, place, clause);
        return;
    case FAULT_STILL:
        snprintf(sentence_out, WATCHDOG_SENTENCE_MAX,
                 "rank %d (host %s) has made no progress for %.1f s: it is in %s%s", rank, missing->host,
                 verdict.seconds, place, clause);
        return;
    case FAULT_ALL:
        snprintf(sentence_out, WATCHDOG_SENTENCE_MAX,
                 "no rank has made progress for %.1f s: rank %d (host %s) is in %s%s", verdict.seconds, rank,
                 missing->host, place, clause);
        return;
    }
}
