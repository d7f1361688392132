/* Rotary frequencies: the plain ones, the invariants of each scaling, divisors. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "worker/rope.h"

enum { HEAD_DIM = 128 };

static struct rope make(struct arena *arena, struct rope_spec spec, const float *divisors) {
    struct rope rope;
    assert_int_equal(rope_create(&spec, HEAD_DIM, divisors, arena, &rope), STATUS_OK);
    return rope;
}

static void frequencies_follow_their_scaling(void **state) {
    (void)state;
    struct arena *arena;
    assert_int_equal(arena_create("rope", &arena), STATUS_OK);
    const struct rope plain = make(arena, (struct rope_spec){.theta = 1e4}, NULL);
    const struct rope linear =
        make(arena, (struct rope_spec){.scaling = ROPE_LINEAR, .theta = 1e4, .factor = 4}, NULL);
    const struct rope llama3 = make(arena,
                                    (struct rope_spec){.scaling = ROPE_LLAMA3,
                                                       .theta = 1e4,
                                                       .factor = 8,
                                                       .low_freq_factor = 1,
                                                       .high_freq_factor = 4,
                                                       .original_context = 8192},
                                    NULL);
    const struct rope yarn = make(arena,
                                  (struct rope_spec){.scaling = ROPE_YARN,
                                                     .theta = 1e4,
                                                     .factor = 4,
                                                     .original_context = 4096,
                                                     .beta_fast = 32,
                                                     .beta_slow = 1,
                                                     .attention_factor = 1.138629436,
                                                     .truncate = true},
                                  NULL);
    for (int i = 0; i < HEAD_DIM / 2; i++) {
        assert_true(fabs(plain.frequencies[i] - pow(1e4, -2.0 * i / HEAD_DIM)) < 1e-15);
        assert_true(linear.frequencies[i] == plain.frequencies[i] / 4);
        assert_true(llama3.frequencies[i] <= plain.frequencies[i] * (1 + 1e-12));
        assert_true(llama3.frequencies[i] >= plain.frequencies[i] / 8 * (1 - 1e-12));
        assert_true(yarn.frequencies[i] <= plain.frequencies[i] * (1 + 1e-12));
        assert_true(yarn.frequencies[i] >= plain.frequencies[i] / 4 * (1 - 1e-12));
    }
    /* The fastest waves are kept, the slowest slowed by the whole factor. */
    assert_true(llama3.frequencies[0] == plain.frequencies[0] && yarn.frequencies[0] == plain.frequencies[0]);
    assert_true(fabs(llama3.frequencies[63] * 8 / plain.frequencies[63] - 1) < 1e-12);
    assert_true(fabs(yarn.frequencies[63] * 4 / plain.frequencies[63] - 1) < 1e-12);

    float angles[HEAD_DIM];
    rope_angles(&yarn, 0, angles);
    for (int i = 0; i < HEAD_DIM / 2; i++) {
        assert_true(fabsf(angles[i] - 1.138629436f) < 1e-6f);
        assert_true(angles[HEAD_DIM / 2 + i] == 0);
    }
    arena_destroy(arena);
}

static void divisors_slow_their_frequency(void **state) {
    (void)state;
    struct arena *arena;
    assert_int_equal(arena_create("rope", &arena), STATUS_OK);
    float divisors[HEAD_DIM / 2];
    for (int i = 0; i < HEAD_DIM / 2; i++)
        divisors[i] = 1 + (float)i;
    const struct rope rope = make(arena, (struct rope_spec){.scaling = ROPE_FACTORS, .theta = 5e5}, divisors);
    for (int i = 0; i < HEAD_DIM / 2; i++)
        assert_true(fabs(rope.frequencies[i] * (1 + i) / pow(5e5, -2.0 * i / HEAD_DIM) - 1) < 1e-12);
    arena_destroy(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frequencies_follow_their_scaling),
        cmocka_unit_test(divisors_slow_their_frequency),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
