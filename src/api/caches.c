/* The prefix caches of a model (caches.h). Tested by tests/unit/test_api_cache.c and test_api_disk.c. */
#include "api/caches.h"

#include "base/alloc.h"
#include "base/dir.h"
#include "base/log.h"
#include "base/machine.h"
#include "model/identity.h"
#include "runtime/session.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define MOST ((uint64_t)1 << 30) /* without a wish */

/* What belongs to a type of keys and values. */
typedef struct cache {
    qw_prefix *prefix;    /* NULL: nobody has asked */
    qw_prefix_disk *disk; /* NULL: likewise, or no folder is wished */
    qw_store_head head;   /* when has_head */
    bool has_head;
    bool told; /* that there is no room */
} cache;

struct qw_caches {
    pthread_mutex_t lock;
    size_t budget_bytes;
    char *dir, *name;
    uint64_t dir_bytes;
    cache of_type[QW_KV_TYPES];
};

static size_t usual_budget(void)
{
    const uint64_t available = qw_machine_get_memory().available, quarter = available == QW_NOT_KNOWN ? MOST : available / 4;
    return (size_t)(quarter < MOST ? quarter : MOST);
}

qwren_status qw_caches_create(qw_caches **out, const qw_caches_options *opt, qwren_error *err)
{
    *out = NULL;
    if (opt->dir)
        QW_TRY(qw_dir_make(opt->dir, err));
    qw_caches *c = qw_calloc(1, sizeof *c);
    if (!c)
        return qw_fail_memory(err, sizeof *c, "the prefix caches");
    c->budget_bytes = opt->bytes ? opt->bytes : usual_budget();
    c->dir_bytes = opt->dir_bytes ? opt->dir_bytes : QW_PREFIX_DISK_BYTES;
    pthread_mutex_init(&c->lock, NULL);
    c->name = qw_strdup(opt->name);
    c->dir = opt->dir ? qw_strdup(opt->dir) : NULL;
    if (!c->name || (opt->dir && !c->dir)) {
        qw_caches_free(c);
        return qw_fail_memory(err, strlen(opt->name) + 1, "names");
    }
    *out = c;
    return QWREN_OK;
}

void qw_caches_free(qw_caches *c)
{
    if (!c)
        return;
    for (int i = 0; i < QW_KV_TYPES; i++) {
        qw_prefix_disk_close(c->of_type[i].disk);
        qw_prefix_free(c->of_type[i].prefix);
    }
    pthread_mutex_destroy(&c->lock);
    qw_free(c->name);
    qw_free(c->dir);
    qw_free(c);
}

/* ---- whose files */

static const char *arithmetic_name(qwren_arithmetic a)
{
    return a == QWREN_ARITHMETIC_EXACT ? "exact" : a == QWREN_ARITHMETIC_DETERMINISTIC ? "deterministic" : "default";
}

static const char *type_name(const qw_model *m, qw_kv_type type)
{
    const char *name;
    for (int t = QWREN_KV_DEFAULT + 1; (name = qwren_kv_type_name((qwren_kv_type)t)) != NULL; t++)
        if (qw_cache_type(m, (qwren_kv_type)t) == type)
            return name;
    return "other";
}

static qwren_status make_head(const qw_caches *c, cache *of, const qw_model *m, qw_kv_type type, qwren_error *err)
{
    qw_cpu_level level;
    qw_identity id;
    if (of->has_head)
        return QWREN_OK;
    QW_TRY(qw_cpu_choose(&level, err));
    QW_TRY(qw_identity_of(&id, m, type, err));
    memcpy(of->head.key, id.bytes, sizeof of->head.key);
    snprintf(of->head.about, sizeof of->head.about, "%.96s, %s cache, %s arithmetic on %s", c->name, type_name(m, type),
             arithmetic_name(m->arithmetic), qw_cpu_level_name(level));
    const size_t n = strlen(of->head.about);
    if (m->config.text.yarn.factor > 0)
        snprintf(of->head.about + n, sizeof of->head.about - n, ", YaRN x %g", m->config.text.yarn.factor);
    of->has_head = true;
    return QWREN_OK;
}

qwren_status qw_caches_head(qw_caches *c, const qw_model *m, qw_kv_type type, qw_store_head *out, qwren_error *err)
{
    pthread_mutex_lock(&c->lock);
    const qwren_status st = make_head(c, &c->of_type[type], m, type, err);
    *out = c->of_type[type].head;
    pthread_mutex_unlock(&c->lock);
    return st;
}

/* ---- caches */

static qwren_status make_prefix(const qw_caches *c, cache *of, const qw_saved_format *f, qwren_error *err)
{
    const qw_prefix_options opt = { .budget_bytes = c->budget_bytes };
    return of->prefix ? QWREN_OK : qw_prefix_create(&of->prefix, &f->pages, &opt, err);
}

/* What is read from the folder and written to it lies in the prefix cache: one without room for a single state makes the folder useless. */
static bool has_room(const qw_caches *c, cache *of, const qw_model *m)
{
    const size_t least = qw_checkpoint_bytes(&m->config.text);
    if (c->budget_bytes >= least)
        return true;
    if (!of->told)
        qw_log(QWREN_LOG_WARN, "%s: not used: the prefix cache may hold %zu bytes, and one state takes %zu (cache_bytes; --cache-mem)",
               c->dir, c->budget_bytes, least);
    of->told = true;
    return false;
}

static qwren_status make(const qw_caches *c, cache *of, const qw_model *m, qw_kv_type type, qwren_error *err)
{
    qw_saved_format f = { .config = &m->config.text };
    QW_TRY(qw_page_shape_make(&f.pages, &m->config.text, type, err));
    QW_TRY(make_prefix(c, of, &f, err));
    if (!c->dir || of->disk || !has_room(c, of, m))
        return QWREN_OK;
    QW_TRY(make_head(c, of, m, type, err));
    return qw_prefix_disk_open(&of->disk, c->dir, &of->head, &f, c->dir_bytes, err);
}

qwren_status qw_caches_of(qw_caches *c, const qw_model *m, qw_kv_type type, qw_prefix **prefix, qw_prefix_disk **disk, qwren_error *err)
{
    pthread_mutex_lock(&c->lock);
    const qwren_status st = make(c, &c->of_type[type], m, type, err);
    *prefix = c->of_type[type].prefix;
    if (disk)
        *disk = c->of_type[type].disk;
    pthread_mutex_unlock(&c->lock);
    return st;
}
