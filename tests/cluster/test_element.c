#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "allreduce_terms.h"
#include "cluster/element_impl.h"

enum { N_MOST = 2000 };

/* Packs the values and unpacks them again; returns the message's bytes. */
static size_t send(const struct element *element, const void *values, size_t n, void *received) {
    const size_t room = element_room(element, n);
    unsigned char *message = malloc(room);
    const size_t bytes = element->pack(values, n, message);
    assert_true(bytes <= room);
    unsigned char *elsewhere = calloc(1, room); /* only so many bytes arrive */
    memcpy(elsewhere, message, bytes);
    element->unpack(elsewhere, bytes, n);
    memcpy(received, elsewhere, n * element->bytes);
    free(message);
    free(elsewhere);
    return bytes;
}

static void expect_width(const int64_t *values, size_t n, size_t width) {
    int64_t received[N_MOST];
    assert_int_equal(send(&element_i64_narrow, values, n, received), n * width);
    if (n) assert_memory_equal(received, values, n * sizeof *values);
}

static void test_integers_of_each_width(void **state) {
    (void)state;
    int64_t values[N_MOST];
    for (size_t width = 1; width <= 8; width++) {
        const int64_t limit = width == 8 ? INT64_MAX : ((int64_t)1 << (8 * width - 1)) - 1;
        for (size_t n = 1; n < 20; n++) {
            for (size_t i = 0; i < n; i++)
                values[i] = i % 3 == 0 ? limit : i % 3 == 1 ? -limit - 1 : -(int64_t)i;
            expect_width(values, n, width);
            if (width == 8) continue;
            values[n - 1] = limit + 1;
            expect_width(values, n, width + 1);
            values[n - 1] = -limit - 2;
            expect_width(values, n, width + 1);
        }
    }
    expect_width(values, 0, 1);
    memset(values, 0, sizeof values);
    expect_width(values, N_MOST, 1);
}

static void test_integers_of_any_size(void **state) {
    (void)state;
    int64_t values[N_MOST], received[N_MOST];
    for (int shift = 0; shift < 64; shift++) {
        for (size_t i = 0; i < N_MOST; i++)
            values[i] = (int64_t)((uint64_t)term_i64(shift, i) << 4) >> shift;
        send(&element_i64_narrow, values, N_MOST, received);
        assert_memory_equal(received, values, sizeof values);
        assert_int_equal(send(&element_i64, values, N_MOST, received), sizeof values);
        assert_memory_equal(received, values, sizeof values);
    }
}

static float as_bf16(float value) {
    float received;
    assert_int_equal(send(&element_f32_as_bf16, &value, 1, &received), 2);
    return received;
}

static void test_bf16_rounds_to_nearest_even(void **state) {
    (void)state;
    static const float cases[][2] = {
        {1, 1},
        {-0.0f, -0.0f},
        {1 + 0x1p-8f, 1},                   /* half: to even, down … */
        {1 + 3 * 0x1p-8f, 1 + 4 * 0x1p-8f}, /* … and up */
        {1 + 0x1.1p-8f, 1 + 0x1p-7f},       /* more than half */
        {-1 - 0x1.1p-8f, -1 - 0x1p-7f},
        {INFINITY, INFINITY},
        {0x1.ffp127f, INFINITY},
        {0x1p-133f, 0x1p-133f}, /* the smallest */
        {0x1p-134f, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const float rounded = as_bf16(cases[i][0]);
        assert_memory_equal(&rounded, &cases[i][1], sizeof rounded);
    }
    assert_true(isnan(as_bf16(NAN)));
    assert_true(isnan(as_bf16(-NAN)));
    for (size_t i = 0; i < 10000; i++) {
        const float value = term_f32(0, i);
        assert_true(fabsf(as_bf16(value) - value) <= fabsf(value) * 0x1p-8f);
        assert_true(as_bf16(as_bf16(value)) == as_bf16(value));
    }
}

/* The order of docs/numerics.md, by halves: the hosts that are paired first count as one. */
static float tree(int first, int n) {
    if (n == 1) return term_f32(first, 7);
    return tree(first, n / 2) + tree(first + n / 2, n / 2);
}

static float sum_of(int n_parts) {
    int power = 1;
    while (2 * power <= n_parts)
        power *= 2;
    const int n_pairs = n_parts - power;
    float sums[64];
    for (int i = 0; i < power; i++)
        sums[i] = i < n_pairs ? term_f32(2 * i, 7) + term_f32(2 * i + 1, 7) : term_f32(i + n_pairs, 7);
    for (int distance = 1; distance < power; distance *= 2)
        for (int i = 0; i < power; i += 2 * distance)
            sums[i] += sums[i + distance];
    return sums[0];
}

static void test_parts_are_added_as_a_tree(void **state) {
    (void)state;
    for (int n_parts = 1; n_parts <= 40; n_parts++) {
        float values[40];
        void *parts[40];
        for (int i = 0; i < n_parts; i++) {
            values[i] = term_f32(i, 7);
            parts[i] = &values[i];
        }
        element_add_as_tree(&element_f32, parts, n_parts, 1);
        const float expected = sum_of(n_parts);
        assert_memory_equal(&values[0], &expected, sizeof expected);
        if (element_power_of_two(n_parts) != n_parts) continue;
        const float by_halves = tree(0, n_parts);
        assert_memory_equal(&values[0], &by_halves, sizeof by_halves);
    }
}

static void test_combine_goes_block_by_block(void **state) {
    (void)state;
    enum { N = 2 * ELEMENT_BLOCK + 3 };
    int64_t parts[3][N], sums[N];
    for (int part = 0; part < 3; part++)
        for (size_t i = 0; i < N; i++)
            parts[part][i] = term_i64(part, i);
    for (size_t first = 0; first < 5; first++) {
        memset(sums, 0, sizeof sums);
        element_combine(&element_i64, (const void *[]){parts[0], parts[1], parts[2]}, 3, first, N - 5, sums);
        for (size_t i = 0; i < N - 5; i++)
            assert_int_equal(sums[i],
                             term_i64(0, first + i) + term_i64(1, first + i) + term_i64(2, first + i));
        assert_int_equal(sums[N - 5], 0);
    }
}

static void test_powers_of_two(void **state) {
    (void)state;
    static const int expected[] = {0, 1, 2, 2, 4, 4, 4, 4, 8, 8};
    for (int n = 1; n < 10; n++)
        assert_int_equal(element_power_of_two(n), expected[n]);
    assert_int_equal(element_power_of_two(INT32_MAX), 1 << 30);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers_of_each_width),      cmocka_unit_test(test_integers_of_any_size),
        cmocka_unit_test(test_bf16_rounds_to_nearest_even), cmocka_unit_test(test_parts_are_added_as_a_tree),
        cmocka_unit_test(test_combine_goes_block_by_block), cmocka_unit_test(test_powers_of_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
