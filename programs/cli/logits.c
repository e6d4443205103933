/* qwren logits: token ids, with pictures if there are any -> the logits after each token as .npy. Tested by tests/cli/arrays.sh. */
#include "base/alloc.h"
#include "input.h"
#include "models.h"
#include "npy.h"
#include "output.h"
#include "verbs.h"

#include <math.h>

typedef struct job {
    const cli_args *args;
    int32_t *ids;
    size_t n_ids;
    qwren_image **images;
    size_t n_images;
    qwren_model *model;
    qwren_session *session;
    float *logits; /* [n_rows, vocabulary] */
} job;

static qwren_status open_images(job *j, qwren_error *err)
{
    size_t n = cli_count(j->args, OPT_IMAGE);
    j->images = qw_calloc(n, sizeof(qwren_image *));
    if (!j->images)
        return qw_fail_memory(err, n * sizeof *j->images, "pictures");
    for (; j->n_images < n; j->n_images++)
        QW_TRY(qwren_image_open(&j->images[j->n_images], cli_nth(j->args, OPT_IMAGE, j->n_images), NULL, err));
    return QWREN_OK;
}

/* Without pictures the room that is needed is known. */
static qwren_status open_session(job *j, qwren_error *err)
{
    qwren_session_options opt = cli_session_options(j->args);
    opt.n_ctx = (size_t)cli_number(j->args, OPT_CTX, j->n_images ? 0 : (double)j->n_ids);
    QW_TRY(cli_model_open(j->args, MODEL_NUMBERS, &j->model, err));
    return cli_session_create(j->args, j->model, &opt, &j->session, err);
}

static qwren_status check_finite(const job *j, size_t n_rows, qwren_error *err)
{
    const qwren_model_info *info = qwren_model_get_info(j->model);
    size_t n = n_rows * (size_t)info->vocab_size;
    for (size_t i = 0; i < n; i++)
        if (!isfinite(j->logits[i]))
            return qw_fail(err, QWREN_E_FORMAT, "%s: the model's numbers are not finite: its weights are damaged; qwren doctor says where",
                           info->path);
    return QWREN_OK;
}

static qwren_status run(job *j, qwren_error *err)
{
    const char *path = cli_text(j->args, OPT_IDS, NULL);
    size_t n_rows = 0;
    QW_TRY(cli_read_ids(path, &j->ids, &j->n_ids, err));
    if (!j->n_ids)
        return qw_fail(err, QWREN_E_FORMAT, "%s: holds no token ids, at least one is needed", cli_source_name(path));
    QW_TRY(open_images(j, err));
    QW_TRY(open_session(j, err));
    QW_TRY(qwren_session_eval(j->session, j->ids, j->n_ids, (const qwren_image *const *)j->images, j->n_images, &j->logits, &n_rows, err));
    QW_TRY(check_finite(j, n_rows, err));
    return cli_npy_write(cli_text(j->args, OPT_OUTPUT, NULL), j->logits, n_rows, (size_t)qwren_model_get_info(j->model)->vocab_size, err);
}

int cli_logits(const cli_args *a)
{
    job j = { .args = a };
    qwren_error err;
    if (!cli_has(a, OPT_IDS))
        return cli_usage(a->verb, "--ids FILE is missing");
    if (!cli_has(a, OPT_OUTPUT))
        return cli_usage(a->verb, "-o FILE is missing");
    qwren_status st = run(&j, &err);
    qwren_free(j.logits);
    qwren_session_free(j.session);
    qwren_model_close(j.model);
    for (size_t i = 0; i < j.n_images; i++)
        qwren_image_free(j.images[i]);
    qw_free(j.images);
    qw_free(j.ids);
    return st == QWREN_OK ? 0 : cli_fail(&err);
}
