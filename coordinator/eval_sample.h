/* coordinator/eval_sample.h - one sample of eval under way: an answer in the making, and what it costs.
 *
 * Memory:  a sample owns what it makes; it borrows problem, session and prompt.
 * Threads: main thread only.
 * Ranks:   rank 0. */
#pragma once

#include "coordinator/eval_journal.h"
#include "coordinator/eval_plan.h"
#include "coordinator/eval_record.h"
#include "coordinator/generation.h"
#include "coordinator/run_prompts.h"
#include "coordinator/run_session.h"

struct eval_sample;

/* The seed of a sample: neither its neighbours nor its policy have a part in it. Below 2^53. */
uint64_t eval_sample_seed(uint64_t seed, int64_t problem, int64_t sample);

/* Begins with what the journal has of it. */
NODISCARD enum status eval_sample_create(const struct run_session *session, const struct eval_method *method,
                                         const struct eval_problem *problem, const struct prompt *prompt,
                                         struct eval_todo which, const struct eval_journal *journal,
                                         struct eval_sample **sample_out);
void eval_sample_destroy(struct eval_sample *sample); /* NULL is allowed */

struct sequence *eval_sample_sequence(struct eval_sample *sample); /* for scheduler_add */
bool eval_sample_finished(const struct eval_sample *sample);
int32_t eval_sample_generated(const struct eval_sample *sample);

/* After each step: how many tokens of it were the sample's … */
int32_t eval_sample_new_tokens(const struct eval_sample *sample);
/* … then its part of the step's time. Does the sample want to know what its slot costs? */
bool eval_sample_note_step(struct eval_sample *sample, double share_seconds);
/* If so. The sequence's slot must still hold what the step left there. */
NODISCARD enum status eval_sample_note_slot(struct eval_sample *sample, const struct slot_report *slot);

/* For the journal: what there is of a sample that has not finished. */
NODISCARD enum status eval_sample_keep(struct eval_sample *sample);

/* What became of a finished sample; belongs to the sample. */
NODISCARD enum status eval_sample_record(struct eval_sample *sample, const struct eval_record **record_out);
