/* qwren preprocess: a picture -> the patches that the model's tower sees, as .npy; their grid on stdout. Tested by tests/cli/arrays.sh. */
#include "models.h"
#include "npy.h"
#include "output.h"
#include "verbs.h"

#include <stdio.h>
#include <string.h>

static qwren_status run(const cli_args *a, const qwren_model *model, int grid[3], qwren_error *err)
{
    qwren_image *image;
    float *patches = NULL;
    size_t n_rows, row_len;
    QW_TRY(qwren_image_open(&image, a->words[0], NULL, err));
    qwren_status st = qwren_image_preprocess(model, image, &patches, &n_rows, &row_len, grid, err);
    qwren_image_free(image);
    QW_TRY(st);
    st = cli_npy_write(cli_text(a, OPT_OUTPUT, NULL), patches, n_rows, row_len, err);
    qwren_free(patches);
    return st;
}

int cli_preprocess(const cli_args *a)
{
    qwren_model *model;
    qwren_error err;
    int grid[3];
    char line[80];
    if (!a->n_words)
        return cli_usage(a->verb, "IMAGE -o OUT.npy is missing");
    if (!cli_has(a, OPT_OUTPUT))
        return cli_usage(a->verb, "-o FILE is missing");
    qwren_status st = cli_model_open(a, MODEL_PICTURES, &model, &err);
    if (st == QWREN_OK)
        st = run(a, model, grid, &err);
    qwren_model_close(model);
    if (st != QWREN_OK)
        return cli_fail(&err);
    snprintf(line, sizeof line, "{\"grid_thw\": [%d, %d, %d]}\n", grid[0], grid[1], grid[2]);
    if (strcmp(cli_text(a, OPT_OUTPUT, ""), "-") == 0)
        cli_tell("%s", line); /* the array has standard output for itself */
    else
        cli_puts(line);
    return 0;
}
