/* convert/recipe.c, plan.c, budget.c, divergence.c: which tensor gets how many bits, and how bits and distances are counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "convert/budget.h"
#include "convert/divergence.h"
#include "convert/plan.h"
#include "support/fault.h"
#include "support/nano.h"

/* ---- classes and recipes */

static void every_name_has_its_class(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        qw_tensor_class class;
    } cases[] = {
        { "embed_tokens.weight", QW_CLASS_EMBED },
        { "lm_head.weight", QW_CLASS_HEAD },
        { "layers.3.self_attn.q_proj.weight", QW_CLASS_ATTN_Q },
        { "layers.3.self_attn.k_proj.weight", QW_CLASS_ATTN_K },
        { "layers.3.self_attn.v_proj.weight", QW_CLASS_ATTN_V },
        { "layers.3.self_attn.o_proj.weight", QW_CLASS_ATTN_O },
        { "layers.3.self_attn.q_norm.weight", QW_CLASS_SMALL },
        { "layers.12.linear_attn.in_proj_qkv.weight", QW_CLASS_DELTA_QKV },
        { "layers.12.linear_attn.in_proj_z.weight", QW_CLASS_DELTA_Z },
        { "layers.12.linear_attn.in_proj_a.weight", QW_CLASS_DELTA_AB },
        { "layers.12.linear_attn.in_proj_b.weight", QW_CLASS_DELTA_AB },
        { "layers.12.linear_attn.out_proj.weight", QW_CLASS_DELTA_OUT },
        { "layers.12.linear_attn.conv1d.weight", QW_CLASS_SMALL },
        { "layers.12.linear_attn.A_log", QW_CLASS_SMALL },
        { "layers.0.mlp.gate_proj.weight", QW_CLASS_MLP_GATE },
        { "layers.0.mlp.up_proj.weight", QW_CLASS_MLP_UP },
        { "layers.0.mlp.down_proj.weight", QW_CLASS_MLP_DOWN },
        { "layers.0.input_layernorm.weight", QW_CLASS_SMALL },
        { "norm.weight", QW_CLASS_SMALL },
        { "mtp.fc.weight", QW_CLASS_MTP },
        { "mtp.layers.0.self_attn.q_proj.weight", QW_CLASS_MTP },
        { "mtp.norm.weight", QW_CLASS_SMALL },
        { "visual.blocks.0.attn.qkv.weight", QW_CLASS_VISION },
        { "visual.blocks.0.attn.qkv.bias", QW_CLASS_SMALL },
        { "visual.blocks.0.norm1.weight", QW_CLASS_SMALL },
        { "visual.merger.linear_fc1.weight", QW_CLASS_VISION },
        { "visual.pos_embed.weight", QW_CLASS_SMALL },
        { "visual.patch_embed.proj.weight", QW_CLASS_SMALL },
        { "something.else", QW_CLASS_SMALL },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (qw_class_of(cases[i].name) != cases[i].class)
            fail_msg("%s is %s", cases[i].name, qw_class_name(qw_class_of(cases[i].name)));
}

static qw_recipe recipe(qw_recipe_wish wish)
{
    qw_recipe r;
    qwren_error err;
    if (qw_recipe_make(&r, &wish, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    return r;
}

static void recipes_keep_their_promises(void **state)
{
    (void)state;
    size_t n = 0;
    for (const qw_recipe *r; (r = qw_recipe_at(n)); n++) {
        const int body = r->choice[QW_CLASS_MLP_GATE].bits;
        assert_non_null(r->about);
        for (int c = 0; c < QW_CLASS_MTP; c++)
            assert_true(r->choice[c].bits == 0 || (qw_bits_exist(r->choice[c].bits) && r->choice[c].bits >= body));
        if (strcmp(r->name, "6bit-plain") != 0)
            assert_int_equal(r->choice[QW_CLASS_DELTA_AB].bits, 0);
        assert_int_equal(r->choice[QW_CLASS_SMALL].bits, 0);
    }
    assert_int_equal(n, 5);
    assert_string_equal(recipe((qw_recipe_wish){ 0 }).name, "6bit");
    assert_true(qw_recipe_learns(qw_recipe_at(0)));
    qw_recipe plain = recipe((qw_recipe_wish){ .name = "6bit-plain", .mtp_bits = 16 });
    assert_false(qw_recipe_learns(&plain));
    for (int c = 0; c < QW_CLASS_MTP; c++)
        assert_true(plain.choice[c].bits == 6 && plain.choice[c].group == 64 && plain.choice[c].method == QW_ENCODE_PLAIN);
}

static void a_body_keeps_the_critical_rules(void **state)
{
    (void)state;
    qw_recipe r = recipe((qw_recipe_wish){ .bits = 3, .group = 32 });
    assert_int_equal(r.choice[QW_CLASS_MLP_GATE].bits, 3);
    assert_int_equal(r.choice[QW_CLASS_MLP_GATE].group, 32);
    assert_true(r.choice[QW_CLASS_DELTA_OUT].bits > 3);
    assert_int_equal(r.choice[QW_CLASS_DELTA_AB].bits, 0);
    r = recipe((qw_recipe_wish){ .bits = 5 });
    assert_string_equal(r.name, "5bit");
    assert_string_equal(recipe((qw_recipe_wish){ .bits = 2 }).name, "2bit");
    assert_string_equal(recipe((qw_recipe_wish){ .name = "4bit", .bits = 4, .group = 64 }).name, "4bit");
    assert_string_equal(recipe((qw_recipe_wish){ .name = "4bit", .bits = 2 }).name, "4bit, body 2");
    assert_string_equal(recipe((qw_recipe_wish){ .name = "6bit-plain", .bits = 8, .group = 128 }).name,
                        "6bit-plain, body 8, groups of 128");
    r = recipe((qw_recipe_wish){ .name = "4bit", .bits = 8 }); /* nothing has fewer than the body */
    for (int c = 0; c < QW_CLASS_MTP; c++)
        assert_true(r.choice[c].bits == 8 || c == QW_CLASS_DELTA_AB);
    r = recipe((qw_recipe_wish){ .vision_bits = 8, .mtp_bits = 16 });
    assert_int_equal(r.choice[QW_CLASS_VISION].bits, 8);
    assert_int_equal(r.choice[QW_CLASS_MTP].bits, 0);
    assert_int_equal(recipe((qw_recipe_wish){ 0 }).choice[QW_CLASS_MTP].bits, 8);
    assert_int_equal(recipe((qw_recipe_wish){ 0 }).choice[QW_CLASS_VISION].bits, 0);
}

static void refused(qw_recipe_wish wish, const char *word)
{
    qw_recipe r;
    qwren_error err;
    assert_int_equal(qw_recipe_make(&r, &wish, &err), QWREN_E_ARGUMENT);
    if (!strstr(err.text, word))
        fail_msg("\"%s\" does not say \"%s\"", err.text, word);
}

static void what_does_not_exist_is_refused_by_name(void **state)
{
    (void)state;
    refused((qw_recipe_wish){ .bits = 7 }, "2, 3, 4, 5, 6 and 8");
    refused((qw_recipe_wish){ .bits = -1 }, "2, 3, 4, 5, 6 and 8");
    refused((qw_recipe_wish){ .group = 16 }, "32, 64 and 128");
    refused((qw_recipe_wish){ .name = "7bit" }, "6bit-plain");
    refused((qw_recipe_wish){ .vision_bits = 4 }, "8 or 16");
    refused((qw_recipe_wish){ .mtp_bits = 6 }, "8 or 16");
}

/* ---- plans */

static void rows_that_do_not_fit_get_a_smaller_group(void **state)
{
    (void)state;
    const char *note;
    const qw_choice want = { 6, 128, QW_ENCODE_FEEDBACK };
    assert_int_equal(qw_choice_fit(want, 256, &note).group, 128);
    assert_null(note);
    assert_int_equal(qw_choice_fit(want, 192, &note).group, 64);
    assert_non_null(note);
    assert_int_equal(qw_choice_fit(want, 96, &note).group, 32);
    qw_choice kept = qw_choice_fit(want, 100, &note);
    assert_true(kept.bits == 0 && note);
    assert_int_equal(qw_choice_fit((qw_choice){ 0 }, 100, &note).bits, 0);
    assert_null(note);
}

static const qw_tensor *const *tensors(size_t *n)
{
    static const qw_tensor list[] = {
        { .name = "embed_tokens.weight", .type = QW_TYPE_BF16, .n_dims = 2, .shape = { 100, 64 } },
        { .name = "layers.0.mlp.down_proj.weight", .type = QW_TYPE_BF16, .n_dims = 2, .shape = { 64, 96 } },
        { .name = "layers.0.linear_attn.in_proj_a.weight", .type = QW_TYPE_BF16, .n_dims = 2, .shape = { 4, 64 } },
        { .name = "norm.weight", .type = QW_TYPE_BF16, .n_dims = 1, .shape = { 64 } },
        { .name = "visual.blocks.0.attn.qkv.weight", .type = QW_TYPE_BF16, .n_dims = 2, .shape = { 192, 64 } },
    };
    static const qw_tensor *pointers[sizeof list / sizeof *list];
    *n = sizeof list / sizeof *list;
    for (size_t i = 0; i < *n; i++)
        pointers[i] = &list[i];
    return pointers;
}

static const qw_folder_rules rules = { QW_TYPE_BF16, true };

static void a_plan_counts_its_bits(void **state)
{
    (void)state;
    const qw_recipe r = recipe((qw_recipe_wish){ .name = "6bit-plain" });
    qw_plan p;
    size_t n;
    const qw_tensor *const *list = tensors(&n);
    assert_int_equal(qw_plan_make(&p, list, n, &rules, &r, NULL), QWREN_OK);
    assert_int_equal(p.entries[0].choice.bits, 6);
    assert_int_equal(p.entries[1].choice.group, 32);
    assert_non_null(p.entries[1].note);
    assert_int_equal(qw_plan_type(&p.entries[0]), QW_TYPE_AFFINE6);
    assert_int_equal(qw_plan_type(&p.entries[3]), QW_TYPE_OTHER);
    assert_int_equal(p.entries[4].choice.bits, 0); /* the tower */
    const double bits = 6400 * 6.5 + 6144 * 7.0 + 256 * 6.5 + 64 * 16, weights = 6400 + 6144 + 256 + 64;
    assert_true(fabs(qw_plan_bits_per_weight(&p) - bits / weights) < 1e-12);
    assert_ptr_equal(qw_plan_find(&p, "norm.weight"), &p.entries[3]);
    assert_null(qw_plan_find(&p, "norm"));
    qw_plan_deinit(&p);
}

static qwren_status make_a_plan(void *ctx, qwren_error *err)
{
    qw_plan p;
    size_t n;
    const qw_tensor *const *list = tensors(&n);
    qwren_status st = qw_plan_make(&p, list, n, &rules, ctx, err);
    qw_plan_deinit(&p);
    return st;
}

static void a_plan_survives_a_short_memory(void **state)
{
    (void)state;
    qw_recipe r = recipe((qw_recipe_wish){ 0 });
    fault_install();
    assert_true(fault_try_all(make_a_plan, &r, 1) > 0);
    fault_remove();
}

/* ---- budgets */

static double loss_of(const qw_unit *units, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += units[i].options[units[i].chosen].loss;
    return sum;
}

/* The best of all combinations. */
static double best_loss(qw_unit *units, size_t n, double bits, size_t at)
{
    double best = 1e9;
    if (at == n)
        return 0;
    for (size_t o = 0; o < units[at].n; o++)
        if (units[at].options[o].bits <= bits) {
            const double rest = best_loss(units, n, bits - units[at].options[o].bits, at + 1);
            best = units[at].options[o].loss + rest < best ? units[at].options[o].loss + rest : best;
        }
    return best;
}

static void bits_go_where_they_help(void **state)
{
    (void)state;
    srand(5);
    for (int round = 0; round < 200; round++) {
        qw_unit units[5];
        double least = 0;
        for (int k = 0; k < 5; k++) {
            const double size = 1 + rand() % 20, weight = 0.1 + rand() % 100;
            units[k] = (qw_unit){ .n = 4 };
            for (int o = 0; o < 4; o++)
                units[k].options[(o + k) % 4] = (qw_option){ size * (3 + o), weight * pow(4, -o) };
            least += size * 3;
        }
        const double bits = least * (1 + rand() % 100 / 100.0), spent = qw_budget_spend(units, 5, bits);
        assert_true(spent <= bits + 1e-9);
        assert_true(loss_of(units, 5) <= 1.6 * best_loss(units, 5, bits + 1e-9, 0)); /* small units: the last step is a large one */
    }
}

static void too_few_bits_are_told(void **state)
{
    (void)state;
    qw_unit u = { .options = { { 10, 1 }, { 8, 2 } }, .n = 2 };
    assert_true(qw_budget_spend(&u, 1, 7) == 8.0);
    assert_int_equal(u.chosen, 1);
    assert_true(qw_budget_spend(&u, 1, 9) == 8.0);
    assert_true(qw_budget_spend(&u, 1, 10) == 10.0);
    assert_int_equal(u.chosen, 0);
}

/* ---- divergences */

static double divergence_by_definition(const float *a, const float *b, size_t n)
{
    double za = 0, zb = 0, kl = 0;
    for (size_t i = 0; i < n; i++) {
        za += exp((double)a[i]);
        zb += exp((double)b[i]);
    }
    for (size_t i = 0; i < n; i++)
        kl += exp((double)a[i]) / za * ((double)a[i] - log(za) - (double)b[i] + log(zb));
    return kl;
}

static void a_divergence_in_pieces_is_the_whole(void **state)
{
    (void)state;
    float a[1000], b[1000];
    srand(3);
    for (size_t i = 0; i < 1000; i++) {
        a[i] = (float)(rand() % 2000) * 0.01f - 10;
        b[i] = a[i] + (float)(rand() % 200 - 100) * 0.002f;
    }
    qw_divergence v = QW_DIVERGENCE_INIT;
    for (size_t at = 0, n; at < 1000; at += n) {
        n = 1000 - at < 37 ? 1000 - at : 37;
        qw_divergence_add(&v, a + at, b + at, n);
    }
    const double want = divergence_by_definition(a, b, 1000);
    if (fabs(qw_divergence_value(&v) / want - 1) > 1e-4)
        fail_msg("%.9g is not %.9g", qw_divergence_value(&v), want);
    qw_divergence same = QW_DIVERGENCE_INIT;
    qw_divergence_add(&same, a, a, 1000);
    assert_true(qw_divergence_value(&same) == 0.0);
}

/* A NaN must not look like the best of all. */
static void a_divergence_that_is_no_number_says_so(void **state)
{
    (void)state;
    static const float fine[4] = { 1, 2, 3, 4 };
    static const float bad[] = { NAN, INFINITY };
    for (size_t k = 0; k < 2; k++) {
        const float other[4] = { 1, bad[k], 3, 4 };
        qw_divergence a = QW_DIVERGENCE_INIT, b = QW_DIVERGENCE_INIT;
        qw_divergence_add(&a, fine, other, 4);
        assert_true(isnan(qw_divergence_value(&a)));
        qw_divergence_add(&b, other, fine, 4);
        assert_true(isnan(qw_divergence_value(&b)));
    }
}

/* Where one holds impossible what the other is sure of, the distance is large, but a number. */
static void a_large_divergence_is_finite(void **state)
{
    (void)state;
    static const float a[2] = { 100, 0 }, b[2] = { 0, 0 };
    qw_divergence v = QW_DIVERGENCE_INIT;
    qw_divergence_add(&v, a, b, 2);
    assert_true(isfinite(qw_divergence_value(&v)) && qw_divergence_value(&v) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_has_its_class),
        cmocka_unit_test(recipes_keep_their_promises),
        cmocka_unit_test(a_body_keeps_the_critical_rules),
        cmocka_unit_test(what_does_not_exist_is_refused_by_name),
        cmocka_unit_test(rows_that_do_not_fit_get_a_smaller_group),
        cmocka_unit_test(a_plan_counts_its_bits),
        cmocka_unit_test(a_plan_survives_a_short_memory),
        cmocka_unit_test(bits_go_where_they_help),
        cmocka_unit_test(too_few_bits_are_told),
        cmocka_unit_test(a_divergence_in_pieces_is_the_whole),
        cmocka_unit_test(a_divergence_that_is_no_number_says_so),
        cmocka_unit_test(a_large_divergence_is_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
