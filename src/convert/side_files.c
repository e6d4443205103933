/* The small files of a checkpoint (side_files.h). Tested by tests/unit/test_folder.c. */
#include "convert/side_files.h"

#include "base/alloc.h"
#include "base/dir.h"
#include "base/file.h"
#include "base/hash.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_BYTES ((size_t)256 << 20)

static const char *const taken[] = {
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.json",
    "chat_template.jinja",
    "generation_config.json",
    "processor_config.json",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    "LICENSE",
};
static const char *const made[] = { "config.json", "model.safetensors.index.json" };

/* ---- names */

/* Those that begin with a point are the user's tools'. */
static bool is_shown(const char *name) { return name[0] != '.'; }

static bool is_in(const char *name, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(name, list[i]) == 0)
            return true;
    return false;
}
#define IN(name, list) is_in(name, list, sizeof(list) / sizeof(list)[0])

static bool is_weights(const char *name)
{
    static const char end[] = ".safetensors";
    size_t n = strlen(name);
    return n >= sizeof end - 1 && strcmp(name + n - (sizeof end - 1), end) == 0;
}

/* ---- copies */

static qwren_status copy_bytes(const char *from, const char *to, qwren_error *err)
{
    char *bytes;
    size_t n;
    QW_TRY(qw_file_read(from, MAX_BYTES, &bytes, &n, err));
    qwren_status st = qw_file_write(to, bytes, n, err);
    qw_free(bytes);
    return st;
}

static qwren_status copy_one(const char *from, const char *to, const char *name, qwren_error *err)
{
    char *a = qw_path_join(from, name), *b = qw_path_join(to, name);
    qwren_status st = a && b ? copy_bytes(a, b, err) : qw_fail_memory(err, strlen(from) + strlen(to), "a path");
    qw_free(a);
    qw_free(b);
    return st;
}

qwren_status qw_side_files_copy(const char *from, const char *to, qw_buf *left, qwren_error *err)
{
    qw_names x;
    qwren_status st = qw_dir_list(&x, from, is_shown, err);
    for (size_t i = 0; st == QWREN_OK && i < x.n; i++) {
        if (IN(x.at[i], taken))
            st = copy_one(from, to, x.at[i], err);
        else if (!IN(x.at[i], made) && !is_weights(x.at[i]))
            qw_buf_printf(left, left->len ? ", %s" : "%s", x.at[i]);
    }
    qw_names_deinit(&x);
    return st == QWREN_OK ? qw_buf_status(left, err) : st;
}

/* ---- the stamp */

static qwren_status add_stamp(qw_hash *h, const char *dir, const char *name, qwren_error *err)
{
    struct stat s;
    char *path = qw_path_join(dir, name);
    if (!path)
        return qw_fail_memory(err, strlen(dir) + strlen(name), "a path");
    bool known = stat(path, &s) == 0;
    qwren_status st = known ? QWREN_OK : qw_fail(err, QWREN_E_IO, "%s: cannot be examined: %s", path, strerror(errno));
    if (known) {
        int64_t facts[] = { (int64_t)s.st_size, (int64_t)s.st_mtim.tv_sec, (int64_t)s.st_mtim.tv_nsec };
        qw_hash_add(h, name, strlen(name) + 1);
        qw_hash_add(h, facts, sizeof facts);
    }
    qw_free(path);
    return st;
}

qwren_status qw_side_files_stamp(const char *dir, uint64_t *out, qwren_error *err)
{
    qw_hash h;
    qw_names x;
    qw_hash_init(&h);
    qwren_status st = qw_dir_list(&x, dir, is_shown, err);
    for (size_t i = 0; st == QWREN_OK && i < x.n; i++)
        if (is_weights(x.at[i]) || IN(x.at[i], made))
            st = add_stamp(&h, dir, x.at[i], err);
    *out = qw_hash_value(&h);
    qw_names_deinit(&x);
    return st;
}
