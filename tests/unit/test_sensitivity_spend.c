/* convert/sensitivity_spend.c: losses and a budget -> the choices of a plan, on two tensors whose bits can be counted by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "convert/sensitivity_spend.h"
#include "support/fault.h"

/* Weights: 6400 + 4096 that take part, 256 + 64 that stay, in bf16. */
static const qw_tensor list[] = {
    { .name = "embed_tokens.weight", .type = QW_TYPE_BF16, .n_dims = 2, .shape = { 100, 64 } },
    { .name = "layers.0.mlp.down_proj.weight", .type = QW_TYPE_BF16, .n_dims = 2, .shape = { 64, 64 } },
    { .name = "layers.0.linear_attn.in_proj_a.weight", .type = QW_TYPE_BF16, .n_dims = 2, .shape = { 4, 64 } },
    { .name = "norm.weight", .type = QW_TYPE_BF16, .n_dims = 1, .shape = { 64 } },
    { .name = "visual.blocks.0.attn.qkv.weight", .type = QW_TYPE_BF16, .n_dims = 2, .shape = { 192, 64 } },
};
#define N (sizeof list / sizeof *list)
#define COUNTED 10496.0
#define KEPT 320.0
#define WEIGHTS (COUNTED + KEPT)

/* Bits matter for the embedding alone. */
#define TABLE                                                                                                                            \
  "{\"embed\": {\"3/64\": 8, \"4/64\": 4, \"4/32\": 3.9, \"5/64\": 2, \"5/32\": 1.9, \"6/64\": 1, \"6/32\": 0.9, \"8/64\": 0.1},"        \
  " \"layers.0.mlp.down_proj.weight\": {\"3/64\": 1e-6, \"4/64\": 9e-7, \"4/32\": 8e-7, \"5/64\": 7e-7, \"5/32\": 6e-7, \"6/64\": 5e-7," \
  " \"6/32\": 4e-7, \"8/64\": 3e-7}}"

static qw_plan plan(void)
{
    static const qw_folder_rules rules = { QW_TYPE_BF16, true };
    const qw_tensor *tensors[N];
    qw_recipe r;
    qw_plan p;
    for (size_t i = 0; i < N; i++)
        tensors[i] = &list[i];
    assert_int_equal(qw_recipe_make(&r, &(qw_recipe_wish){ 0 }, NULL), QWREN_OK);
    assert_int_equal(qw_plan_make(&p, tensors, N, &rules, &r, NULL), QWREN_OK);
    return p;
}

static qw_json *table(void)
{
    qw_json *j;
    assert_int_equal(qw_json_parse(&j, TABLE, sizeof TABLE - 1, "table", NULL), QWREN_OK);
    return j;
}

static void the_reference_is_what_it_says(void **state)
{
    (void)state;
    assert_int_equal(qw_auto_options[QW_AUTO_REFERENCE].bits, 4);
    assert_int_equal(qw_auto_options[QW_AUTO_REFERENCE].group, 64);
    for (size_t i = 0; i < QW_AUTO_OPTIONS; i++)
        assert_true(qw_auto_options[i].bits >= 3 && (qw_auto_options[i].group == 32 || qw_auto_options[i].group == 64));
}

static void bits_go_to_what_loses_most(void **state)
{
    (void)state;
    qw_plan p = plan();
    qw_json *j = table();
    const double least = (COUNTED * 3.5 + KEPT * 16) / WEIGHTS, more = 6400 * 5 / WEIGHTS; /* 8 bits instead of 3 for the embedding */
    assert_int_equal(qw_auto_spend(&p, j, least + more + 1e-9, NULL), QWREN_OK);
    assert_int_equal(p.entries[0].choice.bits, 8);
    assert_int_equal(p.entries[1].choice.bits, 3);
    assert_int_equal(p.entries[2].choice.bits, 0);
    assert_int_equal(p.entries[4].choice.bits, 0);
    assert_true(fabs(qw_plan_bits_per_weight(&p) - least - more) < 1e-9);
    qw_json_free(j);
    qw_plan_deinit(&p);
}

/* Also where the kept tensors alone are more than the budget. */
static void the_least_that_can_be_done_is_told(void **state)
{
    (void)state;
    static const double wishes[] = { 3.5, 3, 0.47, 0.1 };
    char want[64];
    qwren_error err;
    qw_plan p = plan();
    qw_json *j = table();
    snprintf(want, sizeof want, "can do is %.4g", (COUNTED * 3.5 + KEPT * 16) / WEIGHTS);
    for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++) {
        assert_int_equal(qw_auto_spend(&p, j, wishes[i], &err), QWREN_E_ARGUMENT);
        if (!strstr(err.text, want))
            fail_msg("\"%s\" does not say \"%s\"", err.text, want);
    }
    qw_json_free(j);
    qw_plan_deinit(&p);
}

static qwren_status spend(void *ctx, qwren_error *err) { return qw_auto_spend(ctx, NULL, 8, err); }

static void a_short_memory_is_told(void **state)
{
    (void)state;
    qw_plan p = plan();
    fault_install();
    assert_true(fault_try_all(spend, &p, 1) > 0);
    fault_remove();
    qw_plan_deinit(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reference_is_what_it_says),
        cmocka_unit_test(bits_go_to_what_loses_most),
        cmocka_unit_test(the_least_that_can_be_done_is_told),
        cmocka_unit_test(a_short_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
