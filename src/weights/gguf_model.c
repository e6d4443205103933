/* A model in GGUF files (gguf_model.h): opens its parts and its image tower, refuses what does not belong together, and names the tensors.
 * Stands between gguf.c and weights.c. Tested by tests/unit/test_gguf_files.c and
 * tests/golden/test_gguf.c. */
#include "weights/gguf_model.h"

#include "base/alloc.h"
#include "weights/gguf_files.h"
#include "weights/gguf_names.h"
#include "weights/names.h"

#include <string.h>

#define MAX_BLOCKS 4096

/* ---- what the files are */

static qwren_status check_text_model(const qw_gguf *g, qwren_error *err)
{
    const qw_gguf_value *arch = qw_gguf_find(g, "general.architecture");
    char shown[QW_GGUF_SHOWN_BYTES];
    if (qw_gguf_is(arch, "qwen35"))
        return QWREN_OK;
    if (qw_gguf_is(arch, "clip"))
        return qw_fail(err, QWREN_E_UNSUPPORTED,
                       "%s: is the image tower of a model; give the path of the model's .gguf file, and this one as mmproj",
                       qw_gguf_path(g));
    return qw_fail(err, QWREN_E_UNSUPPORTED, "%s: general.architecture is %s; supported is qwen35 (Qwen 3.5, dense)", qw_gguf_path(g),
                   qw_gguf_show(shown, sizeof shown, qw_gguf_find(g, "general.architecture")));
}

static qwren_status check_tower(const qw_gguf *g, qwren_error *err)
{
    char shown[QW_GGUF_SHOWN_BYTES];
    const char *key = qw_gguf_find(g, "clip.vision.projector_type") ? "clip.vision.projector_type" : "clip.projector_type";
    if (!qw_gguf_is(qw_gguf_find(g, "general.architecture"), "clip"))
        return qw_fail(err, QWREN_E_UNSUPPORTED, "%s: general.architecture is %s; the file of an image tower (mmproj) says clip",
                       qw_gguf_path(g), qw_gguf_show(shown, sizeof shown, qw_gguf_find(g, "general.architecture")));
    if (!qw_gguf_is(qw_gguf_find(g, key), "qwen3vl_merger"))
        return qw_fail(err, QWREN_E_UNSUPPORTED,
                       "%s: %s is %s; supported is qwen3vl_merger; give the model's own image tower as mmproj, or \"none\"",
                       qw_gguf_path(g), key, qw_gguf_show(shown, sizeof shown, qw_gguf_find(g, key)));
    return QWREN_OK;
}

/* ---- parts */

/* A part says which it is of how many; a file that was not split says neither. */
static qwren_status check_part(const qw_gguf_model *m, size_t i, qwren_error *err)
{
    int64_t number = 0, count = 1;
    const qw_gguf *g = m->parts[i];
    qw_gguf_int(qw_gguf_find(g, "split.no"), &number);
    qw_gguf_int(qw_gguf_find(g, "split.count"), &count);
    if (m->n_parts == 1 && count > 1)
        return qw_fail(err, QWREN_E_FORMAT,
                       "%s: is one of %lld files; they must keep their names, NAME-00001-of-%05lld.gguf and so on, and lie in one folder",
                       qw_gguf_path(g), (long long)count, (long long)count);
    if (number != (int64_t)i || count != (int64_t)m->n_parts)
        return qw_fail(err, QWREN_E_FORMAT,
                       "%s: says it is part %lld of %lld, its name says %zu of %zu: it is of another model, or was renamed",
                       qw_gguf_path(g), (long long)number + 1, (long long)count, i + 1, m->n_parts);
    return QWREN_OK;
}

/* The parts have all tensors that the first one promises. */
static qwren_status check_sum(const qw_gguf_model *m, qwren_error *err)
{
    int64_t promised;
    size_t sum = 0, n;
    for (size_t i = 0; i < m->n_parts; i++) {
        qw_gguf_tensors(m->parts[i], &n);
        sum += n;
    }
    if (!qw_gguf_int(qw_gguf_find(m->parts[0], "split.tensors.count"), &promised) || promised == (int64_t)sum)
        return QWREN_OK;
    return qw_fail(err, QWREN_E_FORMAT, "%s: says the model has %lld tensors, its %zu files have %zu: one of them is of another model",
                   qw_gguf_path(m->parts[0]), (long long)promised, m->n_parts, sum);
}

static qwren_status make_parts(qw_gguf_model *m, size_t n, qwren_error *err)
{
    m->parts = qw_calloc(n, sizeof *m->parts);
    if (!m->parts)
        return qw_fail_memory(err, n * sizeof *m->parts, "a list of files");
    m->n_parts = n;
    return QWREN_OK;
}

static qwren_status open_parts(qw_gguf_model *m, const qw_gguf_files *files, qwren_error *err)
{
    QW_TRY(make_parts(m, files->n_parts, err));
    for (size_t i = 0; i < m->n_parts; i++) {
        QW_TRY(qw_gguf_open(&m->parts[i], files->parts[i], err));
        QW_TRY(check_part(m, i, err));
    }
    QW_TRY(check_text_model(m->parts[0], err));
    return check_sum(m, err);
}

qwren_status qw_gguf_model_open(qw_gguf_model *out, const char *path, const char *mmproj, qwren_error *err)
{
    qw_gguf_files files;
    *out = (qw_gguf_model){ 0 };
    qwren_status st = qw_gguf_files_find(&files, path, mmproj, err);
    if (st == QWREN_OK)
        st = open_parts(out, &files, err);
    if (st == QWREN_OK && files.mmproj)
        st = qw_gguf_open(&out->mmproj, files.mmproj, err);
    if (st == QWREN_OK && out->mmproj)
        st = check_tower(out->mmproj, err);
    qw_gguf_files_deinit(&files);
    return st;
}

qwren_status qw_gguf_model_read(qw_gguf_model *out, const qw_map *model, const qw_map *mmproj, qwren_error *err)
{
    *out = (qw_gguf_model){ 0 };
    QW_TRY(make_parts(out, 1, err));
    QW_TRY(qw_gguf_read(&out->parts[0], model, "model.gguf", err));
    QW_TRY(check_part(out, 0, err));
    QW_TRY(check_text_model(out->parts[0], err));
    if (!mmproj)
        return QWREN_OK;
    QW_TRY(qw_gguf_read(&out->mmproj, mmproj, "mmproj.gguf", err));
    return check_tower(out->mmproj, err);
}

void qw_gguf_model_expect(const qw_gguf_model *m)
{
    for (size_t i = 0; i < m->n_parts; i++)
        qw_gguf_expect(m->parts[i]);
    if (m->mmproj)
        qw_gguf_expect(m->mmproj);
}

void qw_gguf_model_close(qw_gguf_model *m)
{
    for (size_t i = 0; i < m->n_parts; i++)
        qw_gguf_close(m->parts[i]);
    qw_free(m->parts);
    qw_gguf_close(m->mmproj);
    *m = (qw_gguf_model){ 0 };
}

/* ---- names */

typedef struct naming {
    long n_layers, n_blocks; /* text: blocks between them are the MTP head */
    bool is_vision;
    qw_arena *names;
} naming;

/* A number that is out of bounds is refused by model/config_gguf.c, which knows them; here it only must not lead astray. */
static long bounded(const qw_gguf *g, const char *key)
{
    int64_t x = 0;
    qw_gguf_int(qw_gguf_find(g, key), &x);
    return x >= 0 && x <= MAX_BLOCKS ? (long)x : 0;
}

/* Number formats that no layer computes with are refused where a layer would read them. */
static qwren_status check_type(const qw_tensor *t, qwren_error *err)
{
    if (qw_type_is_weight(t->type) || qw_part_of(t->name) == QW_PART_OTHER)
        return QWREN_OK;
    return qw_fail(err, QWREN_E_UNSUPPORTED, "%s: tensor %s is %s; supported are %s", t->file, t->file_name, t->dtype, QW_GGUF_TYPES);
}

static qwren_status name_tensors(const qw_gguf *g, const naming *how, qw_tensor *out, qwren_error *err)
{
    char buf[QW_GGUF_NAME_BYTES];
    size_t n;
    const qw_tensor *tensors = qw_gguf_tensors(g, &n);
    for (size_t i = 0; i < n; i++) {
        out[i] = tensors[i];
        const char *name = how->is_vision ? qw_name_from_gguf_vision(buf, sizeof buf, out[i].file_name)
                                          : qw_name_from_gguf_text(buf, sizeof buf, out[i].file_name, how->n_layers, how->n_blocks);
        out[i].name = qw_arena_strndup(how->names, name, strlen(name));
        if (!out[i].name)
            return qw_fail_memory(err, strlen(name) + 1, "the name of a tensor");
        QW_TRY(check_type(&out[i], err));
    }
    return QWREN_OK;
}

static qwren_status name_all(const qw_gguf_model *m, qw_arena *names, qw_tensor *out, qwren_error *err)
{
    const qw_gguf *first = m->parts[0];
    long n_blocks = bounded(first, "qwen35.block_count"), n_mtp = bounded(first, "qwen35.nextn_predict_layers");
    const naming text = { n_blocks - n_mtp, n_blocks, false, names }, vision = { 0, 0, true, names };
    for (size_t i = 0, n; i < m->n_parts; i++) {
        QW_TRY(name_tensors(m->parts[i], &text, out, err));
        qw_gguf_tensors(m->parts[i], &n);
        out += n;
    }
    return m->mmproj ? name_tensors(m->mmproj, &vision, out, err) : QWREN_OK;
}

qwren_status qw_gguf_model_tensors(const qw_gguf_model *m, qw_arena *names, qw_tensor **out, size_t *n_out, qwren_error *err)
{
    size_t total = 0, n;
    for (size_t i = 0; i < m->n_parts; i++) {
        qw_gguf_tensors(m->parts[i], &n);
        total += n;
    }
    if (m->mmproj) {
        qw_gguf_tensors(m->mmproj, &n);
        total += n;
    }
    *n_out = 0;
    *out = qw_alloc_array(total, sizeof **out);
    if (!*out)
        return qw_fail_memory(err, total * sizeof **out, "the list of tensors");
    qwren_status st = name_all(m, names, *out, err);
    if (st == QWREN_OK) {
        *n_out = total;
    } else {
        qw_free(*out);
        *out = NULL;
    }
    return st;
}
