/* qwren bench: options, the model, the machine; bench_run.c measures and bench_report.c tells. Tested by tests/cli/bench.sh. */
#include "bench.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/dir.h"
#include "base/machine.h"
#include "help.h"
#include "interrupt.h"
#include "models.h"
#include "output.h"
#include "progress.h"
#include "verbs.h"

#include <math.h>
#include <string.h>

static void read_options(bench *b, const cli_args *a)
{
    *b = (bench){ .args = a, .cold_s = (double)NAN, .warm_s = (double)NAN };
    b->n_prompts = cli_wholes(a, OPT_PROMPTS, "512", b->prompts);
    b->n_depths = cli_wholes(a, OPT_DEPTHS, "0", b->depths);
    b->n_batches = cli_wholes(a, OPT_BATCHES, "1", b->batches);
    b->n_edges = cli_wholes(a, OPT_IMAGE_SIZES, "", b->edges);
    b->n_decode = (size_t)cli_number(a, OPT_DECODE, 64);
    b->repeats = (size_t)cli_number(a, OPT_REPEAT, 5);
    b->profile = cli_has(a, OPT_PROFILE);
    qw_energy_find(&b->energy, "");
}

/* ---- the model */

static qwren_status make_random(bench *b, qwren_model **out, qwren_error *err)
{
    qwren_model_options opt = qwren_model_options_default();
    opt.n_threads = (int)cli_number(b->args, OPT_THREADS, 0);
    opt.arithmetic = cli_arithmetic(b->args);
    opt.yarn_factor = cli_number(b->args, OPT_YARN, 0);
    opt.progress = cli_progress;
    const double start = qw_now_s();
    opt.cache_bytes = 1; /* nothing that was computed is found again */
    QW_TRY(qwren_model_random(out, cli_text(b->args, OPT_RANDOM, NULL), cli_text(b->args, OPT_RECIPE, NULL), &opt, err));
    b->cold_s = qw_now_s() - start;
    return QWREN_OK;
}

/* With its tokenizer when there is one that works; nothing that is measured needs it. */
static qwren_status open_timed(bench *b, qwren_model **out, double *seconds, qwren_error *err)
{
    double start = qw_now_s();
    qwren_status st = cli_model_open(b->args, MODEL_WHOLE, out, err);
    if (st != QWREN_OK && st != QWREN_E_CANCELLED) {
        start = qw_now_s();
        st = cli_model_open(b->args, MODEL_NUMBERS, out, err);
    }
    *seconds = qw_now_s() - start;
    return st;
}

static qwren_status open_files(bench *b, qwren_model **out, qwren_error *err)
{
    char *path;
    QW_TRY(cli_model_path(b->args, &path, err));
    qw_dir_forget(path);
    qw_free(path);
    QW_TRY(open_timed(b, out, &b->cold_s, err));
    qwren_model_close(*out);
    return open_timed(b, out, &b->warm_s, err);
}

/* ---- the whole */

/* Of a buffer as large as what a token reads, so that caches help both alike. Twice, before and after, so that a noisy moment does not
 * lower the limits. */
static qwren_status measure_machine(bench *b, qwren_error *err)
{
    qwren_machine_speed s;
    const size_t bytes = (size_t)qwren_model_get_info(b->model)->n_bytes_text;
    QW_TRY(qwren_measure_machine((int)cli_number(b->args, OPT_THREADS, 0), bytes, &s, err));
    if (cli_interrupted())
        return qw_fail(err, QWREN_E_CANCELLED, "stopped while measuring the machine");
    if (!b->machine.n_threads)
        b->machine = s;
    b->machine.read_bytes_per_s = fmax(b->machine.read_bytes_per_s, s.read_bytes_per_s);
    b->machine.dot_ops_per_s = fmax(b->machine.dot_ops_per_s, s.dot_ops_per_s);
    b->machine.float_ops_per_s = fmax(b->machine.float_ops_per_s, s.float_ops_per_s);
    return QWREN_OK;
}

static qwren_status open_model(bench *b, qwren_model **model, qwren_error *err)
{
    QW_TRY(qwren_get_cpu_info(&b->cpu, err));
    QW_TRY(cli_has(b->args, OPT_RANDOM) ? make_random(b, model, err) : open_files(b, model, err));
    b->model = *model;
    return QWREN_OK;
}

/* The peak of memory is that of what runs: a buffer that is gone does not count. */
static qwren_status measure(bench *b, qwren_error *err)
{
    QW_TRY(measure_machine(b, err));
    qw_process_forget_peak();
    QW_TRY(bench_run(b, err));
    b->peak_bytes = qw_process_get_memory().peak;
    return measure_machine(b, err);
}

static int check_usage(const cli_args *a)
{
    const bool random = cli_has(a, OPT_RANDOM);
    if (random && (a->n_words || cli_has(a, OPT_MODEL) || cli_has(a, OPT_MMPROJ)))
        return cli_usage(a->verb, "--random makes a model; it does not go with one that is named");
    if (!random && cli_has(a, OPT_RECIPE))
        return cli_usage(a->verb, "--recipe goes with --random");
    if (a->n_words && cli_has(a, OPT_MODEL))
        return cli_usage(a->verb, "the model is named twice: '%s' and '%s'", cli_text(a, OPT_MODEL, ""), a->words[0]);
    if (cli_has(a, OPT_SPEC) && cli_has(a, OPT_CSV))
        return cli_usage(a->verb, "--spec is told as text or as --json");
    return cli_has(a, OPT_JSON) && cli_has(a, OPT_CSV) ? cli_usage(a->verb, "--json or --csv, not both") : 0;
}

int cli_bench(const cli_args *a)
{
    qwren_error err;
    qwren_model *model = NULL;
    qw_buf out = QW_BUF_INIT;
    int status = check_usage(a);
    if (status)
        return status;
    bench *b = qw_malloc(sizeof *b);
    if (!b) {
        qw_fail_memory(&err, sizeof *b, "the measurements");
        return cli_fail(&err);
    }
    read_options(b, a);
    cli_interrupt_catch();
    qwren_status st = open_model(b, &model, &err);
    if (st == QWREN_OK)
        st = cli_has(a, OPT_SPEC) ? bench_spec(&out, b, &err) : measure(b, &err);
    cli_progress_clear();
    if (st == QWREN_OK && !cli_has(a, OPT_SPEC))
        (cli_has(a, OPT_JSON) ? bench_put_json : cli_has(a, OPT_CSV) ? bench_put_csv : bench_put_text)(&out, b);
    status = st == QWREN_OK ? cli_print_taken(&out) : cli_fail(&err);
    cli_interrupt_release();
    qwren_model_close(model);
    qw_free(b);
    return status;
}
