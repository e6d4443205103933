/* The small files of a checkpoint (side_files.h). Tested by tests/unit/test_folder.c. */
#include "convert/side_files.h"

#include "base/affix.h"
#include "base/alloc.h"
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

static bool is_in(const char *name, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(name, list[i]) == 0)
            return true;
    return false;
}
#define IN(name, list) is_in(name, list, sizeof(list) / sizeof(list)[0])

static bool is_weights(const char *name) { return qw_ends_with(name, ".safetensors"); }

/* Those that decide what the model is. */
static bool is_stamped(const char *name) { return name[0] != '.' && (is_weights(name) || IN(name, made)); }
static bool is_taken(const char *name) { return IN(name, taken); }
/* Names with a point before them are the user's tools'. */
static bool is_left(const char *name) { return name[0] != '.' && !is_stamped(name) && !is_taken(name); }

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

qwren_status qw_side_files_copy(const char *from, const char *to, qwren_error *err)
{
    qw_names x;
    qwren_status st = qw_dir_list(&x, from, is_taken, err);
    for (size_t i = 0; st == QWREN_OK && i < x.n; i++)
        st = copy_one(from, to, x.at[i], err);
    qw_names_deinit(&x);
    return st;
}

qwren_status qw_side_files_left(const char *from, qw_names *out, qwren_error *err) { return qw_dir_list(out, from, is_left, err); }

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
    qwren_status st = qw_dir_list(&x, dir, is_stamped, err);
    for (size_t i = 0; st == QWREN_OK && i < x.n; i++)
        st = add_stamp(&h, dir, x.at[i], err);
    *out = qw_hash_value(&h);
    qw_names_deinit(&x);
    return st;
}
