#include "coordinator/generation_defaults.h"

#include <math.h>

/* The user's value, else the model's, else a neutral one. NaN says nothing. */
static double first_said(double user, double model, double neutral) {
    return !isnan(user) ? user : !isnan(model) ? model : neutral;
}

static struct sampler_config sampler_from(const struct config *config,
                                          const struct generation_defaults *model) {
    /* transformers: greedy without do_sample; with it, temperature is 1 unless said. The model's other values
     * count even without it where the user asks for a temperature. */
    const double nothing = (double)NAN;
    const double model_temperature = !model->do_sample ? 0 : first_said(nothing, model->temperature, 1);
    const double temperature = first_said(config->temperature, model_temperature, 0);
    const int32_t model_top_k = model->top_k >= 0 ? model->top_k : 0;
    return (struct sampler_config){
        .temperature = temperature,
        .top_k = config->top_k >= 0 ? config->top_k : model_top_k,
        .top_p = first_said(config->top_p, model->top_p, 1),
        .min_p = first_said(config->min_p, model->min_p, 0),
        .repetition_penalty = first_said(config->repetition_penalty, model->repetition_penalty, 1),
        .seed = config->seed,
    };
}

struct generation_options generation_options_from(const struct config *config,
                                                  const struct generation_defaults *model, uint64_t stream) {
    struct generation_options options = {
        .sampler = sampler_from(config, model),
        .max_tokens = config->max_tokens,
        .n_filled = config->fill_kv,
        .correct_every = config->correct_every,
        .stop = config->stop,
        .n_logprobs = config->logprobs,
    };
    options.sampler.stream = stream;
    return options;
}
