/* The history's file (history.h). A chat does not fail for its sake: what cannot be read is empty, what cannot be written is a notice.
 * Tested by tests/cli/terminal.sh. */
#include "history.h"

#include "base/alloc.h"
#include "base/file.h"
#include "output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_BYTES ((size_t)16 << 20)

/* The file's path (qw_free), NULL when there is no home. */
static char *find_path(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (state && *state == '/')
        return qw_path_join(state, "qwren/history");
    return home && *home ? qw_path_join(home, ".local/state/qwren/history") : NULL;
}

void cli_history_load(void (*add)(void *ctx, const char *line), void *ctx)
{
    char *path = find_path(), *text = NULL;
    size_t len;
    if (path && qw_file_exists(path) && qw_file_read(path, MAX_BYTES, &text, &len, NULL) == QWREN_OK)
        for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
            *end = '\0';
            add(ctx, line);
        }
    qw_free(text);
    qw_free(path);
}

/* The folders above the file, each if it is missing. */
static bool make_folders(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        bool failed = mkdir(path, 0700) != 0 && errno != EEXIST;
        *slash = '/';
        if (failed)
            return false;
    }
    return true;
}

static qwren_status save(char *path, const qw_buf *lines, qwren_error *err)
{
    qw_writer *w;
    if (!make_folders(path))
        return qw_fail(err, QWREN_E_IO, "%s: its folder cannot be made: %s", path, strerror(errno));
    QW_TRY(qw_writer_open(&w, path, err));
    qwren_status st = qw_writer_write(w, lines->data, lines->len, err);
    if (st == QWREN_OK)
        st = qw_writer_commit(w, err);
    qw_writer_close(w);
    return st;
}

void cli_history_save(const qw_buf *lines)
{
    static bool told;
    qwren_error err;
    char *path = find_path();
    if (!path || lines->failed || lines->len == 0) {
        qw_free(path);
        return;
    }
    mode_t old = umask(077);
    if (save(path, lines, &err) != QWREN_OK && !told) {
        cli_notice("the history is not kept: %s", err.text);
        told = true;
    }
    umask(old);
    qw_free(path);
}
