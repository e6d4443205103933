/* The store of sampled answers (replay.h): a hash table of messages, each with its ids, in the order of their last use. replay_cut.c
 * fills it behind an answer, prompt_ids.c asks it before the next one, replay_file.c keeps it between runs. Tested by
 * tests/unit/test_replay.c. */
#include "api/replay.h"

#include "base/alloc.h"
#include "base/hash.h"
#include "base/log.h"

#include <pthread.h>
#include <string.h>

#define N_HEADS 1024 /* lists of the table; a power of two */
#define N_CONTEXTS 4 /* places in conversations at which an answer is known to stand, the newest ones */

typedef struct entry {
    struct entry *next; /* with the same hash's low bits */
    struct entry *older, *newer;
    uint64_t hash; /* of content and calls */
    uint64_t used; /* when: the greater, the later */
    uint64_t contexts[N_CONTEXTS];
    size_t n_contexts; /* ever; the last N_CONTEXTS are there */
    size_t content_len, calls_len, thought_len;
    size_t n_thought, n_content;
    size_t bytes; /* of the whole block */
    int32_t *ids; /* thought, content; then follow the texts: content, calls, thought */
    char *text;
} entry;

struct qw_replay {
    pthread_mutex_t lock;
    size_t budget, bytes, n;
    uint64_t clock;
    char *path; /* of the file where they are kept as well; NULL: none */
    entry *newest, *oldest;
    entry *heads[N_HEADS];
};

void qw_replay_ids_free(qw_replay_ids *ids)
{
    qw_ids_free(&ids->thought);
    qw_ids_free(&ids->content);
}

qwren_status qw_replay_create(qw_replay **out, size_t budget_bytes, qwren_error *err)
{
    qw_replay *r = *out = qw_calloc(1, sizeof *r);
    if (!r)
        return qw_fail_memory(err, sizeof *r, "a store of answers");
    r->budget = budget_bytes;
    if (pthread_mutex_init(&r->lock, NULL) == 0)
        return QWREN_OK;
    qw_free(r);
    *out = NULL;
    return qw_fail(err, QWREN_E_MEMORY, "the system has no lock for a store of answers");
}

/* ---- list and table */

static void unlink_use(qw_replay *r, entry *e)
{
    *(e->older ? &e->older->newer : &r->oldest) = e->newer;
    *(e->newer ? &e->newer->older : &r->newest) = e->older;
}

static void link_newest(qw_replay *r, entry *e)
{
    e->older = r->newest;
    e->newer = NULL;
    *(r->newest ? &r->newest->newer : &r->oldest) = e;
    r->newest = e;
}

static void drop(qw_replay *r, entry *e)
{
    entry **at = &r->heads[e->hash % N_HEADS];
    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    unlink_use(r, e);
    r->bytes -= e->bytes;
    r->n--;
    qw_free(e);
}

void qw_replay_free(qw_replay *r)
{
    if (!r)
        return;
    while (r->oldest)
        drop(r, r->oldest);
    pthread_mutex_destroy(&r->lock);
    qw_free(r->path);
    qw_free(r);
}

void qw_replay_set_path(qw_replay *r, char *path) { r->path = path; }

static size_t ask(qw_replay *r, const size_t *what)
{
    pthread_mutex_lock(&r->lock);
    size_t value = *what;
    pthread_mutex_unlock(&r->lock);
    return value;
}

size_t qw_replay_count(qw_replay *r) { return ask(r, &r->n); }
size_t qw_replay_bytes(qw_replay *r) { return ask(r, &r->bytes); }

/* ---- equality */

static uint64_t hash_key(const qw_replay_key *key)
{
    qw_hash h;
    qw_hash_init(&h);
    qw_hash_add(&h, &key->content_len, sizeof key->content_len);
    if (key->content_len)
        qw_hash_add(&h, key->content, key->content_len);
    if (key->calls_len)
        qw_hash_add(&h, key->calls, key->calls_len);
    return qw_hash_value(&h);
}

static bool same_bytes(const void *a, size_t n_a, const void *b, size_t n_b) { return n_a == n_b && (n_a == 0 || memcmp(a, b, n_a) == 0); }

static bool same_message(const entry *e, uint64_t hash, const qw_replay_key *key)
{
    return e->hash == hash && same_bytes(e->text, e->content_len, key->content, key->content_len) &&
           same_bytes(e->text + e->content_len, e->calls_len, key->calls, key->calls_len);
}

static bool same_thought(const entry *e, const qw_replay_key *key)
{
    return !key->thought || same_bytes(e->text + e->content_len + e->calls_len, e->thought_len, key->thought, key->thought_len);
}

static bool same_ids(const entry *e, const qw_replay_ids *ids)
{
    return same_bytes(e->ids, e->n_thought * sizeof *e->ids, ids->thought.data, ids->thought.n * sizeof *e->ids) &&
           same_bytes(e->ids + e->n_thought, e->n_content * sizeof *e->ids, ids->content.data, ids->content.n * sizeof *e->ids);
}

static bool stood_at(const entry *e, uint64_t context)
{
    for (size_t i = 0; i < e->n_contexts && i < N_CONTEXTS; i++)
        if (e->contexts[i] == context)
            return true;
    return false;
}

/* It was met at this place: it becomes the newest. */
static void use(qw_replay *r, entry *e, uint64_t context)
{
    if (!stood_at(e, context))
        e->contexts[e->n_contexts++ % N_CONTEXTS] = context;
    e->used = ++r->clock;
    unlink_use(r, e);
    link_newest(r, e);
}

/* ---- keeping */

static void *put_bytes(void *to, const void *from, size_t n)
{
    if (n)
        memcpy(to, from, n);
    return (char *)to + n;
}

static entry *make_entry(const qw_replay_key *key, const qw_replay_ids *ids, size_t bytes)
{
    entry *e = qw_malloc(bytes);
    if (!e)
        return NULL;
    *e = (entry){ .hash = hash_key(key), .bytes = bytes, .n_thought = ids->thought.n, .n_content = ids->content.n };
    e->content_len = key->content_len;
    e->calls_len = key->calls_len;
    e->thought_len = key->thought_len;
    e->ids = (int32_t *)(e + 1);
    void *at = put_bytes(e->ids, ids->thought.data, ids->thought.n * sizeof *e->ids);
    e->text = at = put_bytes(at, ids->content.data, ids->content.n * sizeof *e->ids);
    at = put_bytes(at, key->content, key->content_len);
    at = put_bytes(at, key->calls, key->calls_len);
    put_bytes(at, key->thought, key->thought_len);
    return e;
}

static entry *find_same(const qw_replay *r, const qw_replay_key *key, const qw_replay_ids *ids)
{
    const uint64_t hash = hash_key(key);
    for (entry *e = r->heads[hash % N_HEADS]; e; e = e->next)
        if (same_message(e, hash, key) && same_thought(e, key) && same_ids(e, ids))
            return e;
    return NULL;
}

/* An answer that cannot be written is known for this run alone. */
static void write_down(const qw_replay *r, const qw_replay_key *key, const qw_replay_ids *ids, uint64_t context)
{
    qwren_error err;
    if (r->path && qw_replay_write(r->path, key, ids, context, &err) != QWREN_OK)
        qw_log(QWREN_LOG_WARN, "an answer is not kept for the next run: %s", err.text);
}

static qwren_status put(qw_replay *r, const qw_replay_key *key, const qw_replay_ids *ids, uint64_t context, bool *is_new, qwren_error *err)
{
    size_t bytes =
        sizeof(entry) + (ids->thought.n + ids->content.n) * sizeof(int32_t) + key->content_len + key->calls_len + key->thought_len;
    entry *e = find_same(r, key, ids);
    if (!e) {
        if (bytes > r->budget)
            return QWREN_OK;
        e = make_entry(key, ids, bytes);
        if (!e)
            return qw_fail_memory(err, bytes, "an answer's tokens");
        while (r->bytes + bytes > r->budget)
            drop(r, r->oldest);
        e->next = r->heads[e->hash % N_HEADS];
        r->heads[e->hash % N_HEADS] = e;
        r->bytes += bytes;
        r->n++;
        link_newest(r, e);
        *is_new = true;
    }
    use(r, e, context);
    return QWREN_OK;
}

qwren_status qw_replay_put(qw_replay *r, const qw_replay_key *key, const qw_replay_ids *ids, uint64_t context, qwren_error *err)
{
    bool is_new = false;
    pthread_mutex_lock(&r->lock);
    qwren_status st = put(r, key, ids, context, &is_new, err);
    pthread_mutex_unlock(&r->lock);
    if (is_new) /* others need not wait for the file */
        write_down(r, key, ids, context);
    return st;
}

/* ---- finding */

static entry *find_best(const qw_replay *r, const qw_replay_key *key, uint64_t context)
{
    const uint64_t hash = hash_key(key);
    entry *best = NULL;
    int best_rank = -1;
    for (entry *e = r->heads[hash % N_HEADS]; e; e = e->next) {
        int rank = same_message(e, hash, key) ? 2 * same_thought(e, key) + stood_at(e, context) : -1;
        if (rank > best_rank || (rank >= 0 && rank == best_rank && e->used > best->used)) {
            best = e;
            best_rank = rank;
        }
    }
    return best;
}

static qwren_status append_ids(qw_ids *out, const int32_t *ids, size_t n, qwren_error *err)
{
    for (size_t i = 0; i < n; i++)
        QW_TRY(qw_ids_append(out, ids[i], err));
    return QWREN_OK;
}

static qwren_status copy_ids(const entry *e, const qw_replay_key *key, qw_replay_ids *ids, qwren_error *err)
{
    if (key->thought && same_thought(e, key))
        QW_TRY(append_ids(&ids->thought, e->ids, e->n_thought, err));
    return append_ids(&ids->content, e->ids + e->n_thought, e->n_content, err);
}

qwren_status qw_replay_find(qw_replay *r, const qw_replay_key *key, uint64_t context, qw_replay_ids *ids, bool *found, qwren_error *err)
{
    pthread_mutex_lock(&r->lock);
    entry *e = find_best(r, key, context);
    qwren_status st = e ? copy_ids(e, key, ids, err) : QWREN_OK;
    *found = e && st == QWREN_OK;
    if (*found)
        use(r, e, context);
    pthread_mutex_unlock(&r->lock);
    return st;
}
