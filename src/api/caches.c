/* The prefix caches of a model (caches.h). Tested by tests/unit/test_api_cache.c. */
#include "api/caches.h"

#include "base/alloc.h"
#include "base/machine.h"

#include <pthread.h>

#define MOST ((uint64_t)1 << 30) /* without a wish */

struct qw_caches {
    pthread_mutex_t lock;
    size_t budget_bytes;
    qw_prefix *of_type[QW_KV_TYPES]; /* NULL: nobody has asked */
};

static size_t usual_budget(void)
{
    const uint64_t available = qw_machine_get_memory().available, quarter = available == QW_NOT_KNOWN ? MOST : available / 4;
    return (size_t)(quarter < MOST ? quarter : MOST);
}

qwren_status qw_caches_create(qw_caches **out, size_t bytes, qwren_error *err)
{
    qw_caches *c = *out = qw_calloc(1, sizeof *c);
    if (!c)
        return qw_fail_memory(err, sizeof *c, "the prefix caches");
    c->budget_bytes = bytes ? bytes : usual_budget();
    pthread_mutex_init(&c->lock, NULL);
    return QWREN_OK;
}

void qw_caches_free(qw_caches *c)
{
    if (!c)
        return;
    for (int i = 0; i < QW_KV_TYPES; i++)
        qw_prefix_free(c->of_type[i]);
    pthread_mutex_destroy(&c->lock);
    qw_free(c);
}

static qwren_status make(qw_caches *c, const qw_model *m, qw_kv_type type, qwren_error *err)
{
    const qw_prefix_options opt = { .budget_bytes = c->budget_bytes };
    qw_page_shape shape;
    QW_TRY(qw_page_shape_make(&shape, &m->config.text, type, err));
    return qw_prefix_create(&c->of_type[type], &shape, &opt, err);
}

qwren_status qw_caches_of(qw_caches *c, const qw_model *m, qw_kv_type type, qw_prefix **out, qwren_error *err)
{
    qwren_status st = QWREN_OK;
    pthread_mutex_lock(&c->lock);
    if (!c->of_type[type])
        st = make(c, m, type, err);
    *out = c->of_type[type];
    pthread_mutex_unlock(&c->lock);
    return st;
}
