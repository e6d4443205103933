/* Sessions in files: qwren_session_save, _load, _inspect. Tested by tests/unit/test_api_disk.c. */
#include "api/session.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/log.h"
#include "runtime/session_file.h"

#include <inttypes.h>
#include <string.h>

static qwren_status head_of(const qwren_session *s, const char *path, qw_store_head *head, qwren_error *err)
{
    if (!path)
        return qw_fail(err, QWREN_E_ARGUMENT, "the path of a session file is NULL; give its name");
    QW_TRY(qw_caches_head(s->model->caches, &s->model->core, s->type, head, err));
    head->kind = QW_SAVED_SESSION;
    return QWREN_OK;
}

qwren_status qwren_session_save(qwren_session *s, const char *path, qwren_error *err)
{
    qw_store_head head;
    QW_TRY(head_of(s, path, &head, err));
    return qw_session_save(s->core, path, &head, NULL, err);
}

qwren_status qwren_session_load(qwren_session *s, const char *path, qwren_error *err)
{
    qw_store_head head;
    QW_TRY(head_of(s, path, &head, err));
    return qw_session_load(s->core, path, &head, err);
}

void qw_session_keep_on_disk(qwren_session *s)
{
    qwren_error err;
    if (qw_session_flush(s->core, &err) != QWREN_OK)
        qw_log(QWREN_LOG_WARN, "what was computed is not kept for the next run: %s", err.text);
}

/* ---- what is in one */

static void write_pictures(qw_buf *out, const qw_saved_info *info)
{
    const char *comma = "";
    qw_buf_puts(out, ", \"pictures\": [");
    for (size_t i = 0, end; i < info->n; i = end) {
        for (end = i + 1; info->keys[i] & QW_PICTURE_KEY && end < info->n && info->keys[end] & QW_PICTURE_KEY;)
            end++;
        if (!(info->keys[i] & QW_PICTURE_KEY))
            continue;
        qw_buf_printf(out, "%s{\"begin\": %zu, \"tokens\": %zu, \"hash\": \"%016" PRIx64 "\"}", comma, i, end - i, info->keys[i]);
        comma = ", ";
    }
    qw_buf_putc(out, ']');
}

static void write_states(qw_buf *out, const qw_saved_info *info)
{
    static const char *const kinds[QW_CHECKPOINT_KINDS] = { "interval", "end", "turn", "picture" };
    qw_buf_puts(out, ", \"states\": [");
    for (size_t i = 0; i < info->n_states; i++)
        qw_buf_printf(out, "%s{\"tokens\": %" PRIu64 ", \"kind\": \"%s\"}", i ? ", " : "", info->states[i].info[0],
                      kinds[info->states[i].info[2]]);
    qw_buf_putc(out, ']');
}

static qwren_status describe(const qw_saved_info *info, char **json, qwren_error *err)
{
    qw_buf out = QW_BUF_INIT;
    qw_buf_puts(&out, "{\"model\": ");
    qw_json_dump_string(&out, info->about, strlen(info->about));
    qw_buf_printf(&out, ", \"tokens\": %zu", info->n);
    write_pictures(&out, info);
    write_states(&out, info);
    qw_buf_printf(&out, ", \"bytes\": %" PRIu64 ", \"used_bytes\": %" PRIu64 "}", info->file_bytes, info->live_bytes);
    return qw_buf_take(&out, json, NULL, err);
}

qwren_status qwren_session_inspect(const char *path, char **json, qwren_error *err)
{
    qw_saved_info info;
    *json = NULL;
    if (!path)
        return qw_fail(err, QWREN_E_ARGUMENT, "qwren_session_inspect: path is NULL; give the name of a session file");
    QW_TRY(qw_saved_inspect(&info, path, err));
    const qwren_status st = describe(&info, json, err);
    qw_saved_info_deinit(&info);
    return st;
}
