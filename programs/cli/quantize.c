/* qwren quantize: a checkpoint -> a smaller one. The library does the work; here are its options, what is told when it stops, and the end
 * summary (quantize_report.c). Tested by tests/cli/quantize.sh. */
#include "quantize_report.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "interrupt.h"
#include "models.h"
#include "progress.h"
#include "verbs.h"

#include "help.h"
#include "output.h"

#include <stdlib.h>
#include <string.h>

static int list_recipes(void)
{
    const char *name, *about;
    qw_buf out = QW_BUF_INIT;
    for (size_t i = 0; (name = qwren_quantize_recipe(i, &about)); i++)
        qw_buf_printf(&out, "%-12s %s\n", name, about);
    qw_buf_puts(&out, "auto         Measures what each tensor's bits are worth, and spends them where they count; needs --bpw.\n");
    return cli_print_taken(&out);
}

/* --bpw alone means the recipe that takes it. */
static qwren_quantize_options read_options(const cli_args *a)
{
    qwren_quantize_options opt = qwren_quantize_options_default();
    opt.bpw = cli_number(a, OPT_BPW, 0);
    opt.recipe = cli_text(a, OPT_RECIPE, opt.bpw > 0 ? "auto" : NULL);
    opt.bits = atoi(cli_text(a, OPT_BITS, "0"));
    opt.group = atoi(cli_text(a, OPT_GROUP, "0"));
    opt.calibration = cli_text(a, OPT_CALIBRATE, NULL);
    opt.calibration_tokens = (size_t)cli_number(a, OPT_CALIBRATE_TOKENS, 0);
    opt.vision_bits = atoi(cli_text(a, OPT_VISION_BITS, "0"));
    opt.mtp_bits = atoi(cli_text(a, OPT_MTP_BITS, "0"));
    opt.n_threads = (int)cli_number(a, OPT_THREADS, 0);
    opt.fresh = cli_has(a, OPT_NO_RESUME);
    opt.force = cli_has(a, OPT_FORCE);
    opt.progress = cli_progress;
    return opt;
}

static int plan(const cli_args *a, const char *src, const qwren_quantize_options *opt)
{
    char *json;
    qwren_error err;
    qw_buf out = QW_BUF_INIT;
    if (qwren_quantize_plan(src, opt, &json, &err) != QWREN_OK)
        return cli_fail(&err);
    qwren_status st = QWREN_OK;
    if (cli_has(a, OPT_JSON))
        qw_buf_printf(&out, "%s\n", json);
    else
        st = cli_quantize_put_plan(&out, json, &err);
    qwren_free(json);
    if (st == QWREN_OK)
        return cli_print_taken(&out);
    qw_buf_free(&out);
    return cli_fail(&err);
}

/* What a stop leaves, and what may be typed next. */
static void tell_rest(const char *dst)
{
    qw_buf partial = QW_BUF_INIT;
    size_t n = strlen(dst);
    while (n > 1 && dst[n - 1] == '/')
        n--;
    qw_buf_append(&partial, dst, n);
    qw_buf_puts(&partial, ".partial");
    if (!partial.failed && qw_dir_exists(partial.data))
        cli_notice("what was made so far is kept in %s: the same command goes on from there, with --no-resume it begins anew",
                   partial.data);
    qw_buf_free(&partial);
}

static int make(const cli_args *a, const char *src, const qwren_quantize_options *opt)
{
    qwren_error err;
    qw_buf out = QW_BUF_INIT;
    const char *dst = a->words[1];
    double started_s = qw_now_s();
    cli_interrupt_catch();
    qwren_status st = qwren_quantize(src, dst, opt, &err);
    cli_progress_clear();
    if (st != QWREN_OK) {
        int status = cli_fail(&err);
        tell_rest(dst);
        return status;
    }
    const cli_quantize_made made = { src, dst, qw_now_s() - started_s };
    st = (cli_has(a, OPT_JSON) ? cli_quantize_put_json : cli_quantize_put_summary)(&out, &made, &err);
    if (st == QWREN_OK)
        return cli_print_taken(&out);
    qw_buf_free(&out);
    return cli_fail(&err);
}

int cli_quantize(const cli_args *a)
{
    qwren_error err;
    bool dry = cli_has(a, OPT_DRY_RUN);
    if (cli_has(a, OPT_LIST_RECIPES))
        return list_recipes();
    if (a->n_words < (dry ? 1 : 2))
        return cli_usage(a->verb, a->n_words ? "DST is missing: the folder that is to be made" : "SRC and DST are missing");
    if (cli_has(a, OPT_BPW) && cli_has(a, OPT_RECIPE) && strcmp(cli_text(a, OPT_RECIPE, ""), "auto") != 0)
        return cli_usage(a->verb, "--bpw goes with the recipe auto alone; of '%s' the bits are known", cli_text(a, OPT_RECIPE, ""));
    if (!cli_has(a, OPT_BPW) && strcmp(cli_text(a, OPT_RECIPE, ""), "auto") == 0)
        return cli_usage(a->verb, "--recipe auto needs --bpw X: the bits per weight that it may spend");
    if (cli_has(a, OPT_BPW) && (cli_has(a, OPT_BITS) || cli_has(a, OPT_GROUP)))
        return cli_usage(a->verb, "--bits and --group do not go with --bpw: the recipe auto chooses them by itself");
    char *src = cli_model_resolve(a->words[0]);
    if (!src) {
        qw_fail_memory(&err, strlen(a->words[0]), "the model's path");
        return cli_fail(&err);
    }
    const qwren_quantize_options opt = read_options(a);
    int status = dry ? plan(a, src, &opt) : make(a, src, &opt);
    qw_free(src);
    return status;
}
